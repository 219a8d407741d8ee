"""ncnn texts as files, .bin files written from a net's own weights, and the ncnn package as the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.net import Net
from fbnet.formats.ncnn.weights import RandomWeights

HEADS = ("Input data 0 1 data 0=7 1=9 2=6",)


def text_of(*lines: str) -> str:
    """A .param with these layers, behind an input of 6 x 9 x 7 called data unless they bring their own."""
    layers = lines if any(line.startswith("Input") for line in lines) else (*HEADS, *lines)
    blobs = sum(int(line.split()[3]) for line in layers)
    return "\n".join(["7767517", f"{len(layers)} {blobs}", *layers, ""])


Blob = tuple[np.ndarray, bool]  # numbers, and whether a tag stands before them


def bin_of(blobs: list[Blob], tag: int = 0) -> bytes:
    """A .bin with these blobs, tagged ones stored as `tag` says."""
    data = b""
    for numbers, tagged in blobs:
        if not tagged or tag == 0:
            data += (b"\0\0\0\0" if tagged else b"") + numbers.astype("<f4").tobytes()
            continue
        data += tag.to_bytes(4, "little")
        if tag == 0x01306B47:
            stored = numbers.astype("<f2").tobytes()
        else:
            table = np.linspace(-1, 1, 256, dtype="<f4")
            data += table.tobytes()
            stored = np.abs(numbers.reshape(-1, 1) - table).argmin(1).astype(np.uint8).tobytes()
        data += stored + b"\0" * (-len(stored) % 4)
    return data


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
            assert status == 0 and wanted.std() > 1e-6, "a dead net compares equal to everything"
            assert y.shape[1:] == wanted.shape
            np.testing.assert_allclose(y[0], wanted, rtol=1e-4, atol=1e-5, err_msg=name)
        return net

    return check
