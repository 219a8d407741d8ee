"""Where the weights of a Caffe net come from: a .caffemodel, or a seed.

Both answer `get(node, index, parameter, shape)`: the node's index-th blob, as a Tensor of that shape, called
`<layer>.<parameter>`. What is missing or does not fit is added to `problems`, so that all of it can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import erf, exp, log, pi, prod, sqrt
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from ...engine.errors import FileError
from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from .graph import Node
from .schema import parse_binary

RAW = {0: "<f8", 1: "<f4", 2: "<f2"}  # Blob.raw_data_type -> numpy dtype
MOST_RANDOM = 2**28  # random numbers for one net: a gibibyte; VGG-16 has half of that


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


class RandomWeights(Weights):
    """Weights drawn from a seed, when they are first used, so that signals neither die nor explode.

    He et al. 2015, arXiv:1502.01852, carried through any graph: mean and variance of every tensor are estimated,
    beginning with 0 and 1 for an input; a filter is scaled such that its result has variance 1 again, and a
    BatchNorm's variance is near that of its input. A layer's weights depend on the seed, the graph and its name.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed
        self._moments: dict[str, tuple[float, float]] = {}
        self._count = 0

    def follow(self, layer: Layer) -> None:
        moments = [self._of(i) for i in layer.inputs if isinstance(i, str)]
        self._moments |= dict.fromkeys(layer.outputs, _moments_after(layer, moments))

    def _of(self, name: str) -> tuple[float, float]:
        return self._moments.get(name, (0.0, 1.0))

    def _make(self, node: Node, index: int, parameter: str, spec: Spec, fan_in: int) -> Tensor:
        self._count += spec.size
        if self._count > MOST_RANDOM:
            self.problems.append(f"{node}: {parameter} is {spec}: too many random weights for one net")
        mean, variance = self._of(node.inputs[0])
        name, power = f"{node.name}.{parameter}", mean * mean + variance
        return Tensor(name, spec, data=partial(self._draw, name, parameter, spec.shape, fan_in, power))

    def _draw(
        self, name: str, parameter: str, shape: tuple[int, ...], fan_in: int, power: float
    ) -> np.ndarray:
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        if parameter == "factor":
            return np.ones(shape, np.float32)
        if parameter in ("var", "scale", "slope"):  # from 0.5 to 1.5 times what is usual
            usual = {"var": power, "scale": 1.0, "slope": 0.25}[parameter]
            return (rng.random(shape, np.float32) + np.float32(0.5)) * np.float32(usual)
        size = (
            1 / sqrt(fan_in * power)
            if parameter == "w"
            else 0.1 * sqrt(power)
            if parameter == "mean"
            else 0.1
        )
        return rng.standard_normal(shape, np.float32) * np.float32(size)


def _moments_after(layer: Layer, x: list[tuple[float, float]]) -> tuple[float, float]:
    """(mean, variance) of a layer's result, from those of its inputs, as if all were normal and independent."""
    of = layer.attributes
    mean, variance = x[0]
    if layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        mean, variance = 0.0, 1.0
    elif layer.type == "BatchNorm":
        power = mean * mean + variance
        mean, variance = mean / sqrt(power), log(3) * variance / power  # log(3): of 1 / var
    elif layer.type == "Scale":
        variance += (mean * mean + variance) / 12  # 1/12: of scale
    elif layer.type in ("ReLU", "PReLU", "ELU"):
        slope = {"ReLU": of.get("negative_slope", 0.0), "PReLU": 0.25, "ELU": 0.5}[layer.type]
        mean, variance = _rectified(mean, sqrt(variance), slope)
    elif layer.type in ("Sigmoid", "TanH"):
        mean, variance = (0.5, 0.05) if layer.type == "Sigmoid" else (0.0, 0.4)
    elif layer.type == "Pooling" and of["method"] == "max":
        mean, variance = mean + sqrt(log(prod(of["kernel"])) * variance), variance / 2
    elif layer.type == "Eltwise" and of["operation"] == "sum":
        coeff = of["coeff"] or [1.0] * len(x)
        mean = sum(c * m for c, (m, _) in zip(coeff, x, strict=True))
        variance = sum(c * c * v for c, (_, v) in zip(coeff, x, strict=True))
    elif layer.type == "Concat":
        mean, variance = (sum(values) / len(x) for values in zip(*x, strict=True))
    elif layer.type == "Power" and of["power"] == 1:
        mean, variance = of["scale"] * mean + of["shift"], of["scale"] ** 2 * variance
    return min(max(mean, -1e3), 1e3), min(max(variance, 1e-6), 1e6)


def _rectified(mean: float, std: float, slope: float) -> tuple[float, float]:
    """(mean, variance) of max(x, 0) + slope * min(x, 0), for a normal x."""
    density = exp(-0.5 * (mean / std) ** 2) / sqrt(2 * pi)
    positive = 0.5 * (1 + erf(mean / std / sqrt(2)))
    first = mean * positive + std * density  # E[max(x, 0)]
    second = (mean * mean + std * std) * positive + mean * std * density  # E[max(x, 0)^2]
    both = mean * mean + std * std
    result = first + slope * (mean - first)
    return result, second + slope * slope * (both - second) - result * result
