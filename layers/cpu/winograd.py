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
from .direct import LINE
from .direct import serves as serves_directly
from .fused import finish_of, keep
from .tiling import best_tile
from .transforms import transformed_weights

# numbers of a variant
M = 4  # outputs of a tile, each way
ROWS, VECTORS = 6, 2  # of the product's tile

finish = keep

ROUND = 12  # divided by the rows of every good tile: 6 x 4, 12 x 2, 6 x 2, 4 x 3
NEAR_BYTES = 512 << 10  # what a thread's chunk of tiles may take of its cache
MOST_WEIGHTS = {4: 80 << 20, 6: 8 << 20}  # bytes of transformed weights, of which each chunk reads all


def serves(m: int):
    """The predicate of F(m × m, 3 × 3)."""

    def predicate(call: Call) -> bool | str:
        w, tiles = call.shape("w"), tiles_of(call, m)
        if reason := unfit(call, m):
            return reason
        weights = 4 * (m + 2) ** 2 * w[0] * w[1]
        if weights > MOST_WEIGHTS[m] or tiles < 8:
            return f"{tiles} tiles are too few for {weights:,} bytes of transformed weights"
        if m == 4 and 64 * tiles_of(call, 6) < 0.88 * 36 * tiles and serves(6)(call) is True:
            return "F(6x6, 3x3) needs fewer products here"
        return serves_directly(call)

    return predicate


def unfit(call: Call, m: int) -> str:
    """Why F(m × m, 3 × 3) is not for a convolution, whatever its numbers are; '' if it may be."""
    layer, w, (_, _, oh, ow) = call.layer, call.shape("w"), call.shape("y")
    if w[2:] != (3, 3) or layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.group != 1:
        return "it is no 3x3 filter with stride 1"
    if w[0] < call.lanes or w[1] < call.lanes:
        return f"C={w[1]}, M={w[0]}: too few channels to be worth the transforms"
    if min(call.shape("y")) == 0:
        return "there is nothing to compute"
    return f"tiles of {m}x{m} fit {oh}x{ow} badly" if oh * ow < 0.6 * tiles_of(call, m) * m * m else ""


def tiles_of(call: Call, m: int) -> int:
    """Tiles of m × m that cover an image of the output."""
    return -(-call.shape("y")[2] // m) * -(-call.shape("y")[3] // m)


def bind(m: int):
    """Weights as (position, group of outputs, C, VECTORS * lanes), and room for one chunk a thread."""

    def bound(call: Call) -> Stage:
        layer, w, lanes = call.layer, call.constants["w"], call.lanes
        (n, c, h, width), (_, outputs, oh, ow) = call.shape("x"), call.shape("y")
        positions, blocks, out_blocks = (m + 2) ** 2, -(-c // lanes), -(-outputs // lanes)
        down, across = -(-oh // m), -(-ow // m)
        tiles = n * down * across
        weights = positions * 4 * blocks * out_blocks * lanes**2
        chunk = size_of_chunk(tiles, positions * 4 * lanes * (blocks + out_blocks), weights, call.threads)
        tile = best_tile(chunk, out_blocks, call.registers)
        near, back = odd(blocks * chunk), odd(out_blocks * chunk)
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
                inputs=Scratch((call.threads, positions * near * lanes)),
                sums=Scratch((call.threads, positions * back * lanes)),
                corner=Scratch((call.threads, 2 * positions * lanes)),
                c=c, h=h, width=width, oh=oh, ow=ow, top=layer.pad[0], left=layer.pad[1],
                tiles=tiles, down=down, across=across, chunk=chunk, out_blocks=out_blocks,
                near_size=near, back_size=back,
                alpha=float(alpha), beta=float(beta),
            ),
            function=simd.variant(
                winograd, M=m, ROWS=tile.rows, VECTORS=tile.vectors, finish=function,
                transform_input=simd.variant(transform_input, M=m),
                transform_output=simd.variant(transform_output, M=m), next_tile=simd.variant(next_tile, M=m),
            ),
        )  # fmt: skip

    return bound


def size_of_chunk(tiles: int, bytes_per_tile: int, weights: int, threads: int) -> int:
    """Tiles of a chunk: as many as stay near, and more where the weights are what does not.

    All chunks are about as large, and as many for each thread. Where there are many tiles a chunk is a multiple of
    what the product's tiles have rows, so that few variants of the kernel are ever compiled.
    """
    most = max(ROUND, min(256, max(NEAR_BYTES, weights // 2) // bytes_per_tile))
    rounds = -(-tiles // (most * threads))
    chunk = -(-tiles // (rounds * threads))
    return chunk if chunk < 2 * ROUND else -(-chunk // ROUND) * ROUND


def odd(vectors: int) -> int:
    """A distance, in vectors, at which the positions of a tile do not all fall on the same lines of a cache."""
    return vectors | 1


LAYOUTS = {"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED}


@kernel(Convolution, device="cpu", when=serves(6), bind=bind(6), score=7.0, layouts=LAYOUTS, name="winograd6")
@kernel(Convolution, device="cpu", when=serves(4), bind=bind(4), score=8.0, layouts=LAYOUTS, name="winograd4")
def winograd(
    x, y, residual, w, b, inputs, sums, corner, c, h, width, oh, ow, top, left, tiles, down, across, chunk,
    out_blocks, near_size, back_size, alpha, beta, ith, nth,
):  # fmt: skip
    """One chunk of tiles after another; threads share the chunks."""
    positions, vector = (M + 2) * (M + 2), simd.LANES * 4
    blocks = (c + simd.LANES - 1) // simd.LANES
    last_channels = c - (blocks - 1) * simd.LANES
    groups = out_blocks // VECTORS
    step = simd.LANES * VECTORS * vector
    near_step, back_step = near_size * vector, back_size * vector  # bytes from one position to the next
    near = simd.address(inputs) + ith * positions * near_step
    back = simd.address(sums) + ith * positions * back_step
    room = simd.address(corner) + ith * 2 * positions * vector
    chunks = (tiles + chunk - 1) // chunk
    for number in range(chunks * ith // nth, chunks * (ith + 1) // nth):
        first = number * chunk
        count = min(chunk, tiles - first)
        runs = (count + ROWS - 1) // ROWS
        ahead = (step // LINE + runs - 1) // runs
        first_x, first_y, first_image = (
            first % across * M,
            first // across % down * M,
            first // (across * down),
        )
        for block in range(blocks):
            ix, iy, n = first_x, first_y, first_image
            for k in range(count):
                plane = simd.address(x) + (n * blocks + block) * h * width * vector
                to = near + (block * chunk + k) * vector
                transform_input(plane, iy - top, ix - left, h, width, room, to, near_step)
                ix, iy, n = next_tile(ix, iy, n, across, down)
        for position in range(positions):
            for group in range(groups):
                weights = simd.address(w) + (position * groups + group) * blocks * step
                soon = weights + blocks * step
                at = 0
                while at < count:
                    k = max(0, min(at, chunk - ROWS))
                    t = simd.tile(ROWS, VECTORS)
                    source = near + position * near_step + k * vector
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
                    target = back + position * back_step + (group * VECTORS * chunk + k) * vector
                    simd.tile_store_blocks(t, target, vector, chunk * vector)
                    at += ROWS
        for block in range(out_blocks):
            bias = simd.address(b) + block * vector
            ox, oy, n = first_x, first_y, first_image
            for k in range(count):
                transform_output(back + (block * chunk + k) * vector, back_step, room)
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
