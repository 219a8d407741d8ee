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
from .halves import in_halves, packed_weights
from .lattice import Lattice, whole

# numbers of a variant
ROWS = 6
TAPS, STRIDE, DILATION = 3, 1, 1  # along a row
STEP = 1  # places of the output from one that is computed to the next

WEIGHT = 4  # bytes of a weight


def fma_row(t, inputs, w):
    return simd.tile_fma_row(t, inputs, w, TAPS, STRIDE, DILATION)


def fma_row_halves(t, inputs, w):
    return simd.tile_fma_row_halves(t, inputs, w, TAPS, STRIDE, DILATION)


finish = keep


def serves(call: Call) -> bool | str:
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    found = one_a_channel(call, call.shape("w")[0], call.shape("w")[3])
    return finishes(call.layer) if found is True else found


def one_a_channel(call: Call, filters: int, taps: int) -> bool | str:
    """Whether there are as many filters as channels and groups, with few taps along a row."""
    w, group = call.shape("w"), call.layer.group
    if w[1] != 1 or filters != group or group == 1:
        return f"group={group}, C/group={w[1]}, M={filters}: not one filter a channel"
    return taps <= 7 or f"{taps} taps along a row are too many to unroll"


def bind(call: Call) -> Stage:
    return stage(call, call.constants["w"], whole(call), finish_of(call.layer))


def stage(call: Call, w: np.ndarray, at: Lattice, finishing: tuple) -> Stage:
    """The outputs of a lattice with filters w, (C, 1, KH, KW). Weights as (blocks, KH, KW, lanes)."""
    lanes, down, across = call.lanes, at.rows, at.columns
    (n, c, h, width), (_, _, out_h, out_w) = call.shape("x"), call.shape("y")
    kh, kw = w.shape[2:]
    blocks = -(-c // lanes)
    full = np.zeros((blocks * lanes, kh, kw), np.float32)
    full[:c] = w[:, 0]
    packed = np.ascontiguousarray(full.reshape(blocks, lanes, kh, kw).transpose(0, 2, 3, 1))
    bias = np.zeros(blocks * lanes, np.float32)
    if call.shape("b") != (0,):
        bias[:c] = call.constants["b"]
    rows = best_rows(across.count, call.registers - kw - 1)
    function, alpha, beta = finishing
    strip = (rows - 1) * across.stride + (kw - 1) * across.dilation + 1
    row = dict(TAPS=kw, STRIDE=across.stride, DILATION=across.dilation)
    half = in_halves(call)
    return Stage(
        dict(
            x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"),
            w=packed_weights(call, packed), b=Packed(bias),
            strips=Scratch((call.threads, strip * lanes)), planes=n * blocks, blocks=blocks, h=h, width=width,
            oh=down.count, ow=across.count, kh=kh, stride_h=down.stride, dilation_h=down.dilation,
            top=down.before, left=across.before, out_h=out_h, out_w=out_w, step_h=down.step,
            start=down.start * out_w + across.start, strip=strip, alpha=float(alpha), beta=float(beta),
        ),
        function=simd.variant(
            depthwise, ROWS=rows, STEP=across.step, finish=function, WEIGHT=2 if half else 4, **row,
            fma_row=simd.variant(fma_row_halves if half else fma_row, **row),
        ),
    )  # fmt: skip


def best_rows(places: int, most: int) -> int:
    """Places of a tile: the widest that wastes least when the last tile of a row overlaps the one before."""
    return min(range(1, min(places, most, 16) + 1), key=lambda rows: -(-places // rows) * (rows + 1.5))


@kernel(
    Convolution, device="cpu", when=serves, bind=bind, score=9.0,
    layouts={"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
def depthwise(
    x, y, residual, w, b, strips, planes, blocks, h, width, oh, ow, kh, stride_h, dilation_h, top, left,
    out_h, out_w, step_h, start, strip, alpha, beta, ith, nth,
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
                weights = simd.address(w) + (block * kh + ky) * TAPS * simd.LANES * WEIGHT
                t = fma_row(t, inputs, weights)
            there = ((plane * out_h + oy * step_h) * out_w + ox * STEP + start) * vector
            if residual.size > 0:
                t = simd.tile_load_add(t, simd.address(residual) + there, STEP * vector)
            t = finish(t, alpha, beta)
            simd.tile_store(t, simd.address(y) + there, STEP * vector)
            at += ROWS


def fill_strip(edge, inputs, ix, width, strip):
    """edge[i] = the vector at place ix + i of the input's row, 0 outside; `inputs` is the address of place ix."""
    vector = simd.LANES * 4
    for i in range(strip):
        value = simd.splat(np.float32(0))
        if 0 <= ix + i < width:
            value = simd.load(inputs + i * vector)
        simd.store(edge + i * vector, value)
