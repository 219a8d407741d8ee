"""depthwise: one filter a channel, a vector of channels at a time.

A tile is ROWS places of one row. Each row of the filter passes over the input once: a vector is loaded for all the
taps that need it, and the sums stay in registers. Tiles at the left and right edge read from a copy beside zeros.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..conv import Convolution
from . import simd
from .fused import finish_of, finishes, keep

# numbers of a variant
ROWS = 6
TAPS, STRIDE, DILATION = 3, 1, 1  # along a row

finish = keep


def serves(call: Call) -> bool | str:
    """As many filters as channels and groups, constant, and small enough along a row to unroll."""
    w, group = call.shape("w"), call.layer.group
    if w[1] != 1 or w[0] != group or group == 1:
        return f"group={group}, C/group={w[1]}, M={w[0]}: not one filter a channel"
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    if call.shape("residual") != (0,):
        return "it adds no residual"
    if w[3] > 7:
        return f"KW={w[3]} is too wide to unroll"
    return finishes(call.layer)


def bind(call: Call) -> Stage:
    """Weights as (blocks, KH, KW, lanes)."""
    layer, w, lanes = call.layer, call.constants["w"], call.lanes
    (n, c, h, width), (_, _, oh, ow) = call.shape("x"), call.shape("y")
    kh, kw = w.shape[2:]
    blocks = -(-c // lanes)
    full = np.zeros((blocks * lanes, kh, kw), np.float32)
    full[:c] = w[:, 0]
    packed = np.ascontiguousarray(full.reshape(blocks, lanes, kh, kw).transpose(0, 2, 3, 1))
    bias = np.zeros(blocks * lanes, np.float32)
    if call.shape("b") != (0,):
        bias[:c] = call.constants["b"]
    rows = best_rows(ow, call.registers - kw - 1)
    function, alpha, beta = finish_of(layer)
    (stride_h, stride), (dilation_h, dilation), (top, left, *_) = layer.stride, layer.dilation, layer.pad
    strip = (rows - 1) * stride + (kw - 1) * dilation + 1
    return Stage(
        dict(
            x=call.flat("x"), y=call.flat("y"), w=Packed(packed), b=Packed(bias),
            strips=Scratch((call.threads, strip * lanes)), planes=n * blocks, blocks=blocks, h=h, width=width,
            oh=oh, ow=ow, kh=kh, stride_h=stride_h, dilation_h=dilation_h, top=top, left=left, strip=strip,
            alpha=float(alpha), beta=float(beta),
        ),
        function=simd.variant(depthwise, ROWS=rows, TAPS=kw, STRIDE=stride, DILATION=dilation, finish=function),
    )  # fmt: skip


def best_rows(places: int, most: int) -> int:
    """Places of a tile: the widest that wastes least when the last tile of a row overlaps the one before."""
    return min(range(1, min(places, most, 16) + 1), key=lambda rows: -(-places // rows) * (rows + 1.5))


@kernel(Convolution, device="cpu", when=serves, bind=bind, score=9.0, layouts={"x": BLOCKED, "y": BLOCKED})
def depthwise(
    x, y, w, b, strips, planes, blocks, h, width, oh, ow, kh, stride_h, dilation_h, top, left, strip, alpha, beta,
    ith, nth,
):  # fmt: skip
    """Row by row of each block of channels; threads share the rows of all blocks."""
    vector = simd.LANES * 4
    edge = simd.address(strips) + ith * strip * vector
    for unit in range(planes * oh * ith // nth, planes * oh * (ith + 1) // nth):
        plane, oy = unit // oh, unit % oh
        block = plane % blocks
        iy = oy * stride_h - top
        first = max(0, (-iy + dilation_h - 1) // dilation_h)
        last = min(kh, (h - iy + dilation_h - 1) // dilation_h)
        at = 0
        while at < ow:
            ox = min(at, ow - ROWS)
            ix = ox * STRIDE - left
            over_edge = ix < 0 or ix + strip > width
            t = simd.tile(ROWS, 1)
            t = simd.tile_add_row(t, simd.address(b) + block * vector)
            for ky in range(first, last):
                inputs = simd.address(x) + ((plane * h + iy + ky * dilation_h) * width + ix) * vector
                if over_edge:
                    fill_strip(edge, inputs, ix, width, strip)
                    inputs = edge
                weights = simd.address(w) + (block * kh + ky) * TAPS * vector
                t = simd.tile_fma_row(t, inputs, weights, TAPS, STRIDE, DILATION)
            t = finish(t, alpha, beta)
            simd.tile_store(t, simd.address(y) + (unit * ow + ox) * vector, vector)
            at += ROWS


def fill_strip(edge, inputs, ix, width, strip):
    """edge[i] = the vector at place ix + i of the input's row, 0 outside; `inputs` is the address of place ix."""
    vector = simd.LANES * 4
    for i in range(strip):
        value = simd.splat(np.float32(0))
        if 0 <= ix + i < width:
            value = simd.load(inputs + i * vector)
        simd.store(edge + i * vector, value)
