"""Quantize, Dequantize, Requantize and Table on the GPU: a thread an element, each slice with its scale and zero."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.dtype import dtypes
from ...engine.kernel import Call, Packed, kernel
from ..quantize import Dequantize, Quantize, Requantize, Table
from .blocks import divide, flat
from .card import numba_cuda
from .rounding import limits, range_of, rounded, times

cuda = numba_cuda()


def bind_slices(call: Call) -> dict:
    """x and y, one scale and zero a slice, how many elements lie in a slice side by side."""
    layer, shape = call.layer, call.shape("x")
    axis = call.specs["x"].axis(layer.axis) if len(layer.scale) > 1 else -1
    count = len(layer.scale)
    zeros = np.resize(np.asarray(layer.zero, np.int64), count)
    return flat(call, "x", "y") | dict(
        scales=Packed(np.asarray(layer.scale, np.float32)), zeros=Packed(zeros), count=count,
        size=prod(shape[axis + 1 :]) if count > 1 else prod(shape),
    )  # fmt: skip


def few_bits(call: Call) -> bool | str:
    """Whether float32 holds every number of the result."""
    to = dtypes[call.layer.to]
    return (to.itemsize <= 2 and call.specs["x"].dtype.name == "fp32") or f"{call.specs['x'].dtype} to {to}"


def signed(call: Call) -> bool | str:
    return call.specs["x"].dtype.name != "uint64" or "x is uint64"


@cuda.jit(device=True)
def slice_of(i, size, count):
    """The slice of element i: there are `count`, again and again, of `size` elements each."""
    number = divide(i, size)
    return number - divide(number, count) * count


@kernel(
    Quantize, device="cuda", dtype="int8", when=few_bits,
    bind=lambda call: bind_slices(call) | limits(*range_of(call.layer.to), 0),
)  # fmt: skip
def quantize(x, y, scales, zeros, count, size, low, high, items, ith, nth):
    for i in range(ith, items, nth):
        k = slice_of(i, size, count)
        zero = np.float32(zeros[k])
        y[i] = rounded(x[i] / scales[k], low - zero, high - zero, zeros[k])


@kernel(Dequantize, device="cuda", dtype="int8", when=signed, bind=bind_slices)
def dequantize(x, y, scales, zeros, count, size, items, ith, nth):
    for i in range(ith, items, nth):
        k = slice_of(i, size, count)
        y[i] = times(np.float32(np.int64(x[i]) - zeros[k]), scales[k])


def bind_requantize(call: Call) -> dict:
    return flat(call, "x", "y") | limits(-128, 127, call.layer.zero)


@kernel(Requantize, device="cuda", dtype="int8", bind=bind_requantize, inplace=("x",))
def requantize(x, y, x_zero, multiplier, low, high, zero, items, ith, nth):
    for i in range(ith, items, nth):
        y[i] = rounded(times(np.float32(np.int64(x[i]) - x_zero), multiplier), low, high, zero)


def bind_table(call: Call) -> dict:
    return flat(call, "x", "y") | dict(table=call.flat("table"))


@kernel(Table, device="cuda", dtype="int8", bind=bind_table, inplace=("x",))
def look_up(x, table, y, items, ith, nth):
    for i in range(ith, items, nth):
        y[i] = table[np.int64(x[i]) + 128]
