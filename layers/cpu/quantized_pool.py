"""QuantizedPooling on the cpu, in blocks of channels: PLACES windows side by side if none looks over the image's edge.

The largest of bytes is found among bytes, and few of them are added up as int16; only what comes of a window, or of a
row of a large one, becomes float32. All of it is whole numbers that float32 holds.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ..quantized import QuantizedPooling
from . import simd
from .pool import BOTH_BLOCKED, inner_windows
from .rounding import limits_of

UNROLLED = 16  # cells that one operation takes in at most

# numbers of a variant
PLACES = 4  # windows that are worked on at a time
STRIDE = 1  # places from one window to the next
KH, KW = 3, 3  # rows and columns that one operation takes in
AVERAGE = 0  # whether cells are added up, else the largest is found


def bind(call: Call) -> Stage:
    layer, (h, w), (oh, ow) = call.layer, call.shape("x")[2:], call.shape("y")[2:]
    average = layer.method == "average"
    (kh, kw), (stride_h, stride), (top, left) = layer.kernel, layer.stride, layer.pad[:2]
    counts = [np.ones(oh), np.ones(ow)]
    if layer.global_pooling:
        (kh, kw), (stride_h, stride), (top, left) = (h, w), (1, 1), (0, 0)
        counts = [np.array([h]), np.array([w])]
    elif average:
        counts = [layer.twin().counts(size, axis) for axis, size in enumerate((h, w))]
    columns = kw if kw <= UNROLLED else 1
    rows = kh if kh * columns <= UNROLLED else 1
    inside, beyond = inner_windows(w, ow, kw, stride, left)
    places = max(1, min(8, beyond - inside))
    return Stage(
        dict(
            x=call.planes("x", 3), y=call.planes("y", 3), kh=kh, kw=kw, stride_h=stride_h, top=top, left=left,
            count_h=Packed(counts[0].astype(np.float32)), count_w=Packed(counts[1].astype(np.float32)),
            x_zero=float(layer.x_zero),
        ) | limits_of(call),
        function=simd.variant(
            windows, PLACES=places, STRIDE=stride, KH=rows, KW=columns, AVERAGE=int(average),
            take_in=add_up if average else find_largest,
        ),
    )  # fmt: skip


def add_up(t, source, row_step, stride, rows, columns):
    return simd.tile_sum_bytes(t, source, row_step, stride, rows, columns)


def find_largest(t, source, row_step, stride, rows, columns):
    return simd.tile_max_bytes(t, source, row_step, stride, rows, columns)


take_in = find_largest


@kernel(QuantizedPooling, device="cpu", dtype="int8", bind=bind, layouts=BOTH_BLOCKED)
def windows(
    x, y, count_h, count_w, kh, kw, stride_h, top, left, x_zero, multiplier, low, high, zero, ith, nth
):  # fmt: skip
    """Threads share the rows of all blocks."""
    (blocks, h, w), (_, oh, ow) = x.shape[:3], y.shape[:3]
    start = np.float32(0) if AVERAGE else np.float32(-128)
    factor = simd.splat(multiplier)
    inside, beyond = inner_windows(w, ow, kw, STRIDE, left)
    for row in range(blocks * oh * ith // nth, blocks * oh * (ith + 1) // nth):
        iy = row % oh * stride_h - top
        first, last = max(0, iy), min(h, iy + kh)
        image = simd.address(x) + row // oh * h * w * simd.LANES
        ox = 0
        while ox < ow:
            if inside <= ox < beyond and beyond - inside >= PLACES:
                ox = min(ox, beyond - PLACES)
                source = image + (first * w + ox * STRIDE - left) * simd.LANES
                t = simd.tile_fill(simd.tile(PLACES, 1), start)
                for kx in range(0, kw, KW):
                    if last - first == KH:
                        t = take_in(t, source + kx * simd.LANES, w * simd.LANES, STRIDE, KH, KW)
                    else:
                        for k in range(last - first):
                            t = take_in(t, source + (k * w + kx) * simd.LANES, 0, STRIDE, 1, KW)
                to = simd.address(y) + (row * ow + ox) * simd.LANES
                if AVERAGE:
                    t = simd.tile_less(t, x_zero * np.float32((last - first) * kw))
                    t = simd.tile_divide(t, count_h[row % oh] * count_w[ox])
                else:
                    t = simd.tile_less(t, x_zero)
                simd.tile_store_places(simd.tile_times(t, factor), to, 0, low, high, zero)
                ox += PLACES
            else:
                left_cell, right_cell = max(0, ox * STRIDE - left), min(w, ox * STRIDE - left + kw)
                one = simd.tile_fill(simd.tile(1, 1), start)
                for k in range(first, last):
                    for ix in range(left_cell, right_cell):
                        one = take_in(one, image + (k * w + ix) * simd.LANES, 0, 1, 1, 1)
                to = simd.address(y) + (row * ow + ox) * simd.LANES
                if AVERAGE:
                    cells = (last - first) * (right_cell - left_cell)
                    one = simd.tile_less(one, x_zero * np.float32(cells))
                    one = simd.tile_divide(one, count_h[row % oh] * count_w[ox])
                else:
                    one = simd.tile_less(one, x_zero)
                simd.tile_store_places(simd.tile_times(one, factor), to, 0, low, high, zero)
                ox += 1
