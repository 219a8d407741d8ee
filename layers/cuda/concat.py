"""Concat and Slice on the GPU: a copy for each part, or none where the part can lie in the whole from the start."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ..concat import Concat, Slice
from .blocks import divide


def _rows(call: Call, name: str, whole: str) -> View:
    """A tensor as (rows, columns): all axes before the layer's, and it and the rest."""
    shape, axis = call.shape(name), call.specs[whole].axis(call.layer.axis)
    return View(name, (prod(shape[:axis]), prod(shape[axis:])))


def bind_concat(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.inputs)):
        x, y = _rows(call, f"xs{i}", "y"), _rows(call, "y", "y")
        lies = (f"xs{i}", "y", at) if y.shape[0] == 1 else None
        count = x.shape[1]
        stages.append(Stage(dict(x=x, y=y, start=0, to=at, count=count, items=prod(x.shape)), lies=lies))
        at += count
    return stages


def bind_slice(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.outputs)):
        x, y = _rows(call, "x", "x"), _rows(call, f"y{i}", "x")
        lies = (f"y{i}", "x", at) if x.shape[0] == 1 else None
        count = y.shape[1]
        stages.append(Stage(dict(x=x, y=y, start=at, to=0, count=count, items=prod(y.shape)), lies=lies))
        at += count
    return stages


@kernel(Concat, device="cuda", bind=bind_concat)
@kernel(Slice, device="cuda", bind=bind_slice)
def copy_columns(x, y, start, to, count, items, ith, nth):
    """y[row, to:] = x[row, start:] of each row, count columns."""
    for i in range(ith, items, nth):
        row = divide(i, count)
        column = i - row * count
        y[row, to + column] = x[row, start + column]
