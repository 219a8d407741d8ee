"""winograd: 3 × 3 convolution with stride 1 by fewer multiplications. See transforms.py for the method.

The image is cut into tiles of M × M outputs. A thread takes CHUNK tiles through all three steps while they are near:
transform the inputs, multiply for each of the (M + 2)² positions a (tiles × C) matrix by a (C × outputs) one, which
is the same product that `direct` does for a 1 × 1 filter, and transform the sums back, with bias, residual and
activation.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..conv import Convolution
from . import simd
from .direct import serves as serves_directly
from .fused import finish_of, keep
from .tiling import best_tile
from .transforms import transformed_weights

# numbers of a variant
M = 4  # outputs of a tile, each way
ROWS, VECTORS = 6, 2  # of the product's tile

finish = keep

NEAR_BYTES = 512 << 10  # what a thread's chunk of tiles may take of its cache
MOST_WEIGHTS = 80 << 20  # bytes of transformed weights, of which each chunk reads all


def serves(m: int):
    """The predicate of F(m × m, 3 × 3)."""

    def predicate(call: Call) -> bool | str:
        layer, w = call.layer, call.shape("w")
        if w[2:] != (3, 3) or layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.group != 1:
            return "it is no 3x3 filter with stride 1"
        if w[0] < call.lanes or w[1] < call.lanes:
            return f"C={w[1]}, M={w[0]}: too few channels to be worth the transforms"
        _, _, oh, ow = call.shape("y")
        tiles = -(-oh // m) * -(-ow // m)
        if oh * ow < 0.6 * tiles * m * m:
            return f"tiles of {m}x{m} fit {oh}x{ow} badly"
        if min(call.shape("y")) == 0:
            return "there is nothing to compute"
        weights = 4 * (m + 2) ** 2 * w[0] * w[1]
        if weights > MOST_WEIGHTS or tiles < 8:
            return f"{tiles} tiles are too few for {weights:,} bytes of transformed weights"
        return serves_directly(call)

    return predicate


def bind(m: int):
    """Weights as (position, group of outputs, C, VECTORS * lanes), and room for one chunk a thread."""

    def bound(call: Call) -> Stage:
        layer, w, lanes = call.layer, call.constants["w"], call.lanes
        (n, c, h, width), (_, outputs, oh, ow) = call.shape("x"), call.shape("y")
        positions, blocks, out_blocks = (m + 2) ** 2, -(-c // lanes), -(-outputs // lanes)
        down, across = -(-oh // m), -(-ow // m)
        tiles = n * down * across
        weights = positions * 4 * blocks * out_blocks * lanes**2
        chunk = _chunk(tiles, positions * 4 * lanes * (blocks + out_blocks), weights, call.threads)
        tile = best_tile(chunk, out_blocks, call.registers)
        full = np.zeros((positions, out_blocks * lanes, blocks * lanes), np.float32)
        full[:, :outputs, :c] = transformed_weights(w, m).reshape(positions, outputs, c)
        split = full.reshape(positions, out_blocks // tile.vectors, tile.vectors * lanes, blocks * lanes)
        bias = np.zeros(out_blocks * lanes, np.float32)
        if call.shape("b") != (0,):
            bias[:outputs] = call.constants["b"]
        function, alpha, beta = finish_of(layer)
        return Stage(
            dict(
                x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"),
                w=Packed(np.ascontiguousarray(split.transpose(0, 1, 3, 2))), b=Packed(bias),
                inputs=Scratch((call.threads, positions * blocks * chunk * lanes)),
                sums=Scratch((call.threads, positions * out_blocks * chunk * lanes)),
                corner=Scratch((call.threads, 2 * positions * lanes)),
                c=c, h=h, width=width, oh=oh, ow=ow, top=layer.pad[0], left=layer.pad[1],
                tiles=tiles, down=down, across=across, chunk=chunk, out_blocks=out_blocks,
                alpha=float(alpha), beta=float(beta),
            ),
            function=simd.variant(
                winograd, M=m, ROWS=tile.rows, VECTORS=tile.vectors, finish=function,
                transform_input=simd.variant(transform_input, M=m),
                transform_output=simd.variant(transform_output, M=m),
            ),
        )  # fmt: skip

    return bound


def _chunk(tiles: int, bytes_per_tile: int, weights: int, threads: int) -> int:
    """Tiles of a chunk: as many as stay near, and more where the weights are what does not; chunks of one size."""
    most = max(8, min(256, max(NEAR_BYTES, weights // 2) // bytes_per_tile))
    rounds = -(-tiles // (most * threads))
    return -(-tiles // (rounds * threads))


LAYOUTS = {"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED}


@kernel(Convolution, device="cpu", when=serves(6), bind=bind(6), score=7.0, layouts=LAYOUTS, name="winograd6")
@kernel(Convolution, device="cpu", when=serves(4), bind=bind(4), score=8.0, layouts=LAYOUTS, name="winograd4")
def winograd(
    x, y, residual, w, b, inputs, sums, corner, c, h, width, oh, ow, top, left, tiles, down, across, chunk,
    out_blocks, alpha, beta, ith, nth,
):  # fmt: skip
    """One chunk of tiles after another; threads share the chunks."""
    positions, vector = (M + 2) * (M + 2), simd.LANES * 4
    blocks = (c + simd.LANES - 1) // simd.LANES
    last_channels = c - (blocks - 1) * simd.LANES
    groups = out_blocks // VECTORS
    step = simd.LANES * VECTORS * vector
    near = simd.address(inputs) + ith * positions * blocks * chunk * vector
    back = simd.address(sums) + ith * positions * out_blocks * chunk * vector
    room = simd.address(corner) + ith * 2 * positions * vector
    chunks = (tiles + chunk - 1) // chunk
    for number in range(chunks * ith // nth, chunks * (ith + 1) // nth):
        first = number * chunk
        count = min(chunk, tiles - first)
        for block in range(blocks):
            for k in range(count):
                tile = first + k
                oy, ox, image = tile // across % down * M, tile % across * M, tile // (across * down)
                plane = simd.address(x) + (image * blocks + block) * h * width * vector
                to = near + (block * chunk + k) * vector
                transform_input(plane, oy - top, ox - left, h, width, room, to, blocks * chunk * vector)
        for position in range(positions):
            for group in range(groups):
                weights = simd.address(w) + (position * groups + group) * blocks * step
                at = 0
                while at < count:
                    k = max(0, min(at, chunk - ROWS))
                    t = simd.tile(ROWS, VECTORS)
                    source = near + (position * blocks * chunk + k) * vector
                    row = weights
                    for _ in range(blocks - 1):
                        t = simd.tile_fma_lanes(t, source, vector, row)
                        source += chunk * vector
                        row += step
                    if last_channels == simd.LANES:
                        t = simd.tile_fma_lanes(t, source, vector, row)
                    else:
                        for lane in range(last_channels):
                            t = simd.tile_fma(t, source + lane * 4, vector, row + lane * VECTORS * vector)
                    target = back + ((position * out_blocks + group * VECTORS) * chunk + k) * vector
                    simd.tile_store_blocks(t, target, vector, chunk * vector)
                    at += ROWS
        for block in range(out_blocks):
            bias = simd.address(b) + block * vector
            for k in range(count):
                tile = first + k
                oy, ox, image = tile // across % down * M, tile % across * M, tile // (across * down)
                source = back + (block * chunk + k) * vector
                transform_output(source, out_blocks * chunk * vector, room)
                place = ((image * out_blocks + block) * oh + oy) * ow + ox
                for i in range(min(M, oh - oy)):
                    for j in range(min(M, ow - ox)):
                        t = simd.tile(1, 1)
                        t = simd.tile_add_row(t, room + (i * M + j) * vector)
                        t = simd.tile_add_row(t, bias)
                        there = (place + i * ow + j) * vector
                        if residual.size > 0:
                            t = simd.tile_add_row(t, simd.address(residual) + there)
                        simd.tile_store(finish(t, alpha, beta), simd.address(y) + there, vector)


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
