"""fbnet convert of a torch module: from the code that trains it to a file, in one command."""

from __future__ import annotations

import sys
from pathlib import Path

import fbnet
import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The current folder, with a Python file that makes a module."""
    (tmp_path / "trained_here.py").write_text(
        "import torch\n"
        "nn = torch.nn\n"
        "def factory(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Softmax(1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("trained_here", None)


def test_one_command(program, folder):
    conv = torch.nn.Conv2d(3, 4, 3)
    state = {f"module.0.{key}": value for key, value in conv.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, "s.pth")
    words = ["convert", "trained_here:factory", "--weights", "s.pth", "--example", "1,3,9,9", "-o", "m.fbnet"]
    found = program.json(*words)
    assert found["inputs"] == {"input": "fp32[N,3,H,W]"} and found["test"]["ok"]
    assert found["source_bytes"] == (folder / "s.pth").stat().st_size
    net = fbnet.load("m.fbnet")
    np.testing.assert_array_equal(net.constants["0.weight"].data, conv.weight.detach().numpy())
    assert [test["input"].shape for test in net.tests] == [(1, 3, 9, 9)]
    assert program.json(*words, "--no-test")["test"]["judge"] == "" and not fbnet.load("m.fbnet").tests


def test_what_cannot_be_asked(program, folder):
    words = ["convert", "trained_here:factory", "-o", "m.fbnet"]
    assert "needs an example" in program.fails(*words)
    assert "is not like 1,3,224,224" in program.fails(*words, "--example", "1,x")
    assert "does not take --random-weights" in program.fails(
        *words, "--example", "1,3,9,9", "--random-weights", 1
    )
    (folder / "m.prototxt").write_text("")
    assert "does not take --example" in program.fails(
        "convert", "m.prototxt", "--example", "1,3", "-o", "m.fbnet"
    )
