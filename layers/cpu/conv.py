"""Convolution on the cpu as one blocked matrix product: any groups, strides and dilations, tensors as they are."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, kernel
from ..conv import Convolution
from . import simd
from .fused import clamp_of, clamps

ROWS = simd.PerTarget(lambda target: 14 if target.registers == 32 else 6)
COLUMNS = 2  # vectors; ROWS × COLUMNS sums stay in registers, with room for one row of operands


def _rows(call: Call) -> int:
    return 14 if call.registers == 32 else 6


def bind_gemm(call: Call) -> dict:
    """Weights as (group, tile of ROWS outputs, K, ROWS), a bias always, and room for one panel a thread."""
    layer, w = call.layer, call.constants["w"]
    (n, c, h, width), (_, m, oh, ow) = call.shape("x"), call.shape("y")
    group, (kh, kw), rows = layer.group, w.shape[2:], _rows(call)
    per_group, k = m // group, w[0].size
    tiles = -(-per_group // rows)
    packed = np.zeros((group, tiles * rows, k), np.float32)
    packed[:, :per_group] = w.reshape(group, per_group, k)
    packed = packed.reshape(group, tiles, rows, k).transpose(0, 1, 3, 2)
    bias = np.zeros((group, tiles * rows), np.float32)
    if call.shape("b") != (0,):
        bias[:, :per_group] = call.constants["b"].reshape(group, per_group)
    columns = COLUMNS * call.lanes
    panels = n * group * -(-(oh * ow) // columns)
    low, high = clamp_of(layer)
    return dict(
        x=call.flat("x"), y=call.flat("y"), w=Packed(packed), b=Packed(bias),
        room=Scratch((call.threads, (k + rows) * columns)),
        n=n, c=c // group, h=h, width=width, m=per_group, oh=oh, ow=ow, group=group, kh=kh, kw=kw,
        stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
        dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1], low=low, high=high,
        # with few panels the threads share the outputs instead, and each fills every panel for itself
        share_rows=int(panels < 4 * call.threads and tiles >= call.threads),
    )  # fmt: skip


def constant_weights(call: Call) -> bool | str:
    """Weights are packed when the plan is made, so they must be there by then."""
    if call.shape("residual") != (0,):
        return "it adds no residual"
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    return clamps(call.layer)


@kernel(Convolution, device="cpu", when=constant_weights, bind=bind_gemm)
def gemm(
    x, y, w, b, room,
    n, c, h, width, m, oh, ow, group, kh, kw,
    stride_h, stride_w, dilation_h, dilation_w, top, left, low, high, share_rows, ith, nth,
):  # fmt: skip
    """Y = W @ X column by column: a panel holds, for COLUMNS vectors of output places, the K inputs that each sees."""
    lanes = COLUMNS * simd.LANES
    k = c * kh * kw
    tiles = (m + ROWS - 1) // ROWS
    panels = (oh * ow + lanes - 1) // lanes
    panel = simd.address(room) + ith * (k + ROWS) * lanes * 4
    edge = panel + k * lanes * 4  # a tile that sticks out of y is put here first
    units = n * group * panels
    first, last = (0, units) if share_rows else (units * ith // nth, units * (ith + 1) // nth)
    top_tile, end_tile = (tiles * ith // nth, tiles * (ith + 1) // nth) if share_rows else (0, tiles)
    for unit in range(first, last):
        image, g, column = unit // (group * panels), unit // panels % group, unit % panels * lanes
        count = min(lanes, oh * ow - column)
        source = simd.address(x) + (image * group + g) * c * h * width * 4
        fill_panel(
            panel, source, column, count, lanes, c, h, width, ow, kh, kw,
            stride_h, stride_w, dilation_h, dilation_w, top, left,
        )  # fmt: skip
        for tile in range(top_tile, end_tile):
            t = simd.tile(ROWS, COLUMNS)
            weights = simd.address(w) + (g * tiles + tile) * k * ROWS * 4
            inputs = panel
            for _ in range(k):
                t = simd.tile_fma(t, weights, 4, inputs)
                weights += ROWS * 4
                inputs += lanes * 4
            t = simd.tile_add_column(t, simd.address(b) + (g * tiles + tile) * ROWS * 4, 4)
            t = simd.tile_clamp(t, low, high)
            row = tile * ROWS
            rows = min(ROWS, m - row)
            place = simd.address(y) + (((image * group + g) * m + row) * oh * ow + column) * 4
            if rows == ROWS and count == lanes:
                simd.tile_store(t, place, oh * ow * 4)
            else:
                simd.tile_store(t, edge, lanes * 4)
                for i in range(rows):
                    copy(place + i * oh * ow * 4, edge + i * lanes * 4, count, 1)


def fill_panel(
    panel, source, column, count, lanes, c, h, width, ow, kh, kw,
    stride_h, stride_w, dilation_h, dilation_w, top, left,
):  # fmt: skip
    """panel[k][j] = what tap k = (channel, ky, kx) sees from output place column + j; 0 in the padding."""
    row = panel
    for channel in range(c):
        for ky in range(kh):
            for kx in range(kw):
                oy, ox, j = column // ow, column % ow, 0
                while j < count:  # one stretch of places in the same output row at a time
                    run = min(ow - ox, count - j)
                    iy = oy * stride_h - top + ky * dilation_h
                    ix = ox * stride_w - left + kx * dilation_w
                    before, inside = run, 0
                    if 0 <= iy < h:
                        before = min(run, max(0, (-ix + stride_w - 1) // stride_w))
                        inside = max(0, min(run, (width - ix + stride_w - 1) // stride_w) - before)
                    start = source + ((channel * h + iy) * width + ix + before * stride_w) * 4
                    clear(row + j * 4, before)
                    copy(row + (j + before) * 4, start, inside, stride_w)
                    clear(row + (j + before + inside) * 4, run - before - inside)
                    j += run
                    oy += 1
                    ox = 0
                clear(row + count * 4, lanes - count)
                row += lanes * 4


def copy(to, source, count, step):
    """count float32 from every step-th place."""
    i = 0
    if step == 1:
        while i + simd.LANES <= count:
            simd.store(to + i * 4, simd.load(source + i * 4))
            i += simd.LANES
    while i < count:
        simd.store_scalar(to + i * 4, simd.load_scalar(source + i * step * 4))
        i += 1


def clear(to, count):
    for i in range(count):
        simd.store_scalar(to + i * 4, np.float32(0))
