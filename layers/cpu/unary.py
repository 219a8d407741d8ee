"""Unary and Cast on the cpu: one expression an operation, and a loop. Every thread gets its share of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ...engine.layout import SAME
from ..cast import Cast
from ..unary import Unary


def negative(x):
    return -x


def absolute(x):
    return abs(x)


def absolute_integer(x):
    return x if x > 0 else -x


def same(x):
    return x


def sign(x):
    return np.float32(1) if x > 0 else np.float32(-1) if x < 0 else x


def sign_of_integer(x):
    return (1 if x > 0 else 0) - (1 if x < 0 else 0)


def opposite(x):
    return not x


def inverted(x):
    return ~x


def square(x):
    return x * x


def root(x):
    return math.sqrt(x)


def reciprocal_root(x):
    return np.float32(1) / math.sqrt(x)


def reciprocal(x):
    return np.float32(1) / x


def softsign(x):
    return x / (np.float32(1) + abs(x))


def is_nan(x):
    return x != x


def is_infinite(x):
    return abs(x) == np.inf


def is_positive_infinite(x):
    return x == np.inf


def is_negative_infinite(x):
    return x == -np.inf


def is_not_zero(x):
    return x != 0


# operation: its expression; of those of whole numbers, one for floats, for signed, for unsigned and for truths
EXPRESSIONS = {
    "square": square, "sqrt": root, "rsqrt": reciprocal_root, "reciprocal": reciprocal, "softsign": softsign,
    "isnan": is_nan, "isinf": is_infinite, "isposinf": is_positive_infinite, "isneginf": is_negative_infinite,
}  # fmt: skip
BY_KIND = {
    "neg": (negative, negative, negative, None),
    "abs": (absolute, absolute_integer, same, None),
    "sign": (sign, sign_of_integer, sign_of_integer, None),
    "not": (None, inverted, inverted, opposite),
}


@cache
def library(name: str) -> Callable:
    """A function of `math`, or of numpy where math's makes an int of a float, as an expression."""
    function = getattr(math, name, None)
    if name in ("floor", "ceil", "trunc", "round"):
        function = getattr(np, {"round": "rint"}.get(name, name))

    def expression(x):
        return function(x)

    return expression


@cache
def loop(compute: Callable) -> Callable:
    """The loop y = compute(x)."""

    def elements(x, y):
        for i in range(x.size):
            y[i] = compute(x[i])

    return elements


def expression_of(operation: str, kind: str) -> Callable:
    """What an operation does to one number of a dtype whose numpy kind is f, i, u or b."""
    if operation in BY_KIND:
        return BY_KIND[operation]["fiub".index(kind)]
    return EXPRESSIONS.get(operation) or library(operation)


def bind_unary(call: Call) -> Stage:
    return Stage({}, function=loop(expression_of(call.layer.operation, call.specs["x"].dtype.storage.kind)))


def no_halves(call: Call) -> bool | str:
    """numba has no float16 on CPUs."""
    return all(s.dtype.name != "fp16" for s in call.specs.values()) or "fp16 numbers"


kernel(Unary, device="cpu", bind=bind_unary, when=no_halves)(loop(same))


def bind_cast(call: Call) -> Stage:
    flat = dict(x=call.flat("x"), y=call.flat("y"))
    return Stage(flat, ("x", "y"), loop(is_not_zero if call.layer.to == "bool" else same))


kernel(Cast, device="cpu", bind=bind_cast, when=no_halves, layouts={"x": SAME, "y": SAME})(loop(same))
