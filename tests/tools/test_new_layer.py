"""What `fbnet new-layer` writes passes as it is; and a package of layers is found without an import."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fbnet
import pytest

ROOT = Path(fbnet.__file__).parent
EXAMPLE = ROOT / "examples" / "plugin"


def run(*words, cwd: Path, **environment: str) -> str:
    """What a program says, which must go well. Its path begins where the tests' own fbnet lies."""
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT.parent), *environment.values()]))
    }
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder: Path, target: Path) -> None:
    """The package in a folder, installed where only those look who are told to."""
    words = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
        "--target",
        target,
    ]
    if find_spec("setuptools") is not None:
        words.append("--no-build-isolation")  # no network
    run(*words, shutil.copytree(folder, target.with_name("source")), cwd=folder)


def outcome_of_tests(folder: Path) -> str:
    return run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", cwd=folder)


@pytest.mark.parametrize(("kind", "count"), [("elementwise", 3), ("weights", 6)])
def test_what_is_written_passes(program, tmp_path, kind, count):
    found = program.json("new-layer", "HTTPGate2", "-o", tmp_path / "new", "--kind", kind)
    names = ["http_gate2.py", "test_http_gate2.py"]
    assert found == {"type": "HTTPGate2", "files": [str(tmp_path / "new" / name) for name in names]}
    assert f"{count} passed" in outcome_of_tests(tmp_path / "new")
    if find_spec("ruff"):
        run(
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F,I,UP,B",
            "--line-length",
            120,
            ".",
            cwd=tmp_path / "new",
        )


def test_the_example_passes_and_is_found_once_it_is_installed(program, tmp_path, monkeypatch):
    install(EXAMPLE, tmp_path / "site")
    shutil.copy(EXAMPLE / "test_softcap.py", tmp_path / "source")
    assert "3 passed" in outcome_of_tests(tmp_path / "source")
    make = (
        "import fbnet; from fbnet.engine.layer import layers\n"
        "fbnet.Net([layers['SoftCap']('x', name='y', cap=2)], {'x': ('N', 2)}).save('net.fbnet')\n"
    )
    run("-c", make, cwd=tmp_path, site=str(tmp_path / "site"))
    use = (
        "import fbnet, numpy as np, warnings; warnings.simplefilter('error')\n"
        "print(fbnet.load('net.fbnet')(np.array([[0, 1e9]], np.float32)).tolist())\n"
    )
    assert run("-c", use, cwd=tmp_path, site=str(tmp_path / "site")) == "[[0.0, 2.0]]\n"
    listed = run("-m", "fbnet.tools.main", "layers", "--json", cwd=tmp_path, site=str(tmp_path / "site"))
    assert '"SoftCap"' in listed and "cap * tanh(x / cap)" in listed
    page = run("-m", "fbnet.tools.main", "layers", "--markdown", cwd=tmp_path, site=str(tmp_path / "site"))
    assert "SoftCap" not in page, "the documentation is about fbnet's own"
    monkeypatch.chdir(tmp_path)
    assert "not registered: 'SoftCap' of layer 'y'" in program.fails("info", "net.fbnet")


def test_a_package_to_give_away(program, tmp_path):
    said = program("new-layer", "GateOfOurs", "-o", tmp_path / "new", "--package").stdout
    assert "pip install" in said and (tmp_path / "new" / "pyproject.toml").is_file()
    install(tmp_path / "new", tmp_path / "site")
    code = "from fbnet.engine.layer import layers; print(layers['GateOfOurs'](alpha=2))"
    assert run("-c", code, cwd=tmp_path, site=str(tmp_path / "site")) == "GateOfOurs\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["soft_cap"], "'soft_cap' is no name for a layer type: write it like SoftCap"),
        (["../Evil"], "is no name for a layer type"),
        (["ReLU"], "layer type 'ReLU' is already registered by fbnet.layers.activation"),
        (["Random"], "a Python module 'random' is there already"),
        (["Lambda"], "a Python module 'lambda' is there already"),
        (["Taken"], "taken.py is there already"),
        (["Other", "-o", "file/folder"], "file/folder: it cannot be written: Not a directory"),
    ],
)
def test_bad_input(program, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    Path("taken.py").write_text("mine")
    Path("file").write_text("mine")
    assert says in program.fails("new-layer", *words)
    assert {p.name for p in tmp_path.iterdir()} == {"taken.py", "file"} and Path(
        "taken.py"
    ).read_text() == "mine"
