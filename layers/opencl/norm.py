"""What is normalised together, on OpenCL: a group of work-items has it. MVN, LayerNorm, GroupNorm, RMSNorm, Normalize
and Softmax; Reduction, which finds out the same sums; and LRN, where each number has neighbours of its own."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Packed, Stage, kernel
from ..norm import LRN, MVN, GroupNorm, LayerNorm, RMSNorm
from ..normalize import Normalize
from ..reduce import Reduction
from ..softmax import Softmax
from .axes import places
from .chip import chip
from .conv import optional
from .source import variant, written_in

MOST = 64  # work-items of a group: the sums of more would wait for each other longer than they work


@written_in("group.cl", "normalize.cl")
def normalize(
    x,
    scale,
    bias,
    y,
    outer,
    inner,
    outer_rank,
    inner_rank,
    count,
    size,
    channels,
    eps,
    shared,
    size_x,
    local_x,
):
    """Written in normalize.cl."""


@written_in("group.cl", "reduce.cl")
def reduce(x, y, outer, inner, outer_rank, inner_rank, count, coeff, shared, size_x, local_x):
    """Written in reduce.cl."""


@written_in("group.cl", "softmax.cl")
def softmax(x, y, count, step, shared, size_x, local_x):
    """Written in softmax.cl."""


@written_in("lrn.cl")
def lrn(x, y, channels, h, w, across, within, alpha, beta, k, items):
    """Written in lrn.cl."""


def groups(number: int, count: int) -> dict[str, int]:
    """The launch of so many groups, each of so many numbers: a power of 2, as they add up in pairs."""
    items, most = 1, min(MOST, chip().group)
    while 2 * items <= min(most, count):
        items *= 2
    return dict(size_x=number * items, local_x=items, shared=4 * items)


def together(shape: tuple[int, ...], axes: list[int]) -> dict:
    """The parameters of a kernel whose groups have the numbers of x along `axes`."""
    kept = [a for a in range(len(shape)) if a not in axes]
    outer, inner = places(shape, kept), places(shape, axes)
    tables = dict(outer=Packed(outer.reshape(-1)), inner=Packed(inner.reshape(-1)))
    count = prod(shape[a] for a in axes)
    launch = groups(prod(shape[a] for a in kept), count)
    return tables | dict(outer_rank=len(outer), inner_rank=len(inner), count=count) | launch


def normalized(call: Call, shape: tuple[int, ...], axes: list[int], gain: str, centered: bool = True, size: int = 1,
               channels: int = 1) -> Stage:  # fmt: skip
    """The stage that brings x, seen in this shape, to one size along axes; `size` numbers in a row have one weight."""
    bound = together(shape, axes) | dict(x=call.flat("x"), y=call.flat("y"), size=max(1, size))
    bound |= optional(call, "scale", "bias") | dict(channels=max(1, channels), eps=call.layer.eps)
    return Stage(bound, (), variant(normalize, call.layer.type, GAIN=f"({gain})", CENTERED=int(centered)))


def bind_mvn(call: Call) -> Stage:
    shape, layer = call.shape("x"), call.layer
    gain = "1 / (sqrt(total / count) + eps)" if layer.normalize_variance else "1"
    return normalized(call, shape, list(range(1 if layer.across_channels else 2, len(shape))), gain)


BY_ROOT = "1 / sqrt(total / count + eps)"


def bind_layernorm(call: Call) -> Stage:
    shape = call.shape("x")
    axes = list(range(call.specs["x"].axis(call.layer.axis), len(shape)))
    centered = call.layer.type == "LayerNorm"
    return normalized(call, shape, axes, BY_ROOT, centered, 1, prod(shape[a] for a in axes))


def bind_groupnorm(call: Call) -> Stage:
    n, c, *rest = call.shape("x")
    group = call.layer.group or c
    return normalized(call, (n * group, c // max(1, group) * prod(rest)), [1], BY_ROOT, True, prod(rest), c)


GAINS = {
    "add": "1 / sqrt(total + eps)",
    "most": "1 / fmax(sqrt(total), eps)",
    "inside": "1 / sqrt(fmax(total, eps))",
}


def bind_normalize(call: Call) -> Stage:
    layer, shape = call.layer, call.shape("x")
    axes = [1] * layer.across_channels + list(range(2, len(shape))) * layer.across_spatial
    weights = prod(call.shape("scale")) if call.specs.get("scale") else 1
    return normalized(call, shape, axes, GAINS[layer.guard], False, prod(shape[2:]), weights)


kernel(MVN, device="opencl", bind=bind_mvn)(normalize)
kernel(LayerNorm, device="opencl", bind=bind_layernorm)(normalize)
kernel(RMSNorm, device="opencl", bind=bind_layernorm)(normalize)
kernel(GroupNorm, device="opencl", bind=bind_groupnorm)(normalize)
kernel(Normalize, device="opencl", bind=bind_normalize)(normalize)

# operation: (what of v is added up, or the largest of which is found, what becomes of the total)
REDUCED = {
    "sum": ("v", "total"), "mean": ("v", "total"), "asum": ("fabs(v)", "total"), "sumsq": ("v * v", "total"),
    "l2": ("v * v", "sqrt(total)"), "log_sum": ("v", "log(total)"), "max": ("v", "total"), "min": ("-v", "-total"),
}  # fmt: skip


def bind_reduction(call: Call) -> Stage:
    layer, shape = call.layer, call.shape("x")
    bound = together(shape, layer.reduced(call.specs["x"]))
    coeff = layer.coeff / (max(1, bound["count"]) if layer.operation == "mean" else 1)
    each, result = REDUCED[layer.operation]
    largest = int(layer.operation in ("max", "min"))
    function = variant(reduce, layer.operation, EACH=f"({each})", RESULT=f"({result})", LARGEST=largest)
    return Stage(bound | dict(x=call.flat("x"), y=call.flat("y"), coeff=coeff), (), function)


def serves_reduction(call: Call) -> bool | str:
    if call.layer.operation not in REDUCED:
        return f"its operation is {call.layer.operation!r}"
    if 0 in call.shape("x"):
        return "there is nothing to reduce"
    return call.specs["x"].dtype.name == "fp32" or f"{call.specs['x'].dtype} numbers"


def bind_softmax(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    count, step = shape[axis], prod(shape[axis + 1 :])
    launch = groups(prod(shape[:axis]) * step, count)
    return dict(x=call.flat("x"), y=call.flat("y"), count=count, step=max(1, step)) | launch


def bind_lrn(call: Call) -> dict:
    layer, (_, c, h, w) = call.layer, call.shape("x")
    across, reach = layer.region == "across", layer.local_size // 2
    neighbours = layer.local_size if across else layer.local_size**2
    return dict(
        x=call.flat("x"), y=call.flat("y"), channels=c, h=h, w=w, across=reach if across else 0,
        within=0 if across else reach, alpha=layer.alpha / neighbours, items=prod(call.shape("x")),
    )  # fmt: skip


kernel(Reduction, device="opencl", bind=bind_reduction, when=serves_reduction)(reduce)
kernel(Softmax, device="opencl", bind=bind_softmax)(softmax)
kernel(LRN, device="opencl", bind=bind_lrn)(lrn)
