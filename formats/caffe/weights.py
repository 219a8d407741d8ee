"""Where the weights of a Caffe net come from: a .caffemodel (or a seed: random_weights.py).

Either answers `get(node, index, parameter, shape)`: the node's index-th blob, as a Tensor of that shape, called
`<layer>.<parameter>`. What is missing or does not fit is added to `problems`, so that all of it can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import FileError
from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from .graph import Node
from .schema import parse_binary

RAW = {0: "<f8", 1: "<f4", 2: "<f2"}  # Blob.raw_data_type -> numpy dtype


class Weights:
    """Tensors for blobs; those that layers share by a `param { name }` are one Tensor."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._shared: dict[str, Tensor] = {}

    def get(self, node: Node, index: int, parameter: str, shape: Sequence[int], fan_in: int = 1) -> Tensor:
        """Blob `index` of a node. `fan_in`: how many products a filter sums up."""
        key = node.param.param[index].name if index < len(node.param.param) else ""
        shared = self._shared.get(key)
        if shared is None or shared.spec.shape != tuple(shape):
            if shared is not None:
                self.problems.append(
                    f"{node} shares {key!r} as {Spec(shape)}, but {shared.name} is {shared.spec}"
                )
            shared = self._make(node, index, parameter, Spec(shape), fan_in)
            if key:
                self._shared[key] = shared
        return shared

    def stored(self, node: Node) -> int | None:
        """How many blobs there are of a node; None if there can be as many as it wants."""
        return None

    def all_of(self, node: Node) -> list[Tensor]:
        """Every blob that there is of a node, as it is stored: for a layer that nobody knows."""
        return []

    def follow(self, layer: Layer) -> None:
        """Hear of a layer that was made, in the order of the net."""

    def finish(self) -> None:
        """Hear that all layers were made."""

    def missing(self) -> str:
        """'' if there are weights, else that there are none."""
        return ""

    def _make(self, node: Node, index: int, parameter: str, spec: Spec, fan_in: int) -> Tensor:
        raise NotImplementedError


class MissingWeights(Weights):
    """Neither a .caffemodel nor a seed was given, which is fine for a net that needs none."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: dict[str, None] = {}

    def missing(self) -> str:
        if not self._wanted:
            return ""
        return (
            "its .caffemodel is missing: give it too, or random_weights=SEED to go without;"
            f" {len(self._wanted)} layers need weights: {', '.join(self._wanted)}"
        )

    def _make(self, node: Node, index: int, parameter: str, spec: Spec, fan_in: int) -> Tensor:
        self._wanted[node.name] = None
        return _placeholder(node, parameter, spec)


class CaffemodelWeights(Weights):
    """The blobs of a .caffemodel, matched by layer name as Caffe does. Raises FileError."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
        if data.startswith(b"\x89HDF"):
            raise FileError(
                f"{path}: is a snapshot in HDF5: save it as a .caffemodel (BINARYPROTO) with Caffe"
            )
        model = parse_binary(data, "Caffemodel", str(path))
        if not model.layer and not model.layers:
            raise FileError(f"{path}: holds no layers, so it is no .caffemodel")
        self._blobs: dict[str, Any] = {}
        for layer in (*model.layers, *model.layer):
            is_v0 = "layer" in layer.DESCRIPTOR.fields_by_name and layer.HasField("layer")
            source = layer.layer if is_v0 else layer
            if source.blobs:
                self._blobs.setdefault(source.name.decode("utf-8", "replace"), source.blobs)
        self._readers: dict[str, Node] = {}  # name in the file -> the node that took its blobs
        self._taken: dict[str, int] = {}

    def _make(self, node: Node, index: int, parameter: str, spec: Spec, fan_in: int) -> Tensor:
        name = node.param.name
        if self._readers.setdefault(name, node) is not node:
            self.problems.append(f"{node} is called like another layer with weights: names must differ")
        self._taken[name] = max(index + 1, self._taken.get(name, 0))
        blobs = self._blobs.get(name, ())
        if index >= len(blobs):
            has = f"only {len(blobs)} blobs" if blobs else "no weights"
            self.problems.append(
                f"{node}: {self.path.name} has {has} for it: {parameter}, {spec}, is missing"
            )
            return _placeholder(node, parameter, spec)
        blob = blobs[index]
        numbers, shape = _numbers(blob, f"{self.path}: {node}: blob {index}"), _shape(blob)
        if shape and prod(shape) != numbers.size:
            raise FileError(
                f"{self.path}: {node}: blob {index} has shape {shape}, but {numbers.size} numbers"
            )
        if numbers.size != spec.size or (shape and _squeezed(shape) != _squeezed(spec.shape)):
            self.problems.append(
                f"{node}: its {parameter} is {shape or [numbers.size]} in {self.path.name}, but {spec} is needed"
            )
            return _placeholder(node, parameter, spec)
        return Tensor(f"{node.name}.{parameter}", data=numbers.reshape(spec.shape))

    def stored(self, node: Node) -> int | None:
        return len(self._blobs.get(node.param.name, ()))

    def all_of(self, node: Node) -> list[Tensor]:
        blobs = self._blobs.get(node.param.name, ())
        flat = [_numbers(blob, f"{self.path}: {node}: blob {i}").size for i, blob in enumerate(blobs)]
        shapes = [tuple(_shape(b)) or (n,) for b, n in zip(blobs, flat, strict=True)]
        return [self.get(node, i, f"blob{i}", shape) for i, shape in enumerate(shapes)]

    def finish(self) -> None:
        for name, count in self._taken.items():
            has = len(self._blobs.get(name, ()))
            if has > count:
                node = self._readers[name]
                self.problems.append(f"{node}: {self.path.name} has {has} blobs for it, but it takes {count}")


def _numbers(blob: Any, what: str) -> np.ndarray:
    """A blob's numbers as a flat fp32 array, without a copy if they are stored as such."""
    if blob.HasField("raw_data"):
        data, dtype = blob.raw_data, RAW.get(blob.raw_data_type, "")
        if not dtype:
            raise FileError(
                f"{what} has raw_data_type {blob.raw_data_type}: only double, float and half are known"
            )
    else:
        data, dtype = b"".join(blob.data or blob.double_data), "<f4" if blob.data else "<f8"
    if len(data) % np.dtype(dtype).itemsize:
        raise FileError(f"{what} is {len(data)} bytes, which are no whole number of floats")
    if not data:  # a writer that did not pack: one field a number
        plain = parse_binary(blob.SerializeToString(), "FloatBlob", what)
        return np.array(plain.data or plain.double_data, np.float32)
    return np.frombuffer(data, dtype).astype(np.float32, copy=False)


def _shape(blob: Any) -> list[int]:
    """A blob's declared shape; [] if it declares none, or is a scalar."""
    if any(blob.HasField(field) for field in ("num", "channels", "height", "width")):
        return [blob.num, blob.channels, blob.height, blob.width]
    return list(blob.shape.dim)


def _squeezed(shape: Sequence[int]) -> list[int]:
    """A shape without its ones: legacy blobs have four axes, (1, 1, M, K) for what is now (M, K)."""
    return [int(size) for size in shape if size != 1]


def _placeholder(node: Node, parameter: str, spec: Spec) -> Tensor:
    """A constant to go on with after a problem; its data is never asked for."""
    return Tensor(f"{node.name}.{parameter}", spec, data=partial(np.zeros, spec.shape, np.float32))
