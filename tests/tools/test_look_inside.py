"""The page docs/look-inside.md is true: its program runs, its commands exist, its pictures are there."""

import re
from pathlib import Path

import fbnet
from fbnet.tools.main import COMMANDS

ROOT = Path(fbnet.__file__).parent
PAGE = (ROOT / "docs" / "look-inside.md").read_text("utf-8")


def test_the_program_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for program in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(program, names)
    assert names["y"].shape == (1, 20, 12, 12) and names["name"] == "conv1"
    assert "conv1 (Convolution)" in capsys.readouterr().out


def test_commands_and_pictures_are_there(program):
    words = re.findall(r"fbnet (\w+) net", PAGE)
    assert set(words) == {"draw", "report", "trace"} <= COMMANDS.keys()
    for command, option in re.findall(r"fbnet (\w+) net\S* .*?(--\w+)", PAGE):
        assert option in program(command, "--help").stdout
    pictures = re.findall(r"\]\((pictures/[\w.-]+)\)", PAGE)
    assert len(pictures) == 5 and all((ROOT / "docs" / picture).is_file() for picture in pictures)
