"""winograd: 3 × 3 convolution with stride 1 by fewer multiplications. See transforms.py for the method.

The image is cut into tiles of M × M outputs. A thread takes CHUNK tiles through all three steps while they are near:
transform the inputs, multiply for each of the (M + 2)² positions a (tiles × C) matrix by a (C × outputs) one, which
is the same product that `direct` does for a 1 × 1 filter, and transform the sums back, with bias, residual and
activation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..conv import Convolution
from . import simd
from .direct import serves as serves_directly
from .filters import halved, kept, made, transform_row
from .fused import finish_of
from .halves import in_halves
from .tiling import Tile, best_tile
from .winograd_steps import multiply, next_tile, read_tiles, transform_input, transform_output, write_tiles

# numbers of a variant
M = 4  # outputs of a tile, each way
VECTORS = 2  # of the product's tile

ROUND = 12  # divided by the rows of every good tile: 6 x 4, 12 x 2, 6 x 2, 4 x 3
NEAR_BYTES = 512 << 10  # what a thread's chunk of tiles may take of its cache
MOST_MADE = 8 << 20  # bytes of transformed weights that are made at once, where weights are stored in fp16
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

    def bound(call: Call) -> list[Stage]:
        lanes, positions = call.lanes, (m + 2) ** 2
        c, outputs = call.shape("w")[1], call.shape("w")[0]
        blocks, out_blocks = -(-c // lanes), -(-outputs // lanes)
        tiles = call.shape("x")[0] * tiles_of(call, m)
        weights = positions * 4 * blocks * out_blocks * lanes**2
        per_tile = positions * 4 * lanes * (blocks + out_blocks)
        if in_halves(call):
            of_group = positions * 4 * lanes * (blocks + 2)
            if weights > MOST_MADE or tiles <= most_tiles(of_group, weights):
                return [as_it_goes(call, m, tiles, size_of_chunk(tiles, of_group, weights, 1))]
        chunk = size_of_chunk(tiles, per_tile, weights, call.threads)
        tile = best_tile(chunk, out_blocks, call.registers)
        found = (made if in_halves(call) else kept)(call, m, tile.vectors)
        near, back = odd(blocks * chunk), odd(out_blocks * chunk)
        params = dict(
            around(call, m, tiles), w=found.w, step=found.step, chunk=chunk, near_size=near, back_size=back,
            inputs=Scratch((call.threads, positions * near * lanes)),
            sums=Scratch((call.threads, positions * back * lanes)),
        )  # fmt: skip
        return [*found.before, Stage(params, function=variant(winograd, call, m, tile))]

    return bound


def as_it_goes(call: Call, m: int, tiles: int, chunk: int) -> Stage:
    """Filters are transformed by each chunk, a group of outputs after the other.

    Threads share the groups if there are fewer tiles than outputs: what several of them do is then the lesser part.
    """
    lanes, positions = call.lanes, (m + 2) ** 2
    outputs, c = call.shape("w")[:2]
    blocks, out_blocks = -(-c // lanes), -(-outputs // lanes)
    shares = call.threads if tiles < outputs else 1
    if shares == 1:
        chunk = min(chunk, -(-tiles // call.threads))
    tile = best_tile(chunk, out_blocks, call.registers)
    near, back, room = odd(blocks * chunk), odd(tile.vectors * chunk), odd(c * tile.vectors)
    params = dict(
        around(call, m, tiles), **halved(call, m, tile.vectors), shares=shares, chunk=chunk,
        near_size=near, back_size=back, room_size=room,
        inputs=Scratch((call.threads, positions * near * lanes)),
        sums=Scratch((call.threads, positions * back * lanes)),
        filters=Scratch((call.threads, (m + 2) * room * lanes)),
    )  # fmt: skip
    row = simd.variant(transform_row, M=m, VECTORS=tile.vectors)
    return Stage(params, function=variant(winograd_as_it_goes, call, m, tile, transform_row=row))


def around(call: Call, m: int, tiles: int) -> dict:
    """What does not depend on how weights are read."""
    layer, lanes, (_, outputs, oh, ow) = call.layer, call.lanes, call.shape("y")
    out_blocks = -(-outputs // lanes)
    bias = np.zeros(out_blocks * lanes, np.float32)
    if call.shape("b") != (0,):
        bias[:outputs] = call.constants["b"]
    _, alpha, beta = finish_of(layer)
    return dict(
        x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"), b=Packed(bias),
        corner=Scratch((call.threads, 2 * (m + 2) ** 2 * lanes)), c=call.shape("x")[1],
        h=call.shape("x")[2], width=call.shape("x")[3], oh=oh, ow=ow, top=layer.pad[0], left=layer.pad[1],
        tiles=tiles, down=-(-oh // m), across=-(-ow // m), out_blocks=out_blocks,
        alpha=float(alpha), beta=float(beta),
    )  # fmt: skip


def variant(function: Callable, call: Call, m: int, tile: Tile, **more: Callable) -> Callable:
    """A kernel for tiles of m × m outputs, and a product by this tile."""
    small = {name: simd.variant(step, M=m) for name, step in SMALL.items()}
    read = simd.variant(read_tiles, M=m, **small)
    write = simd.variant(write_tiles, M=m, finish=finish_of(call.layer)[0], **small)
    times = simd.variant(multiply, ROWS=tile.rows, VECTORS=tile.vectors)
    return simd.variant(
        function, M=m, VECTORS=tile.vectors, read_tiles=read, write_tiles=write, multiply=times, **more
    )


SMALL = {"transform_input": transform_input, "transform_output": transform_output, "next_tile": next_tile}


def size_of_chunk(tiles: int, bytes_per_tile: int, weights: int, threads: int) -> int:
    """Tiles of a chunk: as many as stay near, and more where the weights are what does not.

    All chunks are about as large, and as many for each thread. Where there are many tiles a chunk is a multiple of
    what the product's tiles have rows, so that few variants of the kernel are ever compiled.
    """
    most = most_tiles(bytes_per_tile, weights)
    rounds = -(-tiles // (most * threads))
    chunk = -(-tiles // (rounds * threads))
    return chunk if chunk < 2 * ROUND else -(-chunk // ROUND) * ROUND


def most_tiles(bytes_per_tile: int, weights: int) -> int:
    """Tiles that a chunk may have."""
    return max(ROUND, min(256, max(NEAR_BYTES, weights // 2) // bytes_per_tile))


def odd(vectors: int) -> int:
    """A distance, in vectors, at which the positions of a tile do not all fall on the same lines of a cache."""
    return vectors | 1


LAYOUTS = {"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED}


@kernel(Convolution, device="cpu", when=serves(6), bind=bind(6), score=7.0, layouts=LAYOUTS, name="winograd6")
@kernel(Convolution, device="cpu", when=serves(4), bind=bind(4), score=8.0, layouts=LAYOUTS, name="winograd4")
def winograd(
    x, y, residual, w, step, b, inputs, sums, corner, c, h, width, oh, ow, top, left, tiles, down, across, chunk,
    out_blocks, near_size, back_size, alpha, beta, ith, nth,
):  # fmt: skip
    """One chunk of tiles after another; threads share the chunks."""
    positions, vector = (M + 2) * (M + 2), simd.LANES * 4
    blocks = (c + simd.LANES - 1) // simd.LANES
    last_channels = c - (blocks - 1) * simd.LANES
    groups = out_blocks // VECTORS
    group_bytes = blocks * simd.LANES * VECTORS * vector
    near_step, back_step = near_size * vector, back_size * vector  # bytes from one position to the next
    near = simd.address(inputs) + ith * positions * near_step
    back = simd.address(sums) + ith * positions * back_step
    room = simd.address(corner) + ith * 2 * positions * vector
    chunks = (tiles + chunk - 1) // chunk
    for number in range(chunks * ith // nth, chunks * (ith + 1) // nth):
        first = number * chunk
        count = min(chunk, tiles - first)
        read_tiles(
            simd.address(x), near, near_step, room, first, count, chunk, blocks, h, width, top, left, down, across
        )  # fmt: skip
        for position in range(positions):
            for group in range(groups):
                weights = simd.address(w) + position * step * vector + group * group_bytes
                multiply(
                    near + position * near_step, weights, weights + group_bytes,
                    back + position * back_step + group * VECTORS * chunk * vector,
                    count, chunk, blocks, last_channels,
                )  # fmt: skip
        write_tiles(
            y, residual, b, back, back_step, room, first, count, chunk, 0, out_blocks, out_blocks, oh, ow, down,
            across, alpha, beta,
        )  # fmt: skip


def winograd_as_it_goes(
    x, y, residual, w, left_matrix, b, inputs, sums, filters, corner, c, h, width, oh, ow, top, left, tiles, down,
    across, chunk, shares, out_blocks, near_size, back_size, room_size, alpha, beta, ith, nth,
):  # fmt: skip
    """Filters are transformed on the way, a row of positions at a time; threads share the chunks, or the groups."""
    positions, vector = (M + 2) * (M + 2), simd.LANES * 4
    blocks = (c + simd.LANES - 1) // simd.LANES
    last_channels = c - (blocks - 1) * simd.LANES
    groups = out_blocks // VECTORS
    near_step, back_step, step = near_size * vector, back_size * vector, room_size * vector
    near = simd.address(inputs) + ith * positions * near_step
    back = simd.address(sums) + ith * positions * back_step
    row = simd.address(filters) + ith * (M + 2) * step
    room = simd.address(corner) + ith * 2 * positions * vector
    chunks = (tiles + chunk - 1) // chunk
    for unit in range(chunks * shares * ith // nth, chunks * shares * (ith + 1) // nth):
        share, first = unit % shares, unit // shares * chunk
        count = min(chunk, tiles - first)
        read_tiles(
            simd.address(x), near, near_step, room, first, count, chunk, blocks, h, width, top, left, down, across
        )  # fmt: skip
        for group in range(groups * share // shares, groups * (share + 1) // shares):
            for i in range(M + 2):
                transform_row(simd.address(w), simd.address(left_matrix), group, i, c, row, step)
                for j in range(M + 2):
                    position, weights = i * (M + 2) + j, row + j * step
                    multiply(
                        near + position * near_step, weights, weights + step, back + position * back_step,
                        count, chunk, blocks, last_channels,
                    )  # fmt: skip
            write_tiles(
                y, residual, b, back, back_step, room, first, count, chunk, group * VECTORS, VECTORS, out_blocks,
                oh, ow, down, across, alpha, beta,
            )  # fmt: skip
