"""Integer layers on the GPU: exact sums in int32, then float32 one operation after another; a thread a result.

Convolution, InnerProduct, Deconvolution and MatMul differ in which numbers they sum up (window.py); what they make of a
sum, and of the number that it stands for, is the same: as_byte, as_real or as_sum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ..quantized import (
    QuantizedConvolution,
    QuantizedDeconvolution,
    QuantizedEltwise,
    QuantizedInnerProduct,
    QuantizedPooling,
)
from .blocks import LOWEST, divide, flat
from .card import numba_cuda
from .conv import geometry, in_two_axes
from .rounding import limits, rounded, times
from .window import spread, windowed

cuda = numba_cuda()


def limits_of(call: Call) -> dict:
    layer = call.layer
    return limits(layer.low, layer.high, layer.zero)


def bind_weighted(call: Call) -> dict:
    """What `weighted` is given of a layer with weights."""
    layer = call.layer
    tensors = {name: call.flat(name) for name in ("b", "multiplier", "slope", "residual", "gate")}
    numbers = dict(
        residual_zero=layer.residual_zero, residual_multiplier=layer.residual_multiplier, x_zero=layer.x_zero
    )
    return flat(call, "x", "w", "y") | tensors | numbers | limits_of(call)


def bind_images(sum_of: Callable) -> Callable[[Call], Stage]:
    """Of a convolution or its transpose, whichever sum it is."""

    def bind(call: Call) -> Stage:
        per_group = call.shape("y")[1] // call.layer.group
        bound = bind_weighted(call) | geometry(call) | dict(per_group=per_group)
        return Stage(bound, function=sums(sum_of, FINISH[call.layer.to]))

    return bind


def bind_product(call: Call) -> Stage:
    """As a convolution of one place."""
    m, k = call.shape("w")
    ones = dict.fromkeys(("h", "width", "oh", "ow", "kh", "kw", "stride_h", "stride_w"), 1)
    none = dict(dilation_h=1, dilation_w=1, top=0, left=0)
    bound = bind_weighted(call) | dict(c=k, m=m, per_group=m) | ones | none
    return Stage(bound, function=sums(windowed(np.int32), FINISH[call.layer.to]))


@cuda.jit(device=True)
def gated(v, start, gain, offset):
    """v * clamp(v + start, 0, 1) * gain + offset"""
    share = min(max(v + start, np.float32(0)), np.float32(1))
    return times(times(v, share), gain) + offset


@cuda.jit(device=True)
def as_real(total, v, low, high, zero):
    return v


@cuda.jit(device=True)
def as_byte(total, v, low, high, zero):
    return rounded(v, low, high, zero)


@cuda.jit(device=True)
def as_sum(total, v, low, high, zero):
    return total


FINISH = {"int8": as_byte, "fp32": as_real, "int32": as_sum}


@cache
def sums(sum_of: Callable, finish: Callable) -> Callable:
    """A thread a result: the exact sum that `sum_of` adds up, the bias, and what `finish` makes of it."""

    def sums_of_products(
        x, w, b, multiplier, slope, residual, gate, y, c, h, width, m, oh, ow, kh, kw, per_group, stride_h, stride_w,
        dilation_h, dilation_w, top, left, x_zero, residual_zero, residual_multiplier, low, high, zero,
        items, ith, nth,
    ):  # fmt: skip
        for item in range(ith, items, nth):
            row = divide(item, ow)
            plane = divide(row, oh)
            image = divide(plane, m)
            out = plane - image * m
            total = sum_of(
                x, w, image, out, row - plane * oh, item - row * ow, c, h, width, m, kh, kw, per_group, stride_h,
                stride_w, dilation_h, dilation_w, top, left, x_zero,
            )  # fmt: skip
            total = np.int32(total + b[out])
            v = times(np.float32(total), multiplier[out])
            if residual.size > 0:
                v += times(np.float32(np.int64(residual[item]) - residual_zero), residual_multiplier)
            if slope.size > 0 and v < 0:
                v = times(v, slope[out])
            if gate.size > 0:
                v = gated(v, gate[out], gate[m + out], gate[2 * m + out])
            y[item] = finish(total, v, low, high, zero)

    return sums_of_products


for _layer, _name, _sum, _bind, _when in (
    (QuantizedConvolution, "sums", windowed, bind_images(windowed(np.int32)), in_two_axes),
    (QuantizedDeconvolution, "spread", spread, bind_images(spread(np.int32)), in_two_axes),
    (QuantizedInnerProduct, "sums", windowed, bind_product, None),
):
    _function = sums(_sum(np.int32), as_byte)
    kernel(_layer, device="cuda", dtype="int8", bind=_bind, when=_when, name=_name)(_function)


def bind_pooling(call: Call) -> dict:
    """Windows, and how many numbers each has: cells of the image, or those of padding too."""
    layer, (h, width), (oh, ow) = call.layer, call.shape("x")[2:], call.shape("y")[2:]
    whole = layer.global_pooling
    kh, kw = (h, width) if whole else layer.kernel
    stride_h, stride_w = (1, 1) if whole else layer.stride
    top, left = (0, 0) if whole else layer.pad[:2]
    counts = [np.full(1, size, np.float32) for size in (h, width)]
    if not whole:
        counts = [layer.twin().counts(size, axis).astype(np.float32) for axis, size in enumerate((h, width))]
    return flat(call, "x", "y") | limits_of(call) | dict(
        count_h=Packed(counts[0]), count_w=Packed(counts[1]), h=h, width=width, oh=oh, ow=ow, kh=kh, kw=kw,
        stride_h=stride_h, stride_w=stride_w, top=top, left=left, largest=int(layer.method == "max"),
        x_zero=layer.x_zero, multiplier=layer.multiplier,
    )  # fmt: skip


@kernel(QuantizedPooling, device="cuda", dtype="int8", bind=bind_pooling, when=in_two_axes)
def windows(
    x, y, count_h, count_w, h, width, oh, ow, kh, kw, stride_h, stride_w, top, left, largest, x_zero,
    multiplier, low, high, zero, items, ith, nth,
):  # fmt: skip
    for item in range(ith, items, nth):
        row = divide(item, ow)
        plane = divide(row, oh)
        ox, oy = item - row * ow, row - plane * oh
        iy, ix = oy * stride_h - top, ox * stride_w - left
        total, best = np.int64(0), LOWEST
        for ky in range(max(0, -iy), min(kh, h - iy)):
            start = (plane * h + iy + ky) * width + ix
            for kx in range(max(0, -ix), min(kw, width - ix)):
                number = np.int64(x[start + kx]) - x_zero
                total += number
                best = max(best, np.float32(number))
        v = best if largest else np.float32(total) / (count_h[oy] * count_w[ox])
        y[item] = rounded(times(v, multiplier), low, high, zero)


def bind_eltwise(call: Call) -> list[Stage]:
    """The first two in one pass over y, then one for each further input, by way of a float32 sum that is kept."""
    layer, count = call.layer, len(call.layer.inputs)
    xs, y = [call.flat(f"xs{i}") for i in range(count)], flat(call, "y")
    factors, zeros = layer.multiplier, layer.x_zero
    factors = factors if len(factors) > 1 else factors * count
    join = {"sum": together, "max": larger, "prod": product}[layer.operation]
    last = limits_of(call)
    pair = dict(a=xs[0], b=xs[1], a_zero=zeros[0], b_zero=zeros[1], a_factor=factors[0], b_factor=factors[1])
    if count == 2:
        return [Stage(pair | y | last, function=joined(join))]
    room = Scratch(xs[0].shape)
    stages = [Stage(pair | dict(room=room, items=y["items"]), function=begun(join))]
    for x, zero, factor in zip(xs[2:], zeros[2:], factors[2:], strict=True):
        more = dict(x=x, x_zero=zero, factor=factor, room=room, items=y["items"])
        stages.append(Stage(more, function=one_more(join)))
    return [*stages, Stage(y | last | dict(room=room), function=finished)]


@cuda.jit(device=True)
def together(a, b, a_factor, b_factor):
    return times(a, a_factor) + times(b, b_factor)


@cuda.jit(device=True)
def larger(a, b, a_factor, b_factor):
    return max(times(a, a_factor), times(b, b_factor))


@cuda.jit(device=True)
def product(a, b, a_factor, b_factor):
    return times(a * b, a_factor)


@cache
def joined(join: Callable) -> Callable:
    def join_two(a, b, y, a_zero, b_zero, a_factor, b_factor, low, high, zero, items, ith, nth):
        for i in range(ith, items, nth):
            one, other = np.float32(np.int64(a[i]) - a_zero), np.float32(np.int64(b[i]) - b_zero)
            y[i] = rounded(join(one, other, a_factor, b_factor), low, high, zero)

    return join_two


@cache
def begun(join: Callable) -> Callable:
    def join_first(a, b, room, a_zero, b_zero, a_factor, b_factor, items, ith, nth):
        for i in range(ith, items, nth):
            one, other = np.float32(np.int64(a[i]) - a_zero), np.float32(np.int64(b[i]) - b_zero)
            room[i] = join(one, other, a_factor, b_factor)

    return join_first


@cache
def one_more(join: Callable) -> Callable:
    def join_next(x, room, x_zero, factor, items, ith, nth):
        for i in range(ith, items, nth):
            room[i] = join(room[i], np.float32(np.int64(x[i]) - x_zero), np.float32(1), factor)

    return join_next


def finished(room, y, low, high, zero, items, ith, nth):
    for i in range(ith, items, nth):
        y[i] = rounded(room[i], low, high, zero)


def one_shape(call: Call) -> bool | str:
    shapes = {call.shape(f"xs{i}") for i in range(len(call.layer.inputs))}
    return len(shapes) == 1 or f"shapes {', '.join(map(str, sorted(shapes)))} are to be broadcast"


kernel(
    QuantizedEltwise, device="cuda", dtype="int8", bind=bind_eltwise, when=one_shape, inplace=("xs0", "xs1"),
    name="join",
)(joined(together))  # fmt: skip
