"""QuantizedConvolution on the cpu: exact sums of products of bytes, over blocks of channels.

As in `direct`, a tile of ROWS places by VECTORS vectors of output channels is summed up in registers. A band of the
input is first copied to where a thread works, in words (see words.py). There the padding is numbers like all others,
x_zero, and each word is read by every output channel.

What every weight adds up to is known beforehand, so taking x_zero (and the 128) off the input is taking a number off
the bias.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..quantized import QuantizedConvolution
from . import simd
from .tiling import Part, Tile, best_parts, best_tile
from .words import (
    DOT,
    FINISH,
    PUT,
    SPREAD,
    centred,
    dot_pairs,
    filled,
    gates,
    in_a_word,
    packed_if_any,
    put_short,
    slopes,
    spread_pairs,
    to_places,
)

# numbers of a variant
ROWS, VECTORS = 6, 2
STRIDE = 1  # places from one output to the next along a row
WORDS = 4  # of 32 bits, for a place of one block of channels
CHANNELS = 8  # int8 that lie side by side in the input: LANES, or 1 if it is plain
DOTS = 2  # channels in a word
SCALED, RESULT = 1, 1  # whether sums become float32, and bytes of a number of y

MOST_ROWS = 14  # of a tile: with more, the words wait for each other
BAND = 48 << 10  # bytes of input that a thread works on at a time
STRETCH = 8 << 10  # of a 1 × 1 filter, which reads nothing twice: that and the weights fit the first cache


def serves(call: Call) -> bool | str:
    """Constant weights."""
    for name in ("w", "b", "multiplier", "slope", "gate"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    return True


def serves_plain(call: Call) -> bool | str:
    channels = call.shape("x")[1]
    if call.layer.group > 1:
        return f"group={call.layer.group}"
    return serves(call) if channels < call.lanes else f"C={channels} fills a vector"


def bind(call: Call) -> list[Stage]:
    """A stage for each part of the output channels. Weights as (group of VECTORS vectors, block of C, KH, KW, word,
    VECTORS, lane, number in the word)."""
    layer, w, lanes = call.layer, call.constants["w"], call.lanes
    (n, c, h, width), (_, m, oh, ow) = call.shape("x"), call.shape("y")
    dots = in_a_word(call, w)
    channels = lanes if call.layout("x") == BLOCKED else 1
    deep = lanes if channels > 1 else -(-c // dots) * dots  # channels of a block in the band
    kh, kw = w.shape[2:]
    stride, (top, left, *_) = layer.stride, layer.pad
    if kh == kw == 1 and stride == (1, 1) and not any(layer.pad):
        h, width, oh, ow = 1, h * width, 1, oh * ow  # a row has no end that matters
    out_blocks = -(-m // lanes)
    channels_there = out_blocks * lanes
    bias, multiplier = (
        filled(v, channels_there) for v in (centred(call, dots), call.constants["multiplier"])
    )
    slope, gate = slopes(call, channels_there), gates(call, channels_there)
    stages, first = [], 0
    for part in parts_of(call, ow, out_blocks, dots):
        tile, outputs = part.tile, slice(first * lanes, (first + part.blocks) * lanes)
        starts, span, packed = pack(w[outputs], layer.group, c, deep, tile.vectors, lanes, dots)
        shape = band_of(call, part, (oh, ow), (kh, kw), -(-c // deep), deep // dots * 4)
        rows, columns, slices = shape
        height = (rows - 1) * stride[0] + (kh - 1) * layer.dilation[0] + 1
        wide = (columns - 1) * stride[1] + (kw - 1) * layer.dilation[1] + 1
        stage = Stage(
            dict(
                x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"), w=Packed(packed),
                b=Packed(bias[outputs]), multiplier=Packed(multiplier[outputs]),
                slope=packed_if_any("slope", slope[outputs]),
                gate=packed_if_any("gate", gate[first : first + part.blocks]),
                starts=Packed(starts), span=span,
                band=Scratch((call.threads, height * wide * -(-c // deep) * deep // dots * 4 + 64), "int8"),
                n=n, c=c, h=h, width=width, oh=oh, ow=ow, kh=kh, kw=kw, stride_h=stride[0],
                dilation_h=layer.dilation[0], dilation_w=layer.dilation[1], top=top, left=left,
                rows=rows, columns=columns, slices=slices, height=height, wide=wide,
                first_block=first, out_blocks=out_blocks, groups=part.groups, x_zero=layer.x_zero,
                residual_zero=float(layer.residual_zero), residual_multiplier=float(layer.residual_multiplier),
                low=float(layer.low - layer.zero), high=float(layer.high - layer.zero), zero=float(layer.zero),
            ),
            function=function_for(tile, stride[1], deep // dots, channels, dots, layer.to),
        )  # fmt: skip
        stages.append(stage)
        first += part.blocks
    return stages


def function_for(tile: Tile, stride: int, words: int, channels: int, dots: int, to: str) -> Callable:
    """`dots` for this geometry."""
    pad = simd.variant(fill_places, WORDS=words, DOTS=dots, put=PUT[dots])
    fill = simd.variant(
        fill_band, WORDS=words, DOTS=dots, CHANNELS=channels, STRIDE=stride,
        spread=SPREAD[dots], put=PUT[dots], fill_places=pad,
    )  # fmt: skip
    return simd.variant(
        sums, ROWS=tile.rows, VECTORS=tile.vectors, STRIDE=stride, WORDS=words, fill_band=fill,
        dot=simd.variant(DOT[dots], WORDS=words), finish=to_places if to == "int8" else FINISH[to],
        SCALED=int(to != "int32"), RESULT=1 if to == "int8" else 4,
    )  # fmt: skip


def parts_of(call: Call, places: int, out_blocks: int, dots: int) -> list[Part]:
    """The output channels in parts. Of several groups there is one part, and no tile of it mixes groups."""
    group = call.layer.group
    # pairs are multiplied into a register of their own before they are added
    registers = call.registers if dots == 4 else call.registers - 1
    if group == 1:
        return best_parts(places, out_blocks, registers, MOST_ROWS)
    widest = max(1, call.shape("y")[1] // group // call.lanes)
    tile = best_tile(places, out_blocks, registers, widest, MOST_ROWS)
    return [Part(tile, out_blocks // tile.vectors)]


def band_of(
    call: Call, part: Part, size: tuple[int, int], kernel: tuple[int, int], blocks: int, place: int
) -> tuple[int, int, int]:
    """(rows, columns, slices): the output places of one band, and among how many units its channels are shared."""
    (oh, ow), (kh, kw), layer = size, kernel, call.layer
    columns = ow
    if oh == 1:  # one long row: bands are stretches of it, of whole tiles
        fit = max(1, (STRETCH if kh == kw == 1 else BAND) // (blocks * place * part.tile.rows))
        share = -(-ow // (part.tile.rows * 4 * call.threads))
        columns = min(ow, part.tile.rows * min(fit, max(1, share)))
    wide = (columns - 1) * layer.stride[1] + (kw - 1) * layer.dilation[1] + 1
    fit = (BAND // (blocks * wide * place) - (kh - 1) * layer.dilation[0] - 1) // layer.stride[0] + 1
    rows = min(oh, max(1, fit, 1), max(4, -(-oh // (4 * call.threads))))
    bands = call.shape("y")[0] * -(-oh // rows) * -(-ow // columns)
    slices = min(call.threads, part.groups) if bands < 3 * call.threads else 1
    return rows, columns, slices


def pack(
    w: np.ndarray, group: int, c: int, deep: int, vectors: int, lanes: int, dots: int
) -> tuple[np.ndarray, int, np.ndarray]:
    """(starts, span, weights): for each tile of output channels the first block of input channels that it sees, how
    many it sees, and its weights, zero where a block holds channels of other groups or none."""
    m, per_group, kh, kw = w.shape
    tiles, blocks = -(-m // (vectors * lanes)), -(-c // deep)
    owner = np.minimum(np.arange(tiles * vectors * lanes), m - 1) * group // m  # of each output channel
    owner = owner.reshape(tiles, -1)
    low, high = owner.min(1) * per_group // deep, -(-((owner.max(1) + 1) * per_group) // deep)
    span = int((high - low).max())
    starts = np.minimum(low, blocks - span).astype(np.int64)
    full = np.zeros((tiles, vectors * lanes, span * deep, kh, kw), np.int8 if dots == 4 else np.int16)
    for output in range(m):
        tile, row = divmod(output, vectors * lanes)
        start = output * group // m * per_group - starts[tile] * deep
        full[tile, row, start : start + per_group] = w[output]
    split = full.reshape(tiles, vectors, lanes, span, deep // dots, dots, kh, kw)
    return starts, span, np.ascontiguousarray(split.transpose(0, 3, 6, 7, 4, 1, 2, 5)).reshape(-1)


dot, spread, put, finish = dot_pairs, spread_pairs, put_short, to_places


@kernel(
    QuantizedConvolution, device="cpu", dtype="int8", when=serves, bind=bind, score=4.0,
    layouts={"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
@kernel(
    QuantizedConvolution, device="cpu", dtype="int8", when=serves_plain, bind=bind, score=5.0, name="dots_from_plain",
    layouts={"y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
def sums(
    x, y, residual, w, b, multiplier, slope, gate, starts, band, span, n, c, h, width, oh, ow, kh, kw, stride_h,
    dilation_h, dilation_w, top, left, rows, columns, slices, height, wide, first_block, out_blocks, groups, x_zero,
    residual_zero, residual_multiplier, low, high, zero, ith, nth,
):  # fmt: skip
    """Band after band of the input; over each, every group of output channels, tile after tile."""
    place = WORDS * 4  # bytes from one place to the next, in the band
    vector = simd.LANES * 4
    item = RESULT
    across, down = (ow + columns - 1) // columns, (oh + rows - 1) // rows
    tiles = (columns + ROWS - 1) // ROWS
    bands = n * down * across
    here = simd.address(band) + ith * band.shape[1]
    step = WORDS * VECTORS * vector  # bytes of weights for one place of the filter
    filled = -1
    for unit in range(bands * slices * ith // nth, bands * slices * (ith + 1) // nth):
        part, number = unit // bands, unit % bands
        image, row, column = number // (down * across), number // across % down, number % across
        oy, first_column = min(row * rows, oh - rows), min(column * columns, ow - columns)
        iy, ix = oy * stride_h - top, first_column * STRIDE - left
        if number != filled:
            fill_band(x, here, image, iy, ix, c, h, width, height, wide, x_zero)
            filled = number
        for group in range(groups * part // slices, groups * (part + 1) // slices):
            channel = group * VECTORS * vector
            for line in range(rows):
                for tile in range(tiles):
                    at = min(tile * ROWS, columns - ROWS)
                    t = simd.tile_load_row(simd.tile(ROWS, VECTORS), simd.address(b) + channel)
                    weights = simd.address(w) + group * span * kh * kw * step
                    for seen in range(span):
                        block = (starts[group] + seen) * height + line * stride_h
                        for ky in range(kh):
                            inputs = here + ((block + ky * dilation_h) * wide + at * STRIDE) * place
                            for _ in range(kw):
                                t = dot(t, inputs, STRIDE * place, weights)
                                inputs += dilation_w * place
                                weights += step
                    there = ((image * out_blocks + first_block + group * VECTORS) * oh + oy + line) * ow
                    there = (there + first_column + at) * simd.LANES
                    if SCALED:
                        t = simd.tile_scale(t, simd.address(multiplier) + channel)
                        if residual.size > 0:
                            t = simd.tile_add_bytes(
                                t, simd.address(residual) + there, simd.LANES, oh * ow * simd.LANES,
                                np.float32(residual_zero), np.float32(residual_multiplier),
                            )  # fmt: skip
                        if slope.size > 0:
                            t = simd.tile_slope(t, simd.address(slope) + channel)
                        if gate.size > 0:
                            t = simd.tile_gate(t, simd.address(gate) + 3 * channel)
                    finish(
                        t, simd.address(y) + there * item, simd.LANES * item, oh * ow * simd.LANES * item,
                        np.float32(low), np.float32(high), np.float32(zero),
                    )  # fmt: skip


def fill_band(x, to, image, iy, ix, c, h, width, height, wide, x_zero):
    """The rectangle of the input that begins at row iy, column ix, in words; x_zero outside the image."""
    blocks = (c + CHANNELS - 1) // CHANNELS
    place = WORDS * 4
    for block in range(blocks if CHANNELS > 1 else 1):
        for row in range(iy, iy + height):
            first = min(wide, max(0, -ix))
            inside = max(0, min(wide, width - ix) - first) if 0 <= row < h else 0
            first = first if inside > 0 else wide
            fill_places(to, first, x_zero)
            source = simd.address(x)
            if CHANNELS > 1:
                source += (((image * blocks + block) * h + row) * width + ix + first) * CHANNELS
                spread(source, to + first * place, inside * CHANNELS)
            else:
                source += (image * c * h + row) * width + ix + first
                for i in range(inside):
                    for k in range(WORDS * DOTS):
                        number = simd.load_byte(source + k * h * width + i) if k < c else x_zero
                        put(to + (first + i) * place, k, number)
            fill_places(to + (first + inside) * place, wide - first - inside, x_zero)
            to += wide * place


def fill_places(to, count, x_zero):
    for i in range(count):
        for k in range(WORDS * DOTS):
            put(to + i * WORDS * 4, k, x_zero)
