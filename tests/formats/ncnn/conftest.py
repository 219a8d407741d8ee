"""ncnn texts as files, .bin files written from a net's own weights, and the ncnn package as the judge."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.net import Net
from fbnet.formats.ncnn.param import TYPES
from fbnet.formats.ncnn.weights import RandomWeights

HEADS = ("Input data 0 1 data 0=7 1=9 2=6",)


def text_of(*lines: str) -> str:
    """A .param with these layers, behind an input of 6 x 9 x 7 called data unless they bring their own."""
    layers = lines if any(line.startswith("Input") for line in lines) else (*HEADS, *lines)
    blobs = sum(int(line.split()[3]) for line in layers)
    return "\n".join(["7767517", f"{len(layers)} {blobs}", *layers, ""])


Blob = tuple[np.ndarray, bool]  # numbers, and whether a tag stands before them


def bin_of(blobs: list[Blob]) -> bytes:
    """A .bin with these blobs in fp32."""
    return b"".join(
        (b"\0\0\0\0" if tagged else b"") + numbers.astype("<f4").tobytes() for numbers, tagged in blobs
    )


def _binary(text: str) -> bytes:
    """The binary form of a .param: floats are those with a dot or an exponent."""
    lines = [line.split() for line in text.split("\n")[2:] if line]
    blobs = {
        b: i
        for i, b in enumerate(dict.fromkeys(b for w in lines for b in w[4 + int(w[2]) :] if "=" not in b))
    }
    out = struct.pack("<3i", 7767517, len(lines), len(blobs))

    def word(value: str) -> bytes:
        return struct.pack(
            "<f" if any(c in value for c in ".e") else "<i", float(value) if "." in value else int(value)
        )

    for words in lines:
        count = int(words[2]) + int(words[3])
        out += struct.pack("<3i", TYPES.index(words[0]), int(words[2]), int(words[3]))
        out += b"".join(struct.pack("<i", blobs[b]) for b in words[4 : 4 + count])
        for key, _, value in (p.partition("=") for p in words[4 + count :]):
            values = value.split(",")
            out += struct.pack("<i", int(key)) + b"".join(word(v) for v in values)
        out += struct.pack("<i", -233)
    return out


@pytest.fixture
def binary() -> Callable[[str], bytes]:
    """`binary(text)` -> the binary form of a .param."""
    return _binary


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """Every blob that random weights are asked for, in order: (Tensor, tagged)."""
    asked, get = [], RandomWeights.get

    def recorded(self, node, name, shape, fan_in=1, source="", tagged=False):
        asked.append((get(self, node, name, shape, fan_in, source, tagged), tagged))
        return asked[-1][0]

    monkeypatch.setattr(RandomWeights, "get", recorded)
    yield asked


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[Path]]:
    """`write(param, bin)` -> the paths of a .param and, if there are bytes, a .bin."""

    def write(param: str | bytes, weights: bytes | None = None) -> list[Path]:
        paths = [tmp_path / "net.param"]
        paths[0].write_bytes(param.encode() if isinstance(param, str) else param)
        if weights is not None:
            paths.append(tmp_path / "net.bin")
            paths[1].write_bytes(weights)
        return paths

    return write


@pytest.fixture
def read(write: Callable[..., list[Path]]) -> Callable[..., Net]:
    """`read(*lines, **options)` -> the converted net, with random weights unless it is told otherwise."""

    def read(*lines: str, weights: bytes | None = None, **options) -> Net:
        if weights is None:
            options.setdefault("random_weights", 1)
        return fbnet.convert(*write(text_of(*lines), weights), **options)

    return read


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


@pytest.fixture
def same(write: Callable[..., list[Path]], drawn: list) -> Callable[..., Net]:
    """`same(*lines)` asserts that a net computes what the ncnn package does, on the same weights through a .bin.

    inputs  arrays without batch, for inputs that shall not be random
    """
    package = pytest.importorskip("ncnn")

    def check(*lines: str, inputs: Mapping[str, np.ndarray] | None = None, **options) -> Net:
        param = text_of(*lines)
        drawn.clear()
        net = fbnet.convert(*write(param), random_weights=1, **options)
        weights = bin_of([(tensor.data, tagged) for tensor, tagged in drawn])
        paths = write(param, weights)
        net = fbnet.convert(*paths, **options)
        arrays = {n: normal(*map(int, s.shape)) for n, s in net.inputs.items()}
        arrays |= {n: a[None] for n, a in (inputs or {}).items()}
        found = net.forward(**arrays)
        judge = package.Net()
        for option in dir(judge.opt):
            if option.startswith(("use_fp16", "use_bf16", "use_winograd", "use_sgemm", "use_packing")):
                setattr(judge.opt, option, False)
        assert judge.load_param(str(paths[0])) == 0 and judge.load_model(str(paths[1])) == 0
        extractor = judge.create_extractor()
        # clones, since a Mat of numpy's memory neither keeps it alive nor has it aligned
        mats = {name: package.Mat(array[0]).clone() for name, array in arrays.items()}
        for name, mat in mats.items():
            extractor.input(name, mat)
        for name, y in found.items():
            status, mat = extractor.extract(name)
            wanted = np.array(mat)
            spread = wanted.std() if wanted.size > 1 else abs(wanted[(0,) * wanted.ndim])
            assert status == 0 and spread > 1e-6, "a dead net compares equal to everything"
            assert y.shape[1:] == wanted.shape
            np.testing.assert_allclose(y[0], wanted, rtol=1e-4, atol=1e-5, err_msg=name)
        return net

    return check
