"""Gather on the cpu: slices of x copied one after the other. An index outside of x takes the nearest slice."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, View, kernel
from ..gather import Gather


def bind(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    before, after, count = prod(shape[:axis]), prod(shape[axis + 1 :]), prod(call.shape("indices"))
    return dict(
        x=View("x", (before, shape[axis], after)), indices=View("indices", (count,)),
        y=View("y", (before, count, after)),
    )  # fmt: skip


def has_slices(call: Call) -> bool | str:
    return 0 not in call.shape("x") or "x has no elements"


@kernel(Gather, device="cpu", bind=bind, when=has_slices)
def gather(x, indices, y, ith, nth):
    """Threads share the slices of y."""
    before, size, after = x.shape
    count = indices.size
    for unit in range(before * count * ith // nth, before * count * (ith + 1) // nth):
        block, i = unit // count, unit % count
        place = int(indices[i])
        if place < 0:
            place += size
        place = min(max(place, 0), size - 1)
        for j in range(after):
            y[block, i, j] = x[block, place, j]
