"""ArgMax and TopK on the cpu. x is seen as (all axes before, the axis, all after it); threads share the others."""

from __future__ import annotations

from functools import cache
from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ..order import ArgMax, TopK
from .unary import no_halves


def _split(call: Call) -> tuple[int, int, int]:
    """x's shape as (all axes before the layer's, the layer's, all after it)."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def bind_arg_max(call: Call) -> Stage:
    before, size, after = _split(call)
    better = {(0, 0): larger, (0, 1): not_smaller, (1, 0): smaller, (1, 1): not_larger}
    choose = better[call.layer.smallest, call.layer.last]
    return Stage(
        dict(x=View("x", (before, size, after)), y=View("y", (before * after,))), function=first(choose)
    )


def larger(a, b):
    return a > b


def not_smaller(a, b):
    return a >= b


def smaller(a, b):
    return a < b


def not_larger(a, b):
    return a <= b


@cache
def first(better):
    """The loop that keeps the place of what is better than all before it. NaN is better than any number."""

    def arg_max(x, y, ith, nth):
        before, size, after = x.shape
        for cell in range(before * after * ith // nth, before * after * (ith + 1) // nth):
            o, i = cell // after, cell % after
            best = 0
            for k in range(1, size):
                value, held = x[o, k, i], x[o, best, i]
                if (better(value, held) and held == held) or (value != value and held == held):
                    best = k
            y[cell] = best

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
def sorted_in(better):
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
