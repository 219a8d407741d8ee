"""direct: convolution over blocks of channels, without a copy of the input. (Georganas et al. 2018, arXiv:1808.05567)

A tile of ROWS places by VECTORS vectors of output channels is summed up in registers. Each step multiplies one input
channel at ROWS places, broadcast, by that channel's VECTORS vectors of weights, which lie in the order in which they
are used. Nothing is loaded twice in a step, and nothing is stored before the sum, the bias, the residual and the
activation are done.

Where a tile looks over the left or right edge, the stretch of the input row that it needs is first copied beside
zeros; rows above and below the image are left out of the sum.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ...engine.layout import BLOCKED
from ..conv import Convolution
from . import simd
from .fused import finish_of, finishes, keep
from .halves import fma, fma_lanes, packed_weights, reading
from .lattice import Lattice, whole
from .tiling import Part, best_parts, best_tile

# numbers of a variant
ROWS, VECTORS = 6, 2
STRIDE = 1  # places of the input from one output to the next along a row
STEP = 1  # and of the output
CHANNELS = 8  # channels that lie side by side in the input: LANES, or 1 if it is plain
WEIGHT = 4  # bytes of a weight

finish = keep


def sums_as_they_are(
    t, own, plane, weights, start, output, ix, iy, c, h, width, first, last, kh, kw, dilation_h, dilation_w,
    group_inputs, group_outputs,
):  # fmt: skip
    """All outputs of a tile see the same channels."""
    return t


def sums_by_group(
    t, own, plane, weights, start, output, ix, iy, c, h, width, first, last, kh, kw, dilation_h, dilation_w,
    group_inputs, group_outputs,
):  # fmt: skip
    """A tile's outputs see all channels, with weights of 0 for those of other groups. Where a sum is NaN, that may have
    been an infinity times 0: then each group is summed up once more, over its own channels alone, in `own`."""
    if simd.tile_has_nan(t):
        across = VECTORS * simd.LANES
        one = own + ROWS * across * 4
        for i in range(ROWS):
            j = 0
            while j < across:
                group = (output + j) // group_outputs
                end = min(across, (group + 1) * group_outputs - output)
                u = simd.tile(1, VECTORS)
                for channel in range(group * group_inputs, min(c, (group + 1) * group_inputs)):
                    block, k = channel // CHANNELS, channel % CHANNELS
                    for ky in range(first, last):
                        for kx in range(kw):
                            at = ix + i * STRIDE + kx * dilation_w
                            if 0 <= at < width:
                                source = ((block * h + iy + ky * dilation_h) * width + at) * CHANNELS + k
                                tap = (((block - start) * kh + ky) * kw + kx) * CHANNELS + k
                                u = fma(u, plane + source * 4, 0, weights + tap * across * WEIGHT)
                simd.tile_store(u, one, 0)
                for lane in range(j, end):
                    simd.store_scalar(own + (i * across + lane) * 4, simd.load_scalar(one + lane * 4))
                j = end
        t = simd.tile_load_add(simd.tile(ROWS, VECTORS), own, across * 4)
    return t


mend = sums_as_they_are

LINE = 64  # bytes that come into a cache together
L2_BYTES = 256 << 10  # weights up to this size stay near while all of them pass over each place


def serves(call: Call) -> bool | str:
    """Constant weights and an activation that is known."""
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    return finishes(call.layer)


def serves_plain(call: Call) -> bool | str:
    channels = call.shape("x")[1]
    if call.layer.group > 1:
        return f"group={call.layer.group}"
    return serves(call) if channels < call.lanes else f"C={channels} fills a vector"


def bind(call: Call) -> list[Stage]:
    return stages(call, call.constants["w"], whole(call), finish_of(call.layer))


def stages(call: Call, w: np.ndarray, at: Lattice, finishing: tuple) -> list[Stage]:
    """The outputs of a lattice with filters w, (M, C/group, KH, KW): a stage for each part of the output channels.

    Weights as (group of VECTORS vectors, C, KH, KW, channel in its block, VECTORS, lanes).
    """
    lanes, rows, columns = call.lanes, at.rows, at.columns
    (n, c, h, width), (_, m, out_h, out_w) = call.shape("x"), call.shape("y")
    oh, ow, (kh, kw) = rows.count, columns.count, w.shape[2:]
    channels = lanes if call.layout("x") == BLOCKED else 1
    if kh == kw == 1 and (h, width) == (oh, ow) == (out_h, out_w) and not (rows.before or columns.before):
        h, width, oh, ow = 1, h * width, 1, oh * ow  # a row has no end that matters
        out_h, out_w = oh, ow
    out_blocks = -(-m // lanes)
    bias = np.zeros(out_blocks * lanes, np.float32)
    if call.shape("b") != (0,):
        bias[:m] = call.constants["b"]
    function, alpha, beta = finishing
    found, first = [], 0
    for part in parts_of(call, ow, out_blocks):
        tile, outputs = part.tile, slice(first * lanes, (first + part.blocks) * lanes)
        # of several groups there is one part
        starts, span = seen_blocks(w[outputs].shape[0], c, call.layer.group, tile.vectors * lanes, channels)
        packed = pack(w[outputs], call.layer.group, tile.vectors, channels, lanes, starts, span)
        mixed = call.layer.group > 1 and bool(
            c // call.layer.group % channels or m // call.layer.group % (tile.vectors * lanes)
        )
        strip = (tile.rows - 1) * columns.stride + (kw - 1) * columns.dilation + 1
        sizes = dict(ROWS=tile.rows, VECTORS=tile.vectors, STRIDE=columns.stride, CHANNELS=channels)
        mend = simd.variant(sums_by_group, **sizes, **reading(call)) if mixed else sums_as_they_are
        room = strip * channels + ((tile.rows + 1) * tile.vectors * lanes if mixed else 0)
        stage = Stage(
            dict(
                x=call.flat("x"), y=call.flat("y"), residual=call.flat("residual"),
                w=packed_weights(call, packed), b=Packed(bias[outputs]), starts=Packed(starts), span=span,
                strips=Scratch((call.threads, room)), room=room,
                n=n, c=c, h=h, width=width, oh=oh, ow=ow, kh=kh, kw=kw, stride_h=rows.stride,
                dilation_h=rows.dilation, dilation_w=columns.dilation, top=rows.before, left=columns.before,
                out_h=out_h, out_w=out_w, step_h=rows.step, start=rows.start * out_w + columns.start,
                strip=strip, alpha=float(alpha), beta=float(beta), first_block=first, out_blocks=out_blocks,
                groups=part.groups, group_inputs=c // call.layer.group, group_outputs=m // call.layer.group,
                weights_inside=int(packed.nbytes <= L2_BYTES),
            ),
            function=simd.variant(
                direct, **sizes, **reading(call), STEP=columns.step, finish=function, mend=mend
            ),
        )  # fmt: skip
        found.append(stage)
        first += part.blocks
    return found


def parts_of(call: Call, places: int, out_blocks: int) -> list[Part]:
    """The output channels in parts. Of several groups there is one part, and no tile of it mixes groups."""
    group = call.layer.group
    if group == 1:
        return best_parts(places, out_blocks, call.registers)
    tile = best_tile(places, out_blocks, call.registers, max(1, call.shape("y")[1] // group // call.lanes))
    return [Part(tile, out_blocks // tile.vectors)]


def seen_blocks(m: int, c: int, group: int, outputs: int, channels: int) -> tuple[np.ndarray, int]:
    """For each `outputs` output channels in a row, the first block of input channels that they see; and how many."""
    first = np.arange(0, m, outputs)
    last = np.minimum(first + outputs, m) - 1
    low = first * group // m * (c // group) // channels
    high = -(-((last * group // m + 1) * (c // group)) // channels)
    span = int((high - low).max())
    return np.minimum(low, -(-c // channels) - span).astype(np.int64), span


def pack(
    w: np.ndarray, group: int, vectors: int, channels: int, lanes: int, starts: np.ndarray, span: int
) -> np.ndarray:
    """(M, C/group, KH, KW) -> (tiles of M, seen blocks of C, KH, KW, channels, vectors * lanes).

    Filled up with zeros, also where a block holds channels of other groups.
    """
    m, per_group, kh, kw = w.shape
    full = np.zeros((len(starts), vectors * lanes, span * channels, kh, kw), np.float32)
    for number in range(group):
        outputs = np.arange(number * m // group, (number + 1) * m // group)
        tiles, rows = np.divmod(outputs, vectors * lanes)
        for tile in np.unique(tiles):
            here = tiles == tile
            start = number * per_group - starts[tile] * channels
            full[tile, rows[here], start : start + per_group] = w[outputs[here]]
    split = full.reshape(len(starts), vectors * lanes, span, channels, kh, kw)
    return np.ascontiguousarray(split.transpose(0, 2, 4, 5, 3, 1))


@kernel(
    Convolution, device="cpu", when=serves, bind=bind, score=4.0,
    layouts={"x": BLOCKED, "y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
@kernel(
    Convolution, device="cpu", when=serves_plain, bind=bind, score=5.0, name="direct_from_plain",
    layouts={"y": BLOCKED, "residual": BLOCKED},
)  # fmt: skip
def direct(
    x, y, residual, w, b, starts, span, strips, room, n, c, h, width, oh, ow, kh, kw, stride_h, dilation_h, dilation_w,
    top, left, out_h, out_w, step_h, start, strip, alpha, beta, first_block, out_blocks, groups, group_inputs,
group_outputs, weights_inside, ith, nth,
):  # fmt: skip
    """One tile after another; the weights in the inner loop if they are few, the places if not.

    Weights are asked for before they are needed, a group ahead.
    """
    place = CHANNELS * 4  # bytes from one place to the next
    vector = simd.LANES * 4
    blocks = (c + CHANNELS - 1) // CHANNELS
    last_channels = c - (blocks - 1) * CHANNELS
    step = CHANNELS * VECTORS * simd.LANES * WEIGHT  # bytes of weights for one place of the filter
    across = (ow + ROWS - 1) // ROWS
    tiles = n * oh * across
    edge = simd.address(strips) + ith * room * 4
    own = edge + strip * place  # a tile, where groups are mixed
    first_unit, last_unit = tiles * groups * ith // nth, tiles * groups * (ith + 1) // nth
    if weights_inside:
        tile, group = first_unit // groups, first_unit % groups
    else:
        tile, group = first_unit % tiles, first_unit // tiles
    # weights come from far away: at each block of channels, ask for some lines of the next group's
    group_bytes, lines = span * kh * kw * step, kh * kw * step // LINE
    ahead = lines if weights_inside else (lines + tiles - 1) // tiles
    soon = simd.address(w) + (group + 1) * group_bytes
    column, row, image = tile % across, tile // across % oh, tile // across // oh
    for _ in range(first_unit, last_unit):
        ox = min(column * ROWS, ow - ROWS)
        oy = row
        ix, iy = ox * STRIDE - left, oy * stride_h - top
        over_edge = ix < 0 or ix + strip > width
        first = max(0, (-iy + dilation_h - 1) // dilation_h)
        last = min(kh, (h - iy + dilation_h - 1) // dilation_h)
        t = simd.tile(ROWS, VECTORS)
        enough = simd.address(w) + min(group + 2, groups) * group_bytes
        for seen in range(span):
            block = starts[group] + seen
            channels = last_channels if block == blocks - 1 else CHANNELS
            rows = simd.address(x) + ((image * blocks + block) * h + iy) * width * place
            weights = simd.address(w) + ((group * span + seen) * kh + first) * kw * step
            if soon < enough:
                for line in range(ahead):
                    simd.prefetch(soon + line * LINE)
                soon += ahead * LINE
            for ky in range(first, last):
                inputs = rows + (ky * dilation_h * width + ix) * place
                if over_edge:
                    fill_strip(edge, inputs, ix, width, strip, CHANNELS)
                    inputs = edge
                for _ in range(kw):
                    if channels == simd.LANES:
                        t = fma_lanes(t, inputs, STRIDE * place, weights)
                    else:
                        for k in range(channels):
                            one = weights + k * VECTORS * simd.LANES * WEIGHT
                            t = fma(t, inputs + 4 * k, STRIDE * place, one)
                    inputs += dilation_w * place
                    weights += step
        plane = simd.address(x) + image * blocks * h * width * place
        t = mend(
            t, own, plane, simd.address(w) + group * group_bytes, starts[group], group * VECTORS * simd.LANES,
            ix, iy, c, h, width, first, last, kh, kw, dilation_h, dilation_w, group_inputs, group_outputs,
        )  # fmt: skip
        t = simd.tile_add_row(t, simd.address(b) + group * VECTORS * vector)
        there = ((image * out_blocks + first_block + group * VECTORS) * out_h + oy * step_h) * out_w
        there = (there + ox * STEP + start) * vector
        if residual.size > 0:
            t = simd.tile_add_blocks(t, simd.address(residual) + there, STEP * vector, out_h * out_w * vector)
        t = finish(t, alpha, beta)
        simd.tile_store_blocks(t, simd.address(y) + there, STEP * vector, out_h * out_w * vector)
        # the next unit: counting on is cheaper than dividing
        if weights_inside:
            group += 1
            if group < groups:
                continue
            group = 0
        column += 1
        if column == across:
            column = 0
            row += 1
            if row == oh:
                row = 0
                image += 1
                if image == n:
                    image = 0
                    group += 1


def fill_strip(edge, inputs, ix, width, strip, channels):
    """edge[i] = the input at place ix + i of its row, 0 outside; `inputs` is the address of place ix."""
    for i in range(strip):
        inside = 0 <= ix + i < width
        for k in range(channels):
            value = simd.load_scalar(inputs + (i * channels + k) * 4) if inside else np.float32(0)
            simd.store_scalar(edge + (i * channels + k) * 4, value)
