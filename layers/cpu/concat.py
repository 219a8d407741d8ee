"""Concat and Slice on the cpu: a copy for each part, or none where the part can lie in the whole from the start.

Rows are all axes before the layer's, columns it and the rest, of the tensors as they are stored. In blocks, parts of
the channel axis are parts in memory if each but the last fills its blocks.
"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ...engine.layout import PLAIN, SAME
from ..concat import Concat, Slice


def serves(whole: str, part: str):
    """The predicate of a kernel that copies parts, called `part` and a number, as they are stored."""

    def predicate(call: Call) -> bool | str:
        names = [name for name in call.specs if name.startswith(part) and name != whole]
        for name in names[:-1]:
            channels = call.shape(name)[1:2]
            if call.layout(whole) != PLAIN and _axis(call, whole) == 1 and channels[0] % call.lanes:
                return f"{name} has {channels[0]} channels, which do not fill blocks of {call.lanes}"
        return True

    return predicate


def _axis(call: Call, whole: str) -> int:
    return call.specs[whole].axis(call.layer.axis)


def _rows(call: Call, name: str, whole: str) -> View:
    """A tensor as (rows, columns)."""
    shape, axis = call.stored(name), _axis(call, whole)
    return View(name, (prod(shape[:axis]), prod(shape[axis:])))


def bind_concat(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.inputs)):
        x, y = _rows(call, f"xs{i}", "y"), _rows(call, "y", "y")
        lies = (f"xs{i}", "y", at) if y.shape[0] == 1 else None
        stages.append(Stage(dict(x=x, y=y, start=0, to=at, count=x.shape[1]), lies=lies))
        at += x.shape[1]
    return stages


def bind_slice(call: Call) -> list[Stage]:
    stages, at = [], 0
    for i in range(len(call.layer.outputs)):
        x, y = _rows(call, "x", "x"), _rows(call, f"y{i}", "x")
        lies = (f"y{i}", "x", at) if x.shape[0] == 1 else None
        stages.append(Stage(dict(x=x, y=y, start=at, to=0, count=y.shape[1]), lies=lies))
        at += y.shape[1]
    return stages


@kernel(Concat, device="cpu", bind=bind_concat, name="copy_columns_plain")
@kernel(Slice, device="cpu", bind=bind_slice, name="copy_columns_plain")
@kernel(
    Concat,
    device="cpu",
    bind=bind_concat,
    when=serves("y", "xs"),
    score=1.5,
    layouts={"*xs": SAME, "y": SAME},
)
@kernel(
    Slice, device="cpu", bind=bind_slice, when=serves("x", "y"), score=1.5, layouts={"x": SAME, "*": SAME}
)
def copy_columns(x, y, start, to, count, ith, nth):
    """y[row, to:] = x[row, start:] of each row, count columns; threads share the columns."""
    for row in range(x.shape[0]):
        for i in range(count * ith // nth, count * (ith + 1) // nth):
            y[row, to + i] = x[row, start + i]
