"""QuantizedConvolution on the cpu by fewer multiplications, and still to the bit: F(4 × 4, 3 × 3) in whole numbers.

The steps are winograd.py's, and transforms.py tells why whole numbers come out exact: inputs and weights are int16
once transformed, sums of their products int32, and what is lost beyond 32 bits does not matter. A quarter of the
products is left. One of them takes longer than a byte's, and yet this is the faster way, by a third where a lane
multiplies four bytes and three times and more where it does not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..quantized import QuantizedConvolution
from . import simd
from .quantized_conv import serves as serves_directly
from .tiling import Tile, best_tile
from .transforms import MOST, transformed_whole_weights
from .winograd import ROUND, next_tile, odd, size_of_chunk, tiles_of, unfit
from .words import FINISH, dot_pairs, filled, gates, packed_if_any, slopes, to_places

M, SIDE = 4, 6  # outputs and inputs of a tile, each way
FEW = 4  # tiles: below, reading the weights takes longer than multiplying by them
MOST_WEIGHTS = 8 << 20  # bytes, if they are read for few tiles only where the other way is fast

# numbers of a variant
ROWS, VECTORS = 6, 2  # of the product's tile
WORDS = 4  # of 32 bits, for a place of one block of channels
SCALED, RESULT = 1, 1  # whether sums become float32, and bytes of a number of y


def serves(call: Call) -> bool | str:
    layer, w, tiles = call.layer, call.shape("w"), tiles_of(call, M)
    if reason := unfit(call, M):
        return reason
    weights = 2 * SIDE**2 * w[0] * w[1]
    if tiles < FEW or (call.dots == 4 and (tiles < ROUND or (weights > MOST_WEIGHTS and tiles < 4 * ROUND))):
        return f"{tiles} tiles are too few for {weights:,} bytes of transformed weights"
    if (told := serves_directly(call)) is not True:
        return told
    if np.abs(call.constants["w"].astype(np.int64)).max() > 255:
        return "its weights do not fit int16 once they are transformed"
    if largest_sum(call.constants["w"], layer.x_zero) >= MOST:
        return "its sums could be 2**25 or more"
    return True


def largest_sum(w: np.ndarray, x_zero: int) -> int:
    """How far from 0 a sum of products of int8 less x_zero can be, before the bias."""
    below, above = x_zero + 128, 127 - x_zero
    up, down = (np.maximum(sign * w.astype(np.int64), 0).sum((1, 2, 3)) for sign in (1, -1))
    return int(max((above * up + below * down).max(), (above * down + below * up).max()))


def bind(call: Call) -> Stage:
    """Weights as (position, group of VECTORS vectors, block of C, word, VECTORS, lane, 2); a chunk a thread."""
    layer, w, lanes = call.layer, call.constants["w"], call.lanes
    (n, c, h, width), (_, outputs, oh, ow) = call.shape("x"), call.shape("y")
    positions, blocks, out_blocks = SIDE**2, -(-c // lanes), -(-outputs // lanes)
    down, across = -(-oh // M), -(-ow // M)
    tiles = n * down * across
    weights = positions * 2 * blocks * out_blocks * lanes**2
    chunk = size_of_chunk(tiles, positions * lanes * (2 * blocks + 4 * out_blocks), weights, call.threads)
    tile = best_tile(chunk, out_blocks, call.registers - 1)  # one is for products before they are added
    near, back = odd(blocks * chunk), odd(out_blocks * chunk)
    full = np.zeros((positions, out_blocks * lanes, blocks * lanes), np.int16)
    full[:, :outputs, :c] = transformed_whole_weights(w).reshape(positions, outputs, c)
    split = full.reshape(positions, out_blocks // tile.vectors, tile.vectors, lanes, blocks, lanes // 2, 2)
    bias, multiplier = (filled(call.constants[name], out_blocks * lanes) for name in ("b", "multiplier"))
    return Stage(
        dict(
            x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"),
            w=Packed(np.ascontiguousarray(split.transpose(0, 1, 4, 5, 2, 3, 6))),
            b=Packed(bias), multiplier=Packed(multiplier),
            slope=packed_if_any("slope", slopes(call, out_blocks * lanes)),
            gate=packed_if_any("gate", gates(call, out_blocks * lanes)),
            inputs=Scratch((call.threads, positions * near * lanes), "int16"),
            products=Scratch((call.threads, positions * back * lanes), "int32"),
            corner=Scratch((call.threads, 2 * positions * lanes), "int32"),
            c=c, h=h, width=width, oh=oh, ow=ow, top=layer.pad[0], left=layer.pad[1],
            tiles=tiles, down=down, across=across, chunk=chunk, out_blocks=out_blocks, near_size=near, back_size=back,
            x_zero=layer.x_zero,
            residual_zero=float(layer.residual_zero), residual_multiplier=float(layer.residual_multiplier),
            low=float(layer.low - layer.zero), high=float(layer.high - layer.zero), zero=float(layer.zero),
        ),
        function=function_for(tile, lanes // 2, layer.to),
    )  # fmt: skip


def function_for(tile: Tile, words: int, to: str) -> Callable:
    """`winograd` for this geometry."""
    write = simd.variant(
        finish_places, finish=to_places if to == "int8" else FINISH[to],
        SCALED=int(to != "int32"), RESULT=1 if to == "int8" else 4,
    )  # fmt: skip
    return simd.variant(
        winograd, ROWS=tile.rows, VECTORS=tile.vectors, WORDS=words, finish_places=write,
        dot=simd.variant(dot_pairs, WORDS=words), next_tile=simd.variant(next_tile, M=M),
    )  # fmt: skip


dot, finish = dot_pairs, to_places


@kernel(
    QuantizedConvolution, device="cpu", dtype="int8", when=serves, bind=bind, score=8.0, name="winograd4",
    layouts={"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
def winograd(
    x, y, residual, w, b, multiplier, slope, gate, inputs, products, corner, c, h, width, oh, ow, top, left, tiles,
    down, across, chunk, out_blocks, near_size, back_size, x_zero, residual_zero, residual_multiplier, low, high, zero,
    ith, nth,
):  # fmt: skip
    """One chunk of tiles after another; threads share the chunks."""
    positions, vector, shorts = SIDE * SIDE, simd.LANES * 4, simd.LANES * 2
    blocks = (c + simd.LANES - 1) // simd.LANES
    groups = out_blocks // VECTORS
    step = WORDS * VECTORS * vector  # bytes of weights for one block of channels
    near_step, back_step = near_size * shorts, back_size * vector  # from one position to the next
    near = simd.address(inputs) + ith * positions * near_step
    back = simd.address(products) + ith * positions * back_step
    room = simd.address(corner) + ith * 2 * positions * vector
    chunks = (tiles + chunk - 1) // chunk
    for number in range(chunks * ith // nth, chunks * (ith + 1) // nth):
        first = number * chunk
        count = min(chunk, tiles - first)
        first_x, first_y = first % across * M, first // across % down * M
        first_image = first // (across * down)
        for block in range(blocks):
            ix, iy, n = first_x, first_y, first_image
            for k in range(count):
                plane = simd.address(x) + (n * blocks + block) * h * width * simd.LANES
                to = near + (block * chunk + k) * shorts
                transform_input(plane, iy - top, ix - left, h, width, x_zero, room, to, near_step)
                ix, iy, n = next_tile(ix, iy, n, across, down)
        for position in range(positions):
            for group in range(groups):
                weights = simd.address(w) + (position * groups + group) * blocks * step
                at = 0
                while at < count:
                    k = max(0, min(at, chunk - ROWS))
                    t = simd.tile(ROWS, VECTORS)
                    source, row = near + position * near_step + k * shorts, weights
                    for _ in range(blocks):
                        t = dot(t, source, shorts, row)
                        source += chunk * shorts
                        row += step
                    target = back + position * back_step + (group * VECTORS * chunk + k) * vector
                    simd.tile_store_blocks(t, target, vector, chunk * vector)
                    at += ROWS
        for block in range(out_blocks):
            channel = block * vector
            ox, oy, n = first_x, first_y, first_image
            for k in range(count):
                transform_output(back + (block * chunk + k) * vector, back_step, room)
                place = ((n * out_blocks + block) * oh + oy) * ow + ox
                for i in range(min(M, oh - oy)):
                    finish_places(
                        room + i * M * vector, min(M, ow - ox), (place + i * ow) * simd.LANES, channel, y, residual,
                        b, multiplier, slope, gate, residual_zero, residual_multiplier, low, high, zero,
                    )  # fmt: skip
                ox, oy, n = next_tile(ox, oy, n, across, down)


def finish_places(
    done, count, there, channel, y, residual, b, multiplier, slope, gate, residual_zero, residual_multiplier, low, high,
    zero,
):  # fmt: skip
    """The sums of `count` places that lie side by side become numbers of y, `there` numbers from its start."""
    for j in range(count):
        t = simd.tile_load_row(simd.tile(1, 1), simd.address(b) + channel)
        t = simd.tile_add_words(t, done + j * simd.LANES * 4, 0)
        if SCALED:
            t = simd.tile_scale(t, simd.address(multiplier) + channel)
            if residual.size > 0:
                t = simd.tile_add_bytes(
                    t, simd.address(residual) + there + j * simd.LANES, 0, 0,
                    np.float32(residual_zero), np.float32(residual_multiplier),
                )  # fmt: skip
            if slope.size > 0:
                t = simd.tile_slope(t, simd.address(slope) + channel)
            if gate.size > 0:
                t = simd.tile_gate(t, simd.address(gate) + 3 * channel)
        finish(
            t, simd.address(y) + (there + j * simd.LANES) * RESULT, simd.LANES * RESULT, 0,
            np.float32(low), np.float32(high), np.float32(zero),
        )  # fmt: skip


def transform_input(plane, iy, ix, h, width, x_zero, room, to, step):
    """B' d B of the SIDE² vectors at (iy, ix) of a plane, x_zero outside; position p goes to `to + p * step`."""
    lanes, shorts = simd.LANES, simd.LANES * 2
    source, row = plane + (iy * width + ix) * lanes, width * lanes
    half = room + SIDE * SIDE * lanes
    if iy < 0 or ix < 0 or iy + SIDE > h or ix + SIDE > width:
        for i in range(SIDE):
            for j in range(SIDE):
                cell = room + (i * SIDE + j) * lanes
                if 0 <= iy + i < h and 0 <= ix + j < width:
                    simd.copy_bytes(source + i * row + j * lanes, cell)
                else:
                    simd.fill_bytes(cell, x_zero)
        source, row = room, SIDE * lanes
    for j in range(SIDE):
        simd.winograd_bytes(source + j * lanes, row, half + j * shorts, SIDE * shorts, x_zero)
    for i in range(SIDE):
        simd.winograd_shorts(half + i * SIDE * shorts, shorts, to + i * SIDE * step, step)


def transform_output(source, step, room):
    """A' s A of the SIDE² vectors at `source + p * step`; the M × M results lie at `room`, row by row."""
    vector = simd.LANES * 4
    half = room + M * M * vector
    for j in range(SIDE):
        simd.winograd_sums(source + j * step, SIDE * step, half + j * vector, SIDE * vector, 0)
    for i in range(M):
        simd.winograd_sums(half + i * SIDE * vector, vector, room + i * M * vector, vector, 1)
