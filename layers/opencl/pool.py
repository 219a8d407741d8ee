"""Pooling and QuantizedPooling on OpenCL: a work-item a window. Global pooling has one window, the image."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ..pool import Pooling
from ..quantized import QuantizedPooling
from .conv import NONE
from .quantized_conv import limits
from .source import variant, written_in


@written_in("rounding.cl", "pool.cl", number="float", INTEGERS=0, LOWEST="-INFINITY")
def pool(
    x, count_h, count_w, y, h, w, oh, ow, kh, kw, stride_h, stride_w, top, left, x_zero, multiplier, low, high, zero,
    items,
):  # fmt: skip
    """Written in pool.cl."""


def windows(call: Call, layer: Pooling) -> dict:
    """Sizes of images and windows, and how many cells of each window count."""
    (h, w), (oh, ow) = call.shape("x")[2:], call.shape("y")[2:]
    whole = layer.global_pooling
    kernel, stride = ((h, w), (1, 1)) if whole else (layer.kernel, layer.stride)
    top, left = (0, 0) if whole else layer.pad[:2]
    counts: dict = dict(count_h=NONE, count_w=NONE)
    if layer.method == "average":
        sizes = [[h], [w]] if whole else [layer.counts(size, axis) for axis, size in enumerate((h, w))]
        counts = dict(zip(counts, (Packed(np.array(s, np.float32)) for s in sizes), strict=True))
    return counts | dict(
        x=call.flat("x"), y=call.flat("y"), h=h, w=w, oh=oh, ow=ow, kh=kernel[0], kw=kernel[1],
        stride_h=stride[0], stride_w=stride[1], top=top, left=left, items=prod(call.shape("y")),
    )  # fmt: skip


def bind(call: Call) -> Stage:
    unused = dict(x_zero=0, multiplier=1.0, low=0.0, high=0.0, zero=0.0)
    average = int(call.layer.method == "average")
    return Stage(windows(call, call.layer) | unused, function=variant(pool, AVERAGE=average))


def bind_quantized(call: Call) -> Stage:
    layer = call.layer
    average = int(layer.method == "average")
    function = variant(pool, "quantized_pool", AVERAGE=average, number="int", INTEGERS=1, LOWEST="INT_MIN")
    return Stage(windows(call, layer.twin()) | limits(layer.low, layer.high, layer.zero), function=function)


kernel(Pooling, device="opencl", bind=bind)(pool)
kernel(QuantizedPooling, device="opencl", dtype="int8", bind=bind_quantized)(pool)
