"""Concat and Slice on the cpu: a copy for each part."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ..concat import Concat, Slice


def bind_concat(call: Call) -> list[Stage]:
    parts = [f"xs{i}" for i in range(len(call.layer.inputs))]
    return _copies(call, "y", parts, lambda part, whole: dict(x=part, y=whole), "to")


def bind_slice(call: Call) -> list[Stage]:
    parts = [f"y{i}" for i in range(len(call.layer.outputs))]
    return _copies(call, "x", parts, lambda part, whole: dict(x=whole, y=part), "start")


def _copies(call: Call, whole: str, parts: list[str], ends, moving: str) -> list[Stage]:
    """A stage for each part, which lies somewhere in every row of the whole: (outer, axis and all after it)."""
    axis = call.specs[whole].axis(call.layer.axis)
    outer = prod(call.shape(whole)[:axis])

    def rows(name: str) -> View:
        return View(name, (outer, prod(call.shape(name)[axis:])))

    stages, at = [], 0
    for part in parts:
        view = rows(part)
        stages.append(
            Stage(dict(start=0, to=0, count=view.shape[1]) | {moving: at} | ends(view, rows(whole)))
        )
        at += view.shape[1]
    return stages


@kernel(Concat, device="cpu", bind=bind_concat)
@kernel(Slice, device="cpu", bind=bind_slice)
def copy_rows(x, y, start, to, count, ith, nth):
    """y[row, to:] = x[row, start:], count numbers of each row."""
    for row in range(x.shape[0]):
        for i in range(count * ith // nth, count * (ith + 1) // nth):
            y[row, to + i] = x[row, start + i]
