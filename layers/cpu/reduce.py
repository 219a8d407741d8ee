"""Reduction and CumSum on the cpu.

v1  cells    one result after the other, from wherever its numbers lie: any axes. Along the last axis in eight sums side
             by side, which is a vector of them
v2  columns  results that lie side by side, as along any axis but the last: rows of x are added to a row of results
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, View, kernel
from ..reduce import CumSum, Reduction, extreme
from .broadcast import place


def add(total, x):
    return total + x


def add_size(total, x):
    return total + abs(x)


def add_square(total, x):
    return total + x * x


def multiply(total, x):
    return total * x


def larger(total, x):
    return x if x > total or x != x else total  # NaN stays


def smaller(total, x):
    return x if x < total or x != x else total


def scaled(total, coeff):
    return total * coeff


def root(total, coeff):
    return math.sqrt(total) * coeff


def logarithm(total, coeff):
    return math.log(total) * coeff


def as_it_is(total, coeff):
    return total


def as_truth(total, coeff):
    return total != 0


# operation: what it does to a number, how two halves are joined, what is done in the end
OPERATIONS = {
    "sum": (add, add, scaled),
    "mean": (add, add, scaled),
    "asum": (add_size, add, scaled),
    "sumsq": (add_square, add, scaled),
    "l2": (add_square, add, root),
    "log_sum": (add, add, logarithm),
    "prod": (multiply, multiply, scaled),
    "max": (larger, larger, scaled),
    "min": (smaller, smaller, scaled),
}


def no_halves_or_longs(call: Call) -> bool | str:
    """numba has no float16 on CPUs, and makes floats of a uint64 and an int64."""
    name = call.specs["x"].dtype.name
    return name not in ("fp16", "uint64") or f"{name} numbers"


def _axes(call: Call) -> list[tuple[int, int, bool]]:
    """x's axes as (size, elements to its next, whether it goes): neighbours that share a fate are one, 1s are none."""
    x = call.specs["x"]
    gone = call.layer.reduced(x)
    found: list[tuple[int, int, bool]] = []
    for axis, size in enumerate(x.shape):
        if size == 1:
            continue
        if found and found[-1][2] == (axis in gone):
            found[-1] = (found[-1][0] * size, prod(x.shape[axis + 1 :]), axis in gone)
        else:
            found.append((size, prod(x.shape[axis + 1 :]), axis in gone))
    return found


def _numbers(call: Call) -> dict:
    """Where the result starts, and what it is multiplied by in the end."""
    layer, dtype = call.layer, call.specs["x"].dtype.storage
    operation = "max" if layer.operation == "log_sum_exp" else layer.operation
    start = extreme(dtype, operation) if operation in ("max", "min") else int(operation == "prod")
    count = prod(call.shape("x")[a] for a in layer.reduced(call.specs["x"]))
    coeff = layer.coeff / max(1, count) if operation == "mean" else layer.coeff
    if operation == "mean" and not count:
        coeff = math.nan
    return dict(start=float(start) if dtype.kind == "f" else int(start), coeff=coeff)


def _functions(call: Call) -> tuple[Callable, Callable, Callable]:
    take, join, finish = OPERATIONS[call.layer.operation]
    kind = call.specs["x"].dtype.storage.kind
    return take, join, finish if kind == "f" else as_truth if kind == "b" else as_it_is


def bind_cells(call: Call) -> Stage:
    axes = _axes(call)
    kept, gone = [a for a in axes if not a[2]], [a for a in axes if a[2]]
    inner, step, _ = gone.pop() if gone else (1, 1, True)
    params = dict(x=call.flat("x"), y=call.flat("y"), inner=inner, step=step) | _numbers(call)
    for name, some in (("kept", kept), ("gone", gone)):
        some = some or [(1, 0, True)]
        params[name] = Packed(np.array([size for size, _, _ in some], np.int64))
        params[f"{name}_steps"] = Packed(np.array([[ahead for _, ahead, _ in some]], np.int64))
    if call.layer.operation == "log_sum_exp":
        return Stage(params | dict(room=Scratch((call.threads, 256))), function=log_sum_exp)
    return Stage(params, function=cells(*_functions(call)))


