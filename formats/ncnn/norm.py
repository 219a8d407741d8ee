"""Types that normalise, scale, and sum up."""

from __future__ import annotations

from math import prod

from ...engine.errors import ConversionError
from .graph import Source, ncnn


def _channels(s: Source, key: int) -> int:
    """A size that a file gives at `key`, which is C of the input."""
    if s.integer(key) != s.shape[1]:
        raise ConversionError(f"is for {s.integer(key)} channels, but its input is {s.graph.specs[s.x]}")
    return s.shape[1]


@ncnn("BatchNorm")
def batch_norm(s: Source) -> str:
    """slope, mean, variance and bias, in this order."""
    c = _channels(s, 0)
    scale, mean, var, bias = (s.weight(name, (c,)) for name in ("scale", "mean", "var", "bias"))
    return s.add("Scale", s.add("BatchNorm", s.x, mean, var, eps=s.number(1)), scale, bias)


@ncnn("Scale")
def scale(s: Source) -> str:
    if s.integer(0) == -233:  # by another blob
        x, y = map(s.computed, s.inputs)
        b = [s.weight("bias", (s.shape_of(x)[1],))] if s.integer(1) else []
        flat = y if len(s.shape_of(y)) == 2 else s.add("Flatten", y)
        product = s.add("Scale", x, flat, axis=0)
        return s.add("Bias", product, *b) if b else product
    c = _channels(s, 0)
    names = ("scale", "bias") if s.integer(1) else ("scale",)
    return s.add("Scale", s.x, *[s.weight(name, (c,)) for name in names])


@ncnn("Bias")
def bias(s: Source) -> str:
    return s.add("Bias", s.x, s.weight("b", (_channels(s, 0),)))


@ncnn("PReLU")
def prelu(s: Source) -> str:
    return s.add("PReLU", s.x, s.weight("slope", (1 if s.integer(0) == 1 else _channels(s, 0),)))


@ncnn("LRN")
def lrn(s: Source) -> str:
    regions = {0: "across", 1: "within"}
    if s.integer(0) not in regions:
        raise ConversionError(f"region_type is {s.integer(0)}: only 0 (across) and 1 (within) are known")
    return s.add(
        "LRN", local_size=s.integer(1, 5), alpha=s.number(2, 1.0), beta=s.number(3, 0.75), k=s.number(4, 1.0),
        region=regions[s.integer(0)],
    )  # fmt: skip


@ncnn("MVN")
def mvn(s: Source) -> str:
    across, normalize = bool(s.integer(1)), bool(s.integer(0))
    return s.add("MVN", normalize_variance=normalize, across_channels=across, eps=s.number(2, 1e-4))


@ncnn("InstanceNorm")
def instance_norm(s: Source) -> str:
    y = s.add("LayerNorm", axis=2, eps=s.number(1, 1e-3))
    if not s.integer(2, 1):
        return y
    c = _channels(s, 0)
    return s.add("Scale", y, s.weight("scale", (c,)), s.weight("bias", (c,)))


@ncnn("LayerNorm")
def layer_norm(s: Source) -> str:
    """Over the last axis, or the last two, whichever has the size that the file names."""
    size, shape = s.integer(0), s.shape
    axis = next((a for a in (-1, -2) if len(shape) + a > 0 and prod(shape[a:]) == size), 0)
    if not axis:
        raise ConversionError(f"affine_size is {size}, but its input is {s.graph.specs[s.x]}")
    affine = [s.weight(name, shape[axis:]) for name in ("scale", "bias")] if s.integer(2, 1) else []
    return s.add("LayerNorm", s.x, *affine, axis=axis, eps=s.number(1, 1e-3))


@ncnn("Softmax")
def softmax(s: Source) -> str:
    return s.add("Softmax", axis=s.axis(s.integer(0)))


@ncnn("Reduction")
def reduction(s: Source) -> str:
    """The mean or maximum of each image's channel, which is a Pooling."""
    methods = {3: "average", 4: "max"}
    axes = {s.axis(a) for a in s.integers(3)}
    if s.integer(0) not in methods or s.integer(1, 1) or axes != {2, 3} or len(s.shape) != 4:
        raise ConversionError(
            f"operation {s.integer(0)} over the axes {s.integers(3) or 'all'} of {s.graph.specs[s.x]}:"
            " only the mean and the maximum over height and width are supported"
        )
    y = s.add("Pooling", method=methods[s.integer(0)], global_pooling=True)
    coeff = s.number(2, 1.0)
    y = y if coeff == 1 else s.add("Power", y, scale=coeff)
    return y if s.integer(4) else s.add("Flatten", y)
