"""memory: where in the arena each block lies, so that blocks alive at the same time never overlap.

Largest first, each at the lowest place that is free for its whole life (Pisarchyk & Lee 2020, arXiv:2001.03288,
"greedy by size"); on the networks at hand that is within a few per cent of the lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGN = 64  # bytes: a cache line, and the widest vector


@dataclass
class Block:
    """`nbytes` of the arena, in use from step `first` to step `last`, both included."""

    nbytes: int
    first: int
    last: int
    offset: int = -1


def arrange(blocks: Sequence[Block]) -> int:
    """Give every block its offset; returns the bytes of the arena."""
    placed: list[Block] = []
    for block in sorted(blocks, key=lambda b: (-b.nbytes, b.first)):
        block.offset = 0
        for other in placed:  # by offset, so the first gap that fits is the lowest
            if other.last < block.first or block.last < other.first:
                continue
            if other.offset - block.offset >= block.nbytes:
                break
            block.offset = max(block.offset, aligned(other.offset + other.nbytes))
        placed.append(block)
        placed.sort(key=lambda b: b.offset)
    return max((aligned(b.offset + b.nbytes) for b in blocks), default=0)


def lower_bound(blocks: Sequence[Block]) -> int:
    """The most bytes alive at one step: no arena can be smaller."""
    times = {b.first for b in blocks}
    return max((sum(aligned(b.nbytes) for b in blocks if b.first <= t <= b.last) for t in times), default=0)


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to a multiple of ALIGN."""
    return -(-nbytes // ALIGN) * ALIGN