@cache
def cells(take: Callable, join: Callable, finish: Callable) -> Callable:
    def reduce_cells(x, y, kept, kept_steps, gone, gone_steps, inner, step, start, coeff, ith, nth):
        rows = 1
        for axis in range(gone.size):
            rows *= gone[axis]
        for cell in range(y.size * ith // nth, y.size * (ith + 1) // nth):
            base = place(kept, kept_steps, cell, 0)
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = start
            for row in range(rows):
                at = base + place(gone, gone_steps, row, 0)
                whole = inner - inner % 8 if step == 1 else 0
                for i in range(at, at + whole, 8):
                    t0, t1 = take(t0, x[i]), take(t1, x[i + 1])
                    t2, t3 = take(t2, x[i + 2]), take(t3, x[i + 3])
                    t4, t5 = take(t4, x[i + 4]), take(t5, x[i + 5])
                    t6, t7 = take(t6, x[i + 6]), take(t7, x[i + 7])
                for i in range(whole, inner):
                    t0 = take(t0, x[at + i * step])
            left, right = join(join(t0, t4), join(t1, t5)), join(join(t2, t6), join(t3, t7))
            y[cell] = finish(join(left, right), coeff)

    return reduce_cells


def log_sum_exp(x, y, room, kept, kept_steps, gone, gone_steps, inner, step, start, coeff, ith, nth):
    """The largest x is taken off first, and added again outside, so that exp cannot overflow.

    The exps of some x are written down before they are summed: that is vector code, and a sum of exps would not be.
    """
    rows = 1
    for axis in range(gone.size):
        rows *= gone[axis]
    for cell in range(y.size * ith // nth, y.size * (ith + 1) // nth):
        base = place(kept, kept_steps, cell, 0)
        top = start
        for row in range(rows):
            at = base + place(gone, gone_steps, row, 0)
            for i in range(inner):
                top = larger(top, x[at + i * step])
        top = top if abs(top) < np.inf else np.float32(0)
        total = np.float32(0)
        for row in range(rows):
            at = base + place(gone, gone_steps, row, 0)
            for first in range(0, inner, room.shape[1]):
                count = min(inner - first, room.shape[1])
                for i in range(count):
                    room[ith, i] = math.exp(x[at + (first + i) * step] - top)
                for i in range(count):
                    total += room[ith, i]
        y[cell] = coeff * (top + math.log(total))


kernel(Reduction, device="cpu", bind=bind_cells, when=no_halves_or_longs, name="cells")(
    cells(*OPERATIONS["sum"])
)


def one_block_before_others(call: Call) -> bool | str:
    fates = [gone for _, _, gone in _axes(call)]
    if call.layer.operation == "log_sum_exp":
        return "log_sum_exp goes over its numbers twice"
    if fates not in ([True, False], [False, True, False]):
        return "its axes are not neighbours before others"
    return no_halves_or_longs(call)


def bind_columns(call: Call) -> Stage:
    axes = _axes(call)
    before, count, after = [1] * (3 - len(axes)) + [size for size, _, _ in axes]
    views = dict(x=View("x", (before, count, after)), y=View("y", (before, after)))
    return Stage(views | _numbers(call), function=columns(*_functions(call)))


@cache
def columns(take: Callable, join: Callable, finish: Callable) -> Callable:
    def reduce_columns(x, y, start, coeff, ith, nth):
        before, count, after = x.shape
        at, stop = before * after * ith // nth, before * after * (ith + 1) // nth
        while at < stop:
            o, begin = at // after, at % after
            end = min(after, begin + stop - at)
            for i in range(begin, end):
                y[o, i] = start
            for n in range(count):
                for i in range(begin, end):
                    y[o, i] = take(y[o, i], x[o, n, i])
            for i in range(begin, end):
                y[o, i] = finish(y[o, i], coeff)
            at += end - begin

    return reduce_columns


kernel(Reduction, device="cpu", bind=bind_columns, when=one_block_before_others, score=2.0, name="columns")(
    columns(*OPERATIONS["sum"])
)


def bind_cumsum(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    seen = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
    return dict(x=View("x", seen), y=View("y", seen))


@kernel(CumSum, device="cpu", bind=bind_cumsum, when=no_halves_or_longs)
def cumsum(x, y, exclusive, reverse, ith, nth):
    before, size, after = x.shape
    at, stop = before * after * ith // nth, before * after * (ith + 1) // nth
    while at < stop:
        o, begin = at // after, at % after
        end = min(after, begin + stop - at)
        for n in range(size):
            here = size - 1 - n if reverse else n
            last = here + 1 if reverse else here - 1
            taken = last if exclusive else here
            for i in range(begin, end):
                value = x[o, taken, i] if n or not exclusive else x[o, here, i] - x[o, here, i]
                y[o, here, i] = value + y[o, last, i] if n else value
        at += end - begin
