"""Quantize, Dequantize, Requantize and Table on the cpu.

With one scale a tensor they do not care how it lies: flat loops, which become vector code. An image of many channels
that is plain is quantized into blocks, as what follows wants them, with no pass of its own for that.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.dtype import dtypes
from ...engine.kernel import Call, Packed, Scratch, View, kernel
from ...engine.layout import BLOCKED, PLAIN, SAME
from ..quantize import Dequantize, Quantize, Requantize, Table
from . import layout, simd
from .layout import channels_of
from .rounding import limits, range_of, rounded

FLAT = dict(split=("x", "y"), layouts={"x": SAME, "y": SAME})


def known(v):
    """0 for NaN."""
    return v if v == v else np.float32(0)


def one_scale(call: Call) -> bool | str:
    count = len(call.layer.scale)
    return count == 1 or f"there are {count} scales"


def few_bits(call: Call) -> bool | str:
    """Whether float32 holds every number of the result."""
    to = dtypes[call.layer.to]
    return (to.itemsize <= 2 and call.specs["x"].dtype.name == "fp32") or f"{call.specs['x'].dtype} to {to}"


def both(*predicates):
    return lambda call: next((reason for p in predicates if (reason := p(call)) is not True), True)


def fills_blocks(call: Call) -> bool | str:
    shape = call.shape("x")
    if len(shape) < 3 or shape[1] < call.lanes:
        return f"x is {list(shape)}: no image, or of less channels than a block"
    return call.layer.to == "int8" or f"to is {call.layer.to!r}"


def bind_quantize(call: Call) -> dict:
    layer = call.layer
    bounds = limits(*range_of(layer.to), layer.zero[0])
    return dict(x=call.flat("x"), y=call.flat("y"), scale=layer.scale[0]) | bounds


@kernel(Quantize, device="cpu", dtype="int8", bind=bind_quantize, when=both(few_bits, one_scale), **FLAT)
def quantize(x, y, scale, low, high, zero):
    for i in range(y.size):
        y[i] = rounded(known(x[i] / scale), low, high, zero)


def bind_blocks(call: Call) -> dict:
    room = Scratch((call.threads, call.lanes, call.lanes))
    return bind_quantize(call) | layout.bind(call) | dict(room=room)


@kernel(
    Quantize, device="cpu", dtype="int8", bind=bind_blocks, when=both(few_bits, one_scale, fills_blocks),
    score=1.5, layouts={"x": PLAIN, "y": BLOCKED},
)  # fmt: skip
def quantize_into_blocks(x, y, room, channels, blocks, places, scale, low, high, zero, ith, nth):
    """Squares of LANES channels by LANES places, turned on the way; threads share them."""
    squares = (places + simd.LANES - 1) // simd.LANES
    for unit in range(blocks * squares * ith // nth, blocks * squares * (ith + 1) // nth):
        b, start = unit // squares, unit % squares * simd.LANES
        first, filled = channels_of(b, channels)
        if places >= simd.LANES:
            start = min(start, places - simd.LANES)
            source = simd.address(x) + (first * places + start) * 4
            to = simd.address(room) + ith * simd.LANES * simd.LANES * 4
            simd.transpose(source, places * 4, filled - 1, to, simd.LANES * 4, simd.LANES - 1, 4)
            for place in range(simd.LANES):
                steps = simd.divide(simd.load(to + place * simd.LANES * 4), simd.splat(scale))
                at = simd.address(y) + (b * places + start + place) * simd.LANES
                simd.store_bytes(at, steps, low, high, zero)
        else:
            for place in range(places):
                for lane in range(simd.LANES):
                    v = x[first + min(lane, filled - 1), place] / scale
                    y[b, place, lane] = rounded(known(v), low, high, zero)


def bind_slices(call: Call) -> dict:
    """x and y as (all axes before the layer's, it, all after it), and one scale and zero a slice."""
    layer, shape = call.layer, call.shape("x")
    sizes = prod(shape[:1]), 1, prod(shape[1:])  # of one scale
    if len(layer.scale) > 1:
        axis = call.specs["x"].axis(layer.axis)
        sizes = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    scales, zeros = (np.resize(np.asarray(v), sizes[1]) for v in (layer.scale, layer.zero))
    return dict(
        x=View("x", sizes), y=View("y", sizes),
        scales=Packed(scales.astype(np.float32)), zeros=Packed(zeros.astype(np.int64)),
    )  # fmt: skip


def bind_quantized_slices(call: Call) -> dict:
    return bind_slices(call) | limits(*range_of(call.layer.to), 0)


@kernel(Quantize, device="cpu", dtype="int8", bind=bind_quantized_slices, when=few_bits, score=0.5)
def quantize_slices(x, y, scales, zeros, low, high, ith, nth):
    before, count, after = y.shape
    for row in range(before * count * ith // nth, before * count * (ith + 1) // nth):
        i, k = row // count, row % count
        zero, scale = np.float32(zeros[k]), scales[k]
        least, most = low - zero, high - zero
        for j in range(after):
            y[i, k, j] = rounded(known(x[i, k, j] / scale), least, most, zero)


def bind_dequantize(call: Call) -> dict:
    layer = call.layer
    return dict(x=call.flat("x"), y=call.flat("y"), scale=layer.scale[0], zero=float(layer.zero[0]))


def small(call: Call) -> bool | str:
    """Whether float32 holds every x, and x less zero."""
    x, zero = call.specs["x"].dtype, call.layer.zero
    return (x.itemsize <= 2 and max(map(abs, zero)) < 1 << 16) or f"x is {x} and zero is {zero}"


@kernel(Dequantize, device="cpu", dtype="int8", bind=bind_dequantize, when=both(small, one_scale), **FLAT)
def dequantize(x, y, scale, zero):
    for i in range(y.size):
        y[i] = (np.float32(x[i]) - zero) * scale


def signed(call: Call) -> bool | str:
    return call.specs["x"].dtype.name != "uint64" or "x is uint64"


@kernel(Dequantize, device="cpu", dtype="int8", bind=bind_slices, when=signed, score=0.5)
def dequantize_slices(x, y, scales, zeros, ith, nth):
    before, count, after = y.shape
    for row in range(before * count * ith // nth, before * count * (ith + 1) // nth):
        i, k = row // count, row % count
        for j in range(after):
            y[i, k, j] = np.float32(np.int64(x[i, k, j]) - zeros[k]) * scales[k]


def bind_requantize(call: Call) -> dict:
    return bind_table(call) | dict(x_zero=float(call.layer.x_zero)) | limits(-128, 127, call.layer.zero)


@kernel(Requantize, device="cpu", dtype="int8", bind=bind_requantize, inplace=("x",), **FLAT)
def requantize(x, y, x_zero, multiplier, low, high, zero):
    for i in range(y.size):
        y[i] = rounded((np.float32(x[i]) - x_zero) * multiplier, low, high, zero)


def bind_table(call: Call) -> dict:
    return dict(x=call.flat("x"), y=call.flat("y"))


@kernel(Table, device="cpu", dtype="int8", bind=bind_table, inplace=("x",), **FLAT)
def look_up(x, table, y):
    for i in range(y.size):
        y[i] = table[np.int64(x[i]) + 128]
