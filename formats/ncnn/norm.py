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
    axis = _last_axes(s)
    affine = [s.weight(name, s.shape[axis:]) for name in ("scale", "bias")] if s.integer(2, 1) else []
    return s.add("LayerNorm", s.x, *affine, axis=axis, eps=s.number(1, 1e-3))


def _last_axes(s: Source) -> int:
    """-1 or -2: the last axis, or the last two, whichever has the size that the file names."""
    size, shape = s.integer(0), s.shape
    axis = next((a for a in (-1, -2) if len(shape) + a > 0 and prod(shape[a:]) == size), 0)
    if not axis:
        raise ConversionError(f"affine_size is {size}, but its input is {s.graph.specs[s.x]}")
    return axis


@ncnn("Softmax")
def softmax(s: Source) -> str:
    return s.add("Softmax", axis=s.axis(s.integer(0)))


@ncnn("Normalize")
def normalize(s: Source) -> str:
    guards = {0: "add", 1: "most", 2: "inside"}
    count = s.integer(3)
    if s.integer(9) not in guards or count not in (1, s.shape[1]) or (count == 1) < s.integer(1):
        raise ConversionError(
            f"eps_mode is {s.integer(9)}, scale_data_size {count}, its input {s.graph.specs[s.x]}"
        )
    return s.add(
        "Normalize", s.x, s.weight("scale", (count,)), across_spatial=bool(s.integer(0)),
        across_channels=bool(s.integer(4, 1)), eps=s.number(2, 1e-4), guard=guards[s.integer(9)],
    )  # fmt: skip


@ncnn("GroupNorm")
def group_norm(s: Source) -> str:
    c = _channels(s, 1)
    affine = [s.weight(name, (c,)) for name in ("scale", "bias")] if s.integer(3, 1) else []
    return s.add("GroupNorm", s.x, *affine, group=s.integer(0, 1), eps=s.number(2, 1e-3))


@ncnn("RMSNorm")
def rms_norm(s: Source) -> str:
    axis = _last_axes(s)
    affine = [s.weight("scale", s.shape[axis:])] if s.integer(2, 1) else []
    return s.add("RMSNorm", s.x, *affine, axis=axis, eps=s.number(1, 1e-3))


# operation -> Reduction's; what a factor of x is to the result, for those where it is one
REDUCTIONS = {
    0: "sum", 1: "asum", 2: "sumsq", 3: "mean", 4: "max", 5: "min", 6: "prod", 7: "asum", 8: "l2", 9: "log_sum",
    10: "log_sum_exp",
}  # fmt: skip


@ncnn("Reduction")
def reduction(s: Source) -> str:
    """The mean or maximum of each image's channel is a Pooling."""
    operation, coeff, whole = REDUCTIONS.get(s.integer(0)), s.number(2, 1.0), bool(s.integer(1, 1))
    if operation is None:
        raise ConversionError(f"operation is {s.integer(0)}, which is not known")
    axes = set(range(1, len(s.shape))) if whole else {s.axis(a) for a in s.integers(3)}
    methods = {"mean": "average", "max": "max"}
    if operation in methods and axes == {2, 3} and len(s.shape) == 4:
        y = s.add("Pooling", method=methods[operation], global_pooling=True)
        y = y if s.integer(4) else s.add("Flatten", y)
    else:
        y = s.add("Reduction", operation=operation, axes=sorted(axes), keep_dims=bool(s.integer(4)))
        if len(s.shape_of(y)) == 1:  # nothing but the batch is left
            y = s.add("Reshape", y, shape=(1,), axis=1, num_axes=0)
    return y if coeff == 1 else s.add("Power", y, scale=coeff)


@ncnn("CumulativeSum")
def cumulative_sum(s: Source) -> str:
    return s.add("CumSum", axis=s.axis(s.integer(0)))


@ncnn("ArgMax")
def argmax(s: Source) -> str:
    """Of everything: places as floats; with out_max_val [values, places], as ncnn has them."""
    flat = s.add("Flatten", s.x) if len(s.shape) > 2 else s.x
    values, places = s.add("TopK", flat, k=s.integer(1, 1), axis=1, outputs=2)
    found = s.add("Cast", places, to="fp32")
    if not s.integer(0):
        return found
    rows = [s.add("Reshape", t, shape=(1,), axis=1, num_axes=0) for t in (values, found)]
    return s.add("Concat", *rows, axis=1)
