"""Concat and Slice on the cpu: a copy for each part. Rows are all axes before the layer's, columns it and the rest."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ..concat import Concat, Slice


def _rows(call: Call, name: str, whole: str) -> View:
    """A tensor as (rows, columns)."""
    shape, axis = call.shape(name), call.specs[whole].axis(call.layer.axis)
    return View(name, (prod(shape[:axis]), prod(shape[axis:])))


def bind_concat(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.inputs)):
        x, y = _rows(call, f"xs{i}", "y"), _rows(call, "y", "y")
        stages.append(Stage(dict(x=x, y=y, start=0, to=at, count=x.shape[1])))
        at += x.shape[1]
    return stages


def bind_slice(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.outputs)):
        x, y = _rows(call, "x", "x"), _rows(call, f"y{i}", "x")
        stages.append(Stage(dict(x=x, y=y, start=at, to=0, count=y.shape[1])))
        at += y.shape[1]
    return stages


@kernel(Concat, device="cpu", bind=bind_concat)
@kernel(Slice, device="cpu", bind=bind_slice)
def copy_columns(x, y, start, to, count, ith, nth):
    """y[row, to:] = x[row, start:] of each row, count columns; threads share the columns."""
    for row in range(x.shape[0]):
        for i in range(count * ith // nth, count * (ith + 1) // nth):
            y[row, to + i] = x[row, start + i]
