"""ArgMax and TopK on the cpu. x is seen as (all axes before, the axis, all after it); threads share the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

from ...engine.kernel import Call, Scratch, Stage, View, kernel
from ..order import ArgMax, TopK
from .unary import no_halves


def _split(call: Call) -> tuple[int, int, int]:
    """x's shape as (all axes before the layer's, the layer's, all after it)."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def _better(call: Call) -> Callable:
    choices = {(0, 0): larger, (0, 1): not_smaller, (1, 0): smaller, (1, 1): not_larger}
    return choices[call.layer.smallest, call.layer.last]


def bind_arg_max(call: Call) -> Stage:
    before, size, after = _split(call)
    x, y = View("x", (before, size, after)), View("y", (before, after))
    if after == 1:
        return Stage(dict(x=x, y=y), function=first(_better(call)))
    room = Scratch((call.threads, after), call.specs["x"].dtype.name)
    return Stage(dict(x=x, y=y, best=room), function=first_of_columns(_better(call)))


def larger(a, b):
    return a > b


def not_smaller(a, b):
    return a >= b


def smaller(a, b):
    return a < b


def not_larger(a, b):
    return a <= b


@cache
def first(better: Callable) -> Callable:
    """The loop along rows that keeps the place of what is better than all before it. NaN is better than any number."""

    def arg_max(x, y, ith, nth):
        before, size, _ = x.shape
        for o in range(before * ith // nth, before * (ith + 1) // nth):
            best = 0
            for k in range(1, size):
                value, held = x[o, k, 0], x[o, best, 0]
                if held == held and (better(value, held) or value != value):
                    best = k
            y[o, 0] = best

    return arg_max


@cache
def first_of_columns(better: Callable) -> Callable:
    """The same for columns side by side: each row of x is held against the best so far of every column."""

    def arg_max(x, y, best, ith, nth):
        before, size, after = x.shape
        at, stop = before * after * ith // nth, before * after * (ith + 1) // nth
        while at < stop:
            o, begin = at // after, at % after
            end = min(after, begin + stop - at)
            for i in range(begin, end):
                best[ith, i], y[o, i] = x[o, 0, i], 0
            for k in range(1, size):
                for i in range(begin, end):
                    value, held = x[o, k, i], best[ith, i]
                    wins = (held == held) & (better(value, held) | (value != value))
                    best[ith, i] = value if wins else held
                    y[o, i] = k if wins else y[o, i]
            at += end - begin

    return arg_max


kernel(ArgMax, device="cpu", bind=bind_arg_max, when=no_halves)(first(larger))


def bind_top_k(call: Call) -> Stage:
    before, size, after = _split(call)
    kept = (before, call.layer.k, after)
    params = dict(
        x=View("x", (before, size, after)), values=View("values", kept), indices=View("indices", kept)
    )
    return Stage(params, function=sorted_in(smaller if call.layer.smallest else larger))


@cache
def sorted_in(better: Callable) -> Callable:
    """The loop that sorts each number into the k best so far: x is read once, and k is small."""

    def top_k(x, values, indices, ith, nth):
        before, size, after = x.shape
        k = values.shape[1]
        for cell in range(before * after * ith // nth, before * after * (ith + 1) // nth):
            o, i = cell // after, cell % after
            for n in range(size):
                value, held = x[o, n, i], min(n, k)
                at = held
                while at > 0 and better(value, values[o, at - 1, i]):
                    if at < k:
                        values[o, at, i], indices[o, at, i] = values[o, at - 1, i], indices[o, at - 1, i]
                    at -= 1
                if at < k:
                    values[o, at, i], indices[o, at, i] = value, n

    return top_k


kernel(TopK, device="cpu", bind=bind_top_k, when=no_halves)(sorted_in(larger))
