import re
from pathlib import Path

import fbnet
import pytest

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_picture_is_called_as_the_model(program):
    found = program.json("draw", LENET)
    text = Path("lenet.svg").read_text("utf-8")
    assert found == {
        "file": "lenet.svg",
        "format": "svg",
        "bytes": len(text.encode()),
        "cards": 12,
        "lines": 11,
        "folded": [],
    }
    assert text.startswith("<svg") and list(Path().iterdir()) == [Path("lenet.svg")]
    assert program("draw", LENET).stdout == "lenet.svg: 12 cards, 11 lines\n"


def test_formats_by_ending_and_by_name(program):
    program("draw", LENET, "-o", "a.dot")
    assert Path("a.dot").read_text().startswith('digraph "LeNet-5" {')
    program("draw", LENET, "--format", "mermaid")
    assert Path("lenet.mmd").read_text().startswith("flowchart TD\n")
    result = program("draw", LENET, "-o", "-")
    assert result.stdout.startswith("<svg") and result.stdout.endswith("</svg>\n") and not result.stderr


def test_as_it_runs(program):
    text = program("draw", LENET, "--device", "reference", "-o", "-").stdout
    assert "ReLU" in text and re.search(
        r"<title>Convolution conv1 20×1×5×5 reference reference</title>", text
    )
    text = program("draw", LENET, "--device", "cpu", "--shape", "image=1,28,28,1", "-o", "-").stdout
    assert "InnerProduct ip1 + ReLU · 500×800" in text and "ReLU relu1" not in text and "· cpu" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.fbnet"], "nothing.fbnet: there is no such file"),
        ([LENET, "-o", "a.png"], "a.png: what to draw? Give it the ending .svg"),
        ([LENET, "-o", "no/a.svg"], "no/a.svg: it cannot be written: No such file or directory"),
        ([LENET, "-o", "."], ".: what to draw?"),
        ([LENET, "-o", "folder.svg"], "folder.svg: it cannot be written: Is a directory"),
        ([LENET, "--device", "cqu"], "device 'cqu' is not registered. Did you mean 'cpu'?"),
    ],
)  # fmt: skip
def test_bad_input(program, words, says):
    Path("folder.svg").mkdir()
    assert says in program.fails("draw", *words)
    assert list(Path().iterdir()) == [Path("folder.svg")], "nothing is left behind"
