"""filters: Winograd's weights. Those in fp32 are transformed when the plan is made, and kept so, 4 or 7 times as large.

Those that are stored in fp16 are kept as they are, and transformed at each run: in halves, transformed ones would lose
8 to 16 times what fp16 weights themselves do. That is done in fp32, a row of positions at a time, from nine halves a
filter, which are an eighth or a fourteenth of the bytes that transformed weights in fp32 have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage
from . import simd
from .halves import packed_weights
from .transforms import G, transformed_weights

M, VECTORS = 4, 2  # numbers of a variant


@dataclass(frozen=True)
class Transformed:
    """Where a kernel finds weights as (position, group of outputs, C, VECTORS * lanes).

    step    vectors from one position to the next
    before  the stage that puts them there, if they are not
    """

    w: Packed | Scratch
    step: int
    before: list[Stage] = field(default_factory=list)


def kept(call: Call, m: int, vectors: int) -> Transformed:
    """Transformed when the plan is made."""
    w, lanes, positions = call.constants["w"], call.lanes, (m + 2) ** 2
    outputs, c = w.shape[:2]
    blocks, groups = -(-c // lanes), -(-outputs // (lanes * vectors))
    full = np.zeros((positions, groups * vectors * lanes, blocks * lanes), np.float32)
    full[:, :outputs, :c] = transformed_weights(w, m).reshape(positions, outputs, c)
    split = full.reshape(positions, groups, vectors * lanes, blocks * lanes)
    return Transformed(
        Packed(np.ascontiguousarray(split.transpose(0, 1, 3, 2))), groups * blocks * lanes * vectors
    )


def made(call: Call, m: int, vectors: int) -> Transformed:
    """Transformed at each run, all of them, before they are needed."""
    w, lanes = call.constants["w"], call.lanes
    outputs, c = w.shape[:2]
    groups, padded = -(-outputs // (lanes * vectors)), -(-c // lanes) * lanes
    step = (
        groups * padded * vectors | 1
    )  # odd: the rows of positions do not all fall on the same lines of a cache
    room = Scratch(((m + 2) ** 2 * step * lanes,))
    params = dict(halved(call, m, vectors), to=room, groups=groups, c=c, padded=padded, step=step)
    sizes = dict(M=m, VECTORS=vectors)
    row = simd.variant(transform_row, **sizes)
    return Transformed(
        room, step, [Stage(params, function=simd.variant(transform, transform_row=row, **sizes))]
    )


def halved(call: Call, m: int, vectors: int) -> dict[str, Packed]:
    """Weights as (group of outputs, C, 9, VECTORS * lanes), and G."""
    w, width = call.constants["w"], vectors * call.lanes
    outputs, c = w.shape[:2]
    full = np.zeros((-(-outputs // width) * width, c, 9), np.float32)
    full[:outputs] = w.reshape(outputs, c, 9)
    split = full.reshape(-1, width, c, 9).transpose(0, 2, 3, 1)
    return dict(
        w=packed_weights(call, np.ascontiguousarray(split)),
        left_matrix=Packed(np.ascontiguousarray(G[m], np.float32)),
    )


def transform(w, left_matrix, to, groups, c, padded, step, ith, nth):
    """All filters; threads share the rows of positions of all groups."""
    vector = simd.LANES * 4
    for unit in range(groups * (M + 2) * ith // nth, groups * (M + 2) * (ith + 1) // nth):
        group, row = unit // (M + 2), unit % (M + 2)
        there = simd.address(to) + (row * (M + 2) * step + group * padded * VECTORS) * vector
        transform_row(simd.address(w), simd.address(left_matrix), group, row, c, there, step * vector)


def transform_row(w, left, group, row, c, to, step):
    """A row of positions of one group's filters: position j's go to `to + j * step`, as (C, VECTORS * lanes)."""
    half = simd.LANES * 2
    for channel in range(c):
        for k in range(VECTORS):
            source = w + ((group * c + channel) * 9 * VECTORS + k) * half
            there = to + (channel * VECTORS + k) * simd.LANES * 4
            simd.winograd_filter(source, VECTORS * half, left + row * 12, there, step, M)
