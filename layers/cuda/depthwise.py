"""depthwise: one filter a channel. Little arithmetic: what counts is that neighbours read neighbours.

depthwise       in numba: a thread a result
depthwise_taps  in CUDA C++: four results in a row, for a filter whose size is known: depthwise.cu
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ..conv import Convolution
from . import native
from .blocks import divide
from .conv import bind as bind_direct
from .conv import serves as serves_direct
from .fused import finish

PLACES = 4  # depthwise.cu's results a thread
WIDEST = 7


def serves(call: Call) -> bool | str:
    w, group = call.shape("w"), call.layer.group
    if len(w) == 4 and (w[1] != 1 or w[0] != group):
        return f"group={group}, C/group={w[1]}, M={w[0]}: not one filter a channel"
    return serves_direct(call)


@kernel(Convolution, device="cuda", bind=bind_direct, when=serves, score=5.0)
def depthwise(
    x, w, b, residual, y, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w,
    top, left, act, alpha, beta, items, ith, nth,
):  # fmt: skip
    for item in range(ith, items, nth):
        row = divide(item, ow)
        plane = divide(row, oh)
        ox, oy = item - row * ow, row - plane * oh
        iy, ix = oy * stride_h - top, ox * stride_w - left
        channel = plane - divide(plane, m) * m
        weights = channel * kh * kw
        total = np.float32(0)
        for ky in range(kh):
            i = iy + ky * dilation_h
            if 0 <= i < h:
                source = (plane * h + i) * width
                for kx in range(kw):
                    j = ix + kx * dilation_w
                    if 0 <= j < width:
                        total += x[source + j] * w[weights + ky * kw + kx]
        if b.size > 0:
            total += b[channel]
        if residual.size > 0:
            total += residual[item]
        y[item] = finish(total, act, alpha, beta)


@native.declare("finish.cu", "depthwise.cu")
def depthwise_taps(
    x, w, b, residual, y, h, width, m, oh, ow, top, left, act, alpha, beta, items, ith, nth
):  # fmt: skip
    """Written in depthwise.cu."""


def small(call: Call) -> bool | str:
    layer, taps = call.layer, call.shape("w")[2:]
    if max(taps) > WIDEST or max(layer.dilation) > 1:
        return f"taps {list(taps)} with dilation {list(layer.dilation)} are too wide to unroll"
    return serves(call)


def bind_taps(call: Call) -> Stage:
    bound, (*planes, ow) = bind_direct(call), call.shape("y")
    kh, kw, sh, sw = (bound[name] for name in ("kh", "kw", "stride_h", "stride_w"))
    function = native.variant(depthwise_taps, f"depthwise_{kh}x{kw}", KH=kh, KW=kw, SH=sh, SW=sw)
    return Stage(bound | dict(items=prod(planes) * -(-ow // PLACES)), function=function)


kernel(Convolution, device="cuda", bind=bind_taps, when=native.serves(small), score=6.0)(depthwise_taps)
