"""broadcast: how kernels of several operands walk over them when some are repeated along some axes.

Neighbouring axes along which every operand goes on in the same way are one axis. The last one is the inner loop: along
it an operand either follows y or stays where it is, which is known when the loop is compiled, so that it becomes vector
code. The others are worked out once a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ...engine.kernel import Call, Packed


def meet(call: Call, names: Sequence[str]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """(parameters of a loop over these operands, 0 or 1 for each: whether it moves along the inner axis)."""
    sizes, steps = _merged([call.shape(name) for name in names], call.shape("y"))
    outer = sizes[:-1] or [1]
    ahead = np.array([row[:-1] or [0] for row in zip(*steps, strict=True)], np.int64)
    params: dict[str, Any] = {name: call.flat(name) for name in (*names, "y")}
    params |= dict(sizes=Packed(np.array(outer, np.int64)), steps=Packed(ahead), inner=sizes[-1])
    return params, steps[-1]


def _merged(shapes: Sequence[Sequence[int]], whole: Sequence[int]) -> tuple[list[int], list[tuple[int, ...]]]:
    """Sizes of the axes that are left, and how many elements each operand goes ahead along them."""
    full = [(1,) * (len(whole) - len(shape)) + tuple(shape) for shape in shapes]
    sizes, steps = [], []
    for axis, size in enumerate(whole):
        if size == 1:
            continue
        step = tuple(0 if s[axis] == 1 else prod(s[axis + 1 :]) for s in full)
        if sizes and all(before == here * size for before, here in zip(steps[-1], step, strict=True)):
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
    return (sizes, steps) if sizes else ([1], [(0,) * len(shapes)])


@cache
def pairs(compute: Callable, step_a: int, step_b: int) -> Callable:
    """The loop y = compute(a, b)."""

    def broadcast(a, b, y, sizes, steps, inner, ith, nth):
        at, stop = y.size * ith // nth, y.size * (ith + 1) // nth
        while at < stop:
            row, begin = at // inner, at % inner
            end = min(inner, begin + stop - at)
            in_a, in_b = place(sizes, steps, row, 0), place(sizes, steps, row, 1)
            for i in range(begin, end):
                y[at - begin + i] = compute(a[in_a + i * step_a], b[in_b + i * step_b])
            at += end - begin

    return broadcast


@cache
def triples(compute: Callable, step_a: int, step_b: int, step_c: int) -> Callable:
    """The loop y = compute(condition, a, b)."""

    def broadcast(condition, a, b, y, sizes, steps, inner, ith, nth):
        at, stop = y.size * ith // nth, y.size * (ith + 1) // nth
        while at < stop:
            row, begin = at // inner, at % inner
            end = min(inner, begin + stop - at)
            first, second = place(sizes, steps, row, 0), place(sizes, steps, row, 1)
            third = place(sizes, steps, row, 2)
            for i in range(begin, end):
                y[at - begin + i] = compute(
                    condition[first + i * step_a], a[second + i * step_b], b[third + i * step_c]
                )
            at += end - begin

    return broadcast


def place(sizes, steps, row, operand):
    """Where in an operand a row of y begins."""
    at = 0
    for k in range(sizes.size):
        axis = sizes.size - 1 - k
        at += row % sizes[axis] * steps[operand, axis]
        row //= sizes[axis]
    return at
