"""QuantizedConvolution with one filter a channel, on the cpu: as `depthwise`, whose sums are whole numbers here.

Such numbers below 2**24 are exact in float32, and so are its multiply-adds of them. Each row of the input becomes
float32, less x_zero, once: it lies in a ring of as many rows as a filter spans, beside the zeros that the filter sees
at its ends.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..quantized import QuantizedConvolution
from . import simd
from .depthwise import best_rows, one_a_channel
from .rounding import limits_of
from .words import filled, gates, packed_if_any, slopes

EXACT = 1 << 24  # whole numbers up to this are exact in float32

# numbers of a variant
ROWS = 6
TAPS, STRIDE, DILATION = 3, 1, 1  # along a row
FLOATS = 1  # whether float32 holds the sums with their bias


def serves(call: Call) -> bool | str:
    """Constant weights, one filter a channel, whose sums float32 holds."""
    for name in ("w", "b", "multiplier", "slope", "gate"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    if call.layer.to != "int8":
        return f"to is {call.layer.to!r}"
    found = one_a_channel(call, call.shape("w")[0], call.shape("w")[3])
    if found is not True:
        return found
    largest = largest_sum(call)
    return largest < EXACT or f"sums up to {largest} are too large for float32"


def largest_sum(call: Call) -> int:
    """What no sum of products is larger than."""
    return int(255 * np.abs(call.constants["w"].astype(np.int64)).sum((1, 2, 3)).max(initial=0))


def bind(call: Call) -> Stage:
    """Weights as float32 (blocks, KH, KW, lanes)."""
    layer, w, lanes = call.layer, call.constants["w"], call.lanes
    (n, c, h, width), (_, _, oh, ow) = call.shape("x"), call.shape("y")
    kh, kw = w.shape[2:]
    blocks = -(-c // lanes)
    full = np.zeros((blocks * lanes, kh, kw), np.float32)
    full[:c] = w[:, 0]
    packed = np.ascontiguousarray(full.reshape(blocks, lanes, kh, kw).transpose(0, 2, 3, 1))
    (stride_h, stride), (dilation_h, dilation), (top, left, *_) = layer.stride, layer.dilation, layer.pad
    rows = best_rows(ow, call.registers - kw - 1)
    wide = (ow - 1) * stride + (kw - 1) * dilation + 1
    deep = (kh - 1) * dilation_h + 1
    b = call.constants["b"]
    floats = largest_sum(call) + int(np.abs(b.astype(np.int64)).max(initial=0)) < EXACT
    given = {"b": b.astype(np.float32) if floats else b, "multiplier": call.constants["multiplier"]}
    per_channel = {name: Packed(filled(values, blocks * lanes)) for name, values in given.items()}
    return Stage(
        dict(
            x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"), w=Packed(packed),
            slope=packed_if_any("slope", slopes(call, blocks * lanes)),
            gate=packed_if_any("gate", gates(call, blocks * lanes)),
            ring=Scratch((call.threads, deep, wide * lanes)),
            planes=n * blocks, blocks=blocks, h=h, width=width, oh=oh, ow=ow, kh=kh, stride_h=stride_h,
            dilation_h=dilation_h, top=top, left=left, x_zero=float(layer.x_zero),
            residual_zero=float(layer.residual_zero), residual_multiplier=float(layer.residual_multiplier),
        ) | per_channel | limits_of(call),
        function=simd.variant(
            quantized_depthwise, ROWS=rows, TAPS=kw, STRIDE=stride, DILATION=dilation, FLOATS=int(floats)
        ),
    )  # fmt: skip


@kernel(
    QuantizedConvolution, device="cpu", dtype="int8", when=serves, bind=bind, score=9.0,
    layouts={"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
def quantized_depthwise(
    x, y, residual, w, b, multiplier, slope, gate, ring, planes, blocks, h, width, oh, ow, kh, stride_h, dilation_h,
    top, left, x_zero, residual_zero, residual_multiplier, low, high, zero, ith, nth,
):  # fmt: skip
    """Row by row of each block of channels; threads share the rows of all blocks."""
    vector = simd.LANES * 4
    deep, step = ring.shape[1], ring.shape[2] * 4
    start = simd.address(ring) + ith * deep * step
    in_ring, ready = -1, 0  # the plane whose rows are in the ring, and the row behind the last of them
    for unit in range(planes * oh * ith // nth, planes * oh * (ith + 1) // nth):
        plane, oy = unit // oh, unit % oh
        block = plane % blocks
        iy = oy * stride_h - top
        first, last = max(0, iy), min(h, iy + deep)
        if plane != in_ring or ready < first:
            in_ring, ready = plane, first
        while ready < last:
            source = simd.address(x) + (plane * h + ready) * width * simd.LANES
            fill_row(start + ready % deep * step, source, ring.shape[2] // simd.LANES, left, width, x_zero)
            ready += 1
        at = 0
        while at < ow:
            ox = min(at, ow - ROWS)
            t = simd.tile(ROWS, 1)
            if FLOATS:
                t = simd.tile_add_row(t, simd.address(b) + block * vector)
            for ky in range(kh):
                row = iy + ky * dilation_h
                if first <= row < last:
                    inputs = start + row % deep * step + ox * STRIDE * vector
                    weights = simd.address(w) + (block * kh + ky) * TAPS * vector
                    t = simd.tile_fma_row(t, inputs, weights, TAPS, STRIDE, DILATION)
            there = (unit * ow + ox) * simd.LANES
            if FLOATS:
                t = simd.tile_times(t, simd.load(simd.address(multiplier) + block * vector))
            else:
                t = simd.tile_whole(t, simd.address(b) + block * vector)
                t = simd.tile_scale(t, simd.address(multiplier) + block * vector)
            if residual.size > 0:
                t = simd.tile_add_bytes(
                    t, simd.address(residual) + there, simd.LANES, 0,
                    np.float32(residual_zero), np.float32(residual_multiplier),
                )  # fmt: skip
            if slope.size > 0:
                t = simd.tile_slope(t, simd.address(slope) + block * vector)
            if gate.size > 0:
                t = simd.tile_gate(t, simd.address(gate) + 3 * block * vector)
            simd.tile_store_places(
                t, simd.address(y) + there, 0, np.float32(low), np.float32(high), np.float32(zero)
            )
            at += ROWS


def fill_row(to, source, wide, left, width, x_zero):
    """A row of the image, less x_zero, from place `left` of a row of `wide` places on; zeros beside it."""
    vector = simd.LANES * 4
    left = min(left, wide)
    inside = min(width, wide - left)
    for i in range(left):
        simd.store(to + i * vector, simd.splat(np.float32(0)))
    for i in range(inside):
        number = simd.load_bytes(source + i * simd.LANES)
        simd.store(to + (left + i) * vector, simd.subtract(number, simd.splat(x_zero)))
    for i in range(left + inside, wide):
        simd.store(to + i * vector, simd.splat(np.float32(0)))
