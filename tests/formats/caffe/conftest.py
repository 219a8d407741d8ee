"""Small Caffe models: a prototxt's text, and blobs written to a .caffemodel in any of its three generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.net import Net
from fbnet.formats.caffe.schema import schema

Blobs = Mapping[str, Sequence[np.ndarray]]


def _caffemodel(blobs: Blobs, generation: int = 2) -> bytes:
    """Layer name -> arrays, as a .caffemodel of V0, V1 or V2 layers; before V2, shapes are legacy."""
    model = schema()["Caffemodel"](name=b"test")
    for name, arrays in blobs.items():
        layer = model.layer.add() if generation == 2 else model.layers.add()
        layer = layer.layer if generation == 0 else layer
        layer.name = name.encode()
        for array in arrays:
            blob = layer.blobs.add(data=[array.astype("<f4").tobytes()])
            if generation == 2:
                blob.shape.dim.extend(array.shape)
            else:
                shape = (1, 1, 1, 1, *array.shape)[-4:]
                blob.num, blob.channels, blob.height, blob.width = shape
    return model.SerializeToString()


def _blobs_of(net: Net) -> dict[str, list[np.ndarray]]:
    """A converted net's constants as Caffe's blobs, by layer name."""
    found: dict[str, list[np.ndarray]] = {}
    for layer in net.layers:
        arrays = [net.constants[i].data for i in layer.inputs if i in net.constants]
        if layer.type == "BatchNorm":
            arrays.append(np.ones(1, np.float32))
        if arrays:
            found[layer.name] = arrays
    return found


@pytest.fixture
def caffemodel() -> Callable[..., bytes]:
    return _caffemodel


@pytest.fixture
def blobs_of() -> Callable[[Net], dict[str, list[np.ndarray]]]:
    return _blobs_of


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[Path]]:
    """`write(text, blobs, generation=2)` -> paths of a .prototxt and, if there are blobs, a .caffemodel."""

    def write(text: str | bytes, blobs: Blobs | bytes | None = None, generation: int = 2) -> list[Path]:
        paths = [tmp_path / "net.prototxt"]
        paths[0].write_bytes(text.encode() if isinstance(text, str) else text)
        if blobs is not None:
            paths.append(tmp_path / "net.caffemodel")
            paths[1].write_bytes(blobs if isinstance(blobs, bytes) else _caffemodel(blobs, generation))
        return paths

    return write


@pytest.fixture
def read(write: Callable[..., list[Path]]) -> Callable[..., Net]:
    """`read(text, blobs, **options)` -> the converted net; without blobs, with random weights."""

    def read(text: str | bytes, blobs: Blobs | bytes | None = None, generation: int = 2, **options) -> Net:
        if blobs is None:
            options.setdefault("random_weights", 1)
        return fbnet.convert(*write(text, blobs, generation), **options)

    return read


@pytest.fixture
def opencv(read: Callable[..., Net]) -> Callable[..., None]:
    """`opencv(text, generation=2)` asserts that a net with random weights computes what OpenCV's Caffe computes.

    Weights go through a .caffemodel. `shape` is another one for the input than the text's.
    """
    cv2 = pytest.importorskip("cv2")

    def check(text: str, generation: int = 2, shape: Sequence[int] = ()) -> None:
        drawn = read(text)
        blobs = _blobs_of(drawn)
        net = read(text, blobs, generation)
        judge = cv2.dnn.readNetFromCaffe(
            np.frombuffer((text).encode(), np.uint8),
            np.frombuffer(_caffemodel(blobs, generation), np.uint8),
        )
        arrays = {}
        for i, (name, spec) in enumerate(net.inputs.items()):
            size = shape or tuple(map(int, spec.shape))
            arrays[name] = np.random.default_rng(i).standard_normal(size, np.float32)
            judge.setInput(arrays[name], name)
        wanted = dict(zip(net.outputs, judge.forward([_writer(net, o) for o in net.outputs]), strict=True))
        found = net.forward(**arrays)
        assert set(found) == set(wanted)
        for name, y in found.items():
            assert y.std() > 1e-4, "a dead net compares equal to everything"
            np.testing.assert_allclose(y, wanted[name].reshape(y.shape), rtol=1e-4, atol=2e-5, err_msg=name)
        again = drawn.forward(**arrays)
        assert all(np.array_equal(again[name], y) for name, y in found.items()), (
            "the .caffemodel changed weights"
        )

    return check


def _writer(net: Net, output: str) -> str:
    """OpenCV names outputs by their layers."""
    return next(layer.name for layer in net.layers if output in layer.outputs)
