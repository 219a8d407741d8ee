"""winograd_steps: a chunk of tiles in Winograd's kernels: transform the inputs, multiply, transform the sums back.

A tile is M × M outputs, and (M + 2)² positions of transformed numbers, which lie `step` bytes apart.
"""

from __future__ import annotations

import numpy as np

from . import simd
from .direct import LINE
from .fused import keep

# numbers of a variant
M = 4  # outputs of a tile, each way
ROWS, VECTORS = 6, 2  # of the product's tile

finish = keep


def read_tiles(
    x, near, step, room, first, count, chunk, blocks, h, width, top, left, down, across
):  # fmt: skip
    """B' d B of `count` tiles from number `first` on, block after block of channels."""
    vector = simd.LANES * 4
    for block in range(blocks):
        ix, iy, n = first % across * M, first // across % down * M, first // (across * down)
        for k in range(count):
            plane = x + (n * blocks + block) * h * width * vector
            to = near + (block * chunk + k) * vector
            transform_input(plane, iy - top, ix - left, h, width, room, to, step)
            ix, iy, n = next_tile(ix, iy, n, across, down)


def multiply(near, weights, soon, back, count, chunk, blocks, last_channels):
    """One position: (tiles × C) by (C × VECTORS vectors). Lines from `soon` on are asked for meanwhile."""
    vector = simd.LANES * 4
    step = simd.LANES * VECTORS * vector
    runs = (count + ROWS - 1) // ROWS
    ahead = (step // LINE + runs - 1) // runs
    at = 0
    while at < count:
        k = max(0, min(at, chunk - ROWS))
        t = simd.tile(ROWS, VECTORS)
        source = near + k * vector
        row = weights
        for _ in range(blocks - 1):
            for line in range(ahead):
                simd.prefetch(soon + line * LINE)
            soon += ahead * LINE
            t = simd.tile_fma_lanes(t, source, vector, row)
            source += chunk * vector
            row += step
        if last_channels == simd.LANES:
            t = simd.tile_fma_lanes(t, source, vector, row)
        else:
            for lane in range(last_channels):
                t = simd.tile_fma(t, source + lane * 4, vector, row + lane * VECTORS * vector)
        simd.tile_store_blocks(t, back + k * vector, vector, chunk * vector)
        at += ROWS


def write_tiles(
    y, residual, b, sums, step, room, first, count, chunk, first_block, blocks, out_blocks, oh, ow, down, across,
    alpha, beta,
):  # fmt: skip
    """A' s A of `count` tiles' sums, with bias, residual and activation, for `blocks` blocks of output channels."""
    vector = simd.LANES * 4
    for number in range(blocks):
        block = first_block + number
        bias = simd.address(b) + block * vector
        ox, oy, n = first % across * M, first // across % down * M, first // (across * down)
        for k in range(count):
            transform_output(sums + (number * chunk + k) * vector, step, room)
            place = ((n * out_blocks + block) * oh + oy) * ow + ox
            for i in range(min(M, oh - oy)):
                there, done = (place + i * ow) * vector, room + i * M * vector
                if ox + M <= ow:
                    t = simd.tile_load_add(simd.tile(M, 1), done, vector)
                    t = simd.tile_add_row(t, bias)
                    if residual.size > 0:
                        t = simd.tile_load_add(t, simd.address(residual) + there, vector)
                    simd.tile_store(finish(t, alpha, beta), simd.address(y) + there, vector)
                    continue
                for j in range(0, (ow - ox) * vector, vector):
                    t = simd.tile_load_add(simd.tile(1, 1), done + j, vector)
                    t = simd.tile_add_row(t, bias)
                    if residual.size > 0:
                        t = simd.tile_load_add(t, simd.address(residual) + there + j, vector)
                    simd.tile_store(finish(t, alpha, beta), simd.address(y) + there + j, vector)
            ox, oy, n = next_tile(ox, oy, n, across, down)


def next_tile(x, y, image, across, down):
    """The place of the tile after the one at (x, y) of an image, along the row, then down, then in the next image."""
    x += M
    if x == across * M:
        x = 0
        y += M
        if y == down * M:
            y = 0
            image += 1
    return x, y, image


def transform_input(plane, iy, ix, h, width, room, to, step):
    """B' d B of the (M + 2)² vectors at (iy, ix) of a plane, zeros outside; position p goes to `to + p * step`."""
    vector = simd.LANES * 4
    side = M + 2
    source, row = plane + (iy * width + ix) * vector, width * vector
    if iy < 0 or ix < 0 or iy + side > h or ix + side > width:
        for i in range(side):
            for j in range(side):
                value = simd.splat(np.float32(0))
                if 0 <= iy + i < h and 0 <= ix + j < width:
                    value = simd.load(source + i * row + j * vector)
                simd.store(room + (i * side + j) * vector, value)
        source, row = room, side * vector
    half = room + side * side * vector
    for j in range(side):
        simd.winograd_input(source + j * vector, row, half + j * vector, side * vector, M)
    for i in range(side):
        simd.winograd_input(half + i * side * vector, vector, to + i * side * step, step, M)


def transform_output(source, step, room):
    """A' s A of the (M + 2)² vectors at `source + p * step`; the M × M results lie at `room`, row by row."""
    vector, side = simd.LANES * 4, M + 2
    half = room + M * M * vector
    for j in range(side):
        simd.winograd_output(source + j * step, side * step, half + j * vector, side * vector, M)
    for i in range(M):
        simd.winograd_output(half + i * side * vector, vector, room + i * M * vector, vector, M)
