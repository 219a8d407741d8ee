"""Convolution with one filter a channel on OpenCL, in fp32, fp16 and int8: a work-item has a strip of a row, strip.cl.

Beside the kernels of conv.py and quantized_conv.py, by which it has one result. Which is best is measured.
"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, kernel
from ..conv import Convolution
from ..quantized import QuantizedConvolution
from .conv import activated, bind_direct, both, one_filter_a_channel
from .quantized_conv import TO, bind_result
from .source import variant, written_in

STRIPS = (4, 8, 16)  # results side by side
SHARED = ("geometry.cl", "vectors.cl", "strip.cl")


@written_in("finish.cl", *SHARED, "strip_conv.cl", number="float", HALVES=0)
def strip_conv(
    x, w, b, residual, y, c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left,
    group, act, alpha, beta, items,
):  # fmt: skip
    """Written in strip_conv.cl."""


@written_in("rounding.cl", *SHARED, "requantize.cl", "strip_quantized.cl", number="int", HALVES=0, TO=0)
def strip_quantized(
    x, w, b, multiplier, slope, residual, gate, residual_zero, residual_multiplier, low, high, zero, y, c, h, width, m,
    oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group, x_zero, items,
):  # fmt: skip
    """Written in strip_quantized.cl."""


def strips(call: Call, length: int) -> int:
    """How many there are."""
    *planes, ow = call.shape("y")
    return prod(planes) * -(-ow // length)


def bind_numbers(length: int):
    def bind(call: Call) -> Stage:
        halves = int(call.in_halves("w"))
        function = variant(strip_conv, f"strip_{length}" + "_halves" * halves, TN=length, HALVES=halves)
        return Stage(bind_direct(call).params | dict(items=strips(call, length)), function=function)

    return bind


def bind_bytes(length: int):
    def bind(call: Call) -> Stage:
        function = variant(strip_quantized, f"strip_{length}", TN=length, TO=TO[call.layer.to])
        return Stage(bind_result(call).params | dict(items=strips(call, length)), function=function)

    return bind


def wide(length: int):
    """Whether a row has as many results, or nearly: what is missing in a strip is computed and thrown away."""
    return lambda call: call.shape("y")[-1] > length // 2 or f"rows of {call.shape('y')[-1]} results"


for _length in STRIPS:
    _when = both(one_filter_a_channel, wide(_length))
    kernel(
        Convolution, device="opencl", bind=bind_numbers(_length), when=both(_when, activated), score=7.0,
        name=f"strip_{_length}",
    )(strip_conv)  # fmt: skip
    kernel(
        QuantizedConvolution, device="opencl", dtype="int8", bind=bind_bytes(_length), when=_when, score=7.0,
        name=f"strip_{_length}",
    )(strip_quantized)  # fmt: skip
