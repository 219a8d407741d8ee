"""Modules by their address, `file:name`, and weights from files: what is there is read, what is not is said."""

from __future__ import annotations

import sys
from pathlib import Path

import fbnet
import pytest
from fbnet.engine.errors import FileError, InputError
from fbnet.formats.torch.source import module_at, with_weights

torch = pytest.importorskip("torch")

MODULES = """
import torch
def factory(): return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
made = factory()
class Net(torch.nn.Linear):
    def __init__(self): super().__init__(3, 2)
def failing(): raise KeyError("weights")
def needing(size): return torch.nn.Linear(size, size)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a Python file of networks, which is the current one."""
    (tmp_path / "zoo_of_mine.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("zoo_of_mine", None)


@pytest.mark.parametrize("name", ["factory", "made"])
def test_an_address(name, folder):
    net = fbnet.convert(f"zoo_of_mine:{name}", (1, 3, 8, 8))
    assert [layer.type for layer in net] == ["Convolution", "ReLU"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nowhere_at_all:x", "cannot import nowhere_at_all"),
        ("zoo_of_mine:factori", "zoo_of_mine has no 'factori'. Did you mean 'factory'?"),
        ("zoo_of_mine:failing", "calling it failed: KeyError: 'weights'. It is called without arguments"),
        ("zoo_of_mine:needing", "calling it failed: TypeError"),
        ("zoo_of_mine:torch.pi", "float is no torch.nn.Module"),
    ],
)
def test_addresses_that_lead_nowhere(address, says, folder):
    with pytest.raises(InputError) as caught:
        fbnet.convert(address, (1, 3))
    assert says in str(caught.value)


def test_weights_that_are_none(folder):
    def says(path: str) -> str:
        with pytest.raises(FileError) as caught:
            fbnet.convert("zoo_of_mine:factory", (1, 3, 8, 8), weights=path)
        return str(caught.value)

    class Evil:
        def __reduce__(self):
            return (Path("evil").touch, ())

    torch.save({"0.weight": Evil()}, "evil.pth")
    assert "without running code" in says("evil.pth") and not Path("evil").exists()
    assert "no weights that can be read" in says("missing.pth")
    torch.save([1, 2], "list.pth")
    assert "holds list, not a state dict" in says("list.pth")
    torch.save({"1.weight": torch.ones(2)}, "other.pth")
    assert "Missing key(s)" in says("other.pth") and "\n" not in says("other.pth")


def test_damaged_weights(folder, mutants):
    """Truncated and mutated files of weights: a typed error, or the module as it is."""
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).state_dict(), "whole.pth")
    whole = Path("whole.pth").read_bytes()
    module, refused = module_at("zoo_of_mine:made"), 0
    words = [b"\x80\x02", b"cos\nsystem\n", b"PK\x03\x04", b"\xff\xff"]
    cut = [whole[:end] for end in range(0, len(whole), max(1, len(whole) // 200))]
    for damaged in (*cut, *mutants(whole, 1000, words)):
        Path("damaged.pth").write_bytes(damaged)
        try:
            with_weights(module, Path("damaged.pth"))
        except FileError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 500
