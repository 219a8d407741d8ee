"""Weights from a seed, for nets that came without any: they can be tried and timed all the same."""

from __future__ import annotations

from functools import partial
from math import erf, exp, log, pi, prod, sqrt
from zlib import crc32

import numpy as np

from ..engine.errors import InputError
from ..engine.layer import Layer
from ..engine.tensor import Spec, Tensor

MOST_NUMBERS = 2**28  # for one net: a gibibyte; VGG-16 has half of that


class Dice:
    """Weights drawn from a seed, when they are first used, so that signals neither die nor explode.

    He et al. 2015, arXiv:1502.01852, carried through any graph: mean and variance of every tensor are estimated,
    beginning with 0 and 1 for an input; a filter is scaled such that its result has variance 1 again, and a
    BatchNorm's variance is near that of its input. A layer's weights depend on the seed, the graph and its name.
    """

    def __init__(self, seed: int):
        if not isinstance(seed, int) or seed < 0:
            raise InputError(f"random_weights is {seed!r}: give a seed, a whole number of at least 0")
        self.seed = seed
        self._moments: dict[str, tuple[float, float]] = {}
        self._count = 0

    def follow(self, layer: Layer) -> None:
        """Hear of a layer that was made, in the order of the net."""
        moments = [self._of(i) for i in layer.inputs if isinstance(i, str)]
        if moments:
            self._moments |= dict.fromkeys(layer.outputs, _moments_after(layer, moments))

    def draw(self, name: str, kind: str, spec: Spec, fan_in: int, source: str) -> Tensor:
        """The constant `name` of a layer that reads the tensor `source`.

        kind    what a layer calls such a constant: w, b, mean, var, scale, slope, ...
        fan_in  how many products a filter sums up
        """
        self._count += spec.size
        mean, variance = self._of(source)
        power = mean * mean + variance
        return Tensor(name, spec, data=partial(self._drawn, name, kind, spec.shape, fan_in, power))

    @property
    def too_many(self) -> bool:
        """Whether more numbers were asked for than a net may have."""
        return self._count > MOST_NUMBERS

    def _of(self, name: str) -> tuple[float, float]:
        return self._moments.get(name, (0.0, 1.0))

    def _drawn(self, name: str, kind: str, shape: tuple[int, ...], fan_in: int, power: float) -> np.ndarray:
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        if kind == "factor":
            return np.ones(shape, np.float32)
        if kind in ("var", "scale", "slope"):  # from 0.5 to 1.5 times what is usual
            usual = {"var": power, "scale": 1.0, "slope": 0.25}[kind]
            return (rng.random(shape, np.float32) + np.float32(0.5)) * np.float32(usual)
        size = 1 / sqrt(fan_in * power) if kind == "w" else 0.1 * sqrt(power) if kind == "mean" else 0.1
        return rng.standard_normal(shape, np.float32) * np.float32(size)


RECTIFIERS = ("Clip", "GELU", "HardSwish", "Mish", "Swish")  # more or less


def _moments_after(layer: Layer, x: list[tuple[float, float]]) -> tuple[float, float]:
    """(mean, variance) of a layer's result, from those of its inputs, as if all were normal and independent."""
    of = layer.attributes
    mean, variance = x[0]
    if layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        mean, variance = 0.0, 1.0
    elif layer.type == "BatchNorm":
        power = mean * mean + variance
        mean, variance = mean / sqrt(power), log(3) * variance / power  # log(3): of 1 / var
    elif layer.type == "Scale" and len(x) > 1:  # by a tensor, mostly of about 1/2
        variance = (mean * mean + variance) * (x[1][0] ** 2 + x[1][1])
        mean *= x[1][0]
        variance -= mean * mean
    elif layer.type == "Scale":
        variance += (mean * mean + variance) / 12  # 1/12: of scale
    elif layer.type in ("ReLU", "PReLU", "ELU"):
        slope = {"ReLU": of.get("negative_slope", 0.0), "PReLU": 0.25, "ELU": 0.5}[layer.type]
        mean, variance = _rectified(mean, sqrt(variance), slope)
    elif layer.type in RECTIFIERS:
        mean, variance = _rectified(mean, sqrt(variance), 0.0)
    elif layer.type in ("Sigmoid", "HardSigmoid", "TanH"):
        mean, variance = (0.0, 0.4) if layer.type == "TanH" else (0.5, 0.05)
    elif layer.type in ("LayerNorm", "MatMul"):
        mean, variance = 0.0, 1.0
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
