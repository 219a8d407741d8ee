"""Functions of one element and of what its channel has, on OpenCL: BatchNorm, Scale, Bias, PReLU; and between real
numbers and int8: Quantize, Dequantize, Requantize, Table."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.dtype import dtypes
from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..activation import PReLU
from ..norm import BatchNorm, Bias, Scale
from ..quantize import Dequantize, Quantize, Requantize, Table
from .activation import COPIED
from .conv import NONE
from .quantized_conv import limits
from .source import variant, written_in

INTEGERS = [name for name in COPIED if name not in ("fp32", "bool")]


@written_in("rounding.cl", "channels.cl")
def channels(x, a, b, y, size, count, p, low, high, items):
    """Written in channels.cl."""


def each(
    call: Call,
    text: str,
    a: View | Packed,
    b: View | Packed = NONE,
    size: int = 1,
    count: int = 1,
    **numbers: float,
) -> Stage:
    """The stage y = text of every element of x and its channel's a and b; see channels.cl."""
    bound = dict(p=0.0, low=0.0, high=0.0) | numbers
    bound |= dict(x=call.flat("x"), a=a, b=b, y=call.flat("y"), items=prod(call.shape("x")))
    function = variant(channels, call.layer.type, EXPRESSION=f"({text})")
    return Stage(bound | dict(size=max(1, size), count=max(1, count)), (), function)


def bind_batchnorm(call: Call) -> Stage:
    _, c, *rest = call.shape("x")
    text = "(v - a[at]) / sqrt(b[at] + p)"
    return each(call, text, call.flat("mean"), call.flat("var"), prod(rest), c, p=call.layer.eps)


def bind_prelu(call: Call) -> Stage:
    count = prod(call.shape("slope"))
    return each(call, "v > 0 ? v : a[at] * v", call.flat("slope"), NONE, prod(call.shape("x")[2:]), count)


def _size_of(call: Call, weight: str) -> int:
    """How many of x's numbers in a row have one weight."""
    shape, axis, weights = call.shape("x"), call.specs["x"].axis(call.layer.axis), call.shape(weight)
    return prod(shape[axis + len(weights) :]) if weights else prod(shape)


def bind_scale(call: Call) -> Stage:
    shifted, count = call.specs.get("bias") is not None, prod(call.shape("scale"))
    text = "v * a[at] + b[at]" if shifted else "v * a[at]"
    bias = call.flat("bias") if shifted else NONE
    return each(call, text, call.flat("scale"), bias, _size_of(call, "scale"), count)


def bind_bias(call: Call) -> Stage:
    return each(call, "v + a[at]", call.flat("b"), NONE, _size_of(call, "b"), prod(call.shape("b")))


kernel(BatchNorm, device="opencl", bind=bind_batchnorm, inplace=("x",))(channels)
kernel(PReLU, device="opencl", bind=bind_prelu, inplace=("x",))(channels)
kernel(Scale, device="opencl", bind=bind_scale, inplace=("x",))(channels)
kernel(Bias, device="opencl", bind=bind_bias, inplace=("x",))(channels)


def slices(call: Call) -> dict:
    """Scale and zero of each slice along the layer's axis, or of the tensor."""
    layer, shape = call.layer, call.shape("x")
    count, size = len(layer.scale), prod(shape)
    if count > 1:
        size = prod(shape[call.specs["x"].axis(layer.axis) + 1 :])
    zeros = np.resize(np.asarray(layer.zero, np.int32), count)
    return dict(a=Packed(np.asarray(layer.scale, np.float32)), b=Packed(zeros), size=size, count=count)


def bind_quantize(call: Call) -> Stage:
    info = np.iinfo(dtypes[call.layer.to].storage)
    text = "rounded(divided(isnan(v) ? 0 : v, a[at]), low - b[at], high - b[at], b[at])"
    return each(call, text, **slices(call), low=float(info.min), high=float(info.max))


def few_bits(call: Call) -> bool | str:
    """Whether float32 holds every number of the result."""
    to = dtypes[call.layer.to]
    return (to.itemsize <= 2 and call.specs["x"].dtype.name == "fp32") or f"{call.specs['x'].dtype} to {to}"


def bind_dequantize(call: Call) -> Stage:
    return each(call, "(float)((long)v - b[at]) * a[at]", **slices(call))


def signed(call: Call) -> bool | str:
    kind = call.specs["x"].dtype.name
    return (kind in INTEGERS and kind != "uint64") or f"x is {kind}"


def bind_requantize(call: Call) -> Stage:
    layer = call.layer
    bounds = limits(-128, 127, layer.zero)
    numbers = Packed(np.array([layer.multiplier, bounds.pop("zero")], np.float32))
    return each(
        call, "rounded(((float)v - p) * a[0], low, high, a[1])", numbers, p=float(layer.x_zero), **bounds
    )


def bind_table(call: Call) -> Stage:
    return each(call, "a[(int)v + 128]", call.flat("table"))


kernel(Quantize, device="opencl", dtype="int8", bind=bind_quantize, when=few_bits)(channels)
kernel(Dequantize, device="opencl", dtype="int8", bind=bind_dequantize, when=signed)(channels)
kernel(Requantize, device="opencl", dtype="int8", bind=bind_requantize)(channels)
kernel(Table, device="opencl", dtype="int8", bind=bind_table)(channels)
