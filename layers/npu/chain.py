"""chain: windows that are computed tile by tile in a row, so that what lies between them need not go through DRAM.

A convolution's output that is too large for the buffer goes out and comes in again. If only the next window reads it,
a tile of that one's rows can be computed as soon as the rows that it is made of are there; rows at the edge of a tile
are computed again for the next. It is done where the estimate says that it takes less time. Alwani et al. 2016,
"Fused-layer CNN accelerators", MICRO.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from ...engine.net import Net
from .machine import Machine
from .tiling import Tiling, tiling_of
from .works import Chain, Ref, Window, Work, operands


def chained(
    net: Net,
    works: Sequence[Work],
    roots: Mapping[str, Ref],
    resident: set[str],
    tilings: Sequence[Tiling],
    low: Sequence[int],
    machine: Machine,
) -> list[Work]:
    """The works with some of them joined.

    resident, tilings, low  what stays in the buffer without chains, how works are cut, where the buffer is free
    """
    linked = [_linked(a, b, net, works, roots, resident) for a, b in itertools.pairwise(works)]
    made: list[Work] = []
    at = 0
    while at < len(works):
        end = at + 1
        while end <= len(linked) and linked[end - 1]:
            end += 1
        while end - at > 1:  # the longest that is worth it
            chain = Chain(tuple(works[at:end]))  # type: ignore[arg-type]
            there = tuple(roots[ref.tensor].tensor in resident for ref in operands(chain))
            tiling = tiling_of(chain, there, machine.room(max(low[at:end])), machine)
            if tiling is not None and tiling.cycles < sum(t.cycles for t in tilings[at:end]):
                break
            end -= 1
        made.append(works[at] if end - at == 1 else chain)
        at = end
    return made


def _linked(
    a: Work, b: Work, net: Net, works: Sequence[Work], roots: Mapping[str, Ref], resident: set[str]
) -> bool:
    """Whether b reads what a writes, nobody else does, and it goes through DRAM."""
    if not isinstance(a, Window) or not isinstance(b, Window) or a.y != b.x or a.residual or a.item != 1:
        return False
    name = a.y.tensor
    own = [other for other, ref in roots.items() if ref.tensor == name] == [name]
    used = sum(ref.tensor == name for work in works for ref in operands(work))
    return own and used == 2 and name not in resident and name not in net.outputs
