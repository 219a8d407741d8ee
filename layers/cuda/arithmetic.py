"""Binary, Compare, Where and Unary on the GPU, of floats: one expression an operation, a thread a result.

Operands of different shapes are walked over by a table: neighbouring axes along which every operand goes on in the same
way are one, and a step is 0 where an operand is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ..binary import Binary, Compare, Where
from ..unary import Unary
from .blocks import divide
from .card import numba_cuda

cuda = numba_cuda()

BINARY: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: math.pow(a, b),
    "max": lambda a, b: a if a > b or a != a else b,  # NaN stays
    "min": lambda a, b: a if a < b or a != a else b,
    "atan2": lambda a, b: math.atan2(a, b),
}
COMPARE: dict[str, Callable] = {
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
}
ONE = np.float32(1)
UNARY: dict[str, Callable] = {
    "neg": lambda x: -x,
    "abs": lambda x: abs(x),
    "square": lambda x: x * x,
    "sqrt": lambda x: math.sqrt(x),
    "rsqrt": lambda x: ONE / math.sqrt(x),
    "reciprocal": lambda x: ONE / x,
    "floor": lambda x: np.float32(math.floor(x)),
    "ceil": lambda x: np.float32(math.ceil(x)),
    "exp": lambda x: math.exp(x),
    "expm1": lambda x: math.expm1(x),
    "log": lambda x: math.log(x),
    "log1p": lambda x: math.log1p(x),
    "erf": lambda x: math.erf(x),
    "sin": lambda x: math.sin(x),
    "cos": lambda x: math.cos(x),
    "tan": lambda x: math.tan(x),
    "atan": lambda x: math.atan(x),
    "sinh": lambda x: math.sinh(x),
    "cosh": lambda x: math.cosh(x),
    "softsign": lambda x: x / (ONE + abs(x)),
}


def meet(call: Call, names: Sequence[str]) -> dict[str, Any]:
    """The parameters of a loop over these operands and y."""
    whole = call.shape("y")
    full = [(1,) * (len(whole) - len(call.shape(n))) + call.shape(n) for n in names]
    sizes: list[int] = []
    steps: list[tuple[int, ...]] = []
    for axis, size in enumerate(whole):
        if size == 1:
            continue
        step = tuple(0 if s[axis] == 1 else prod(s[axis + 1 :]) for s in full)
        if sizes and all(before == here * size for before, here in zip(steps[-1], step, strict=True)):
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
    sizes, steps = sizes or [1], steps or [(0,) * len(full)]
    params: dict[str, Any] = {name: call.flat(name) for name in (*names, "y")}
    params |= dict(sizes=Packed(np.array(sizes, np.int64)), steps=Packed(np.array(steps, np.int64)))
    return params | dict(items=prod(whole))


@cache
def pairs(name: str, expression: Callable) -> Callable:
    """The loop y = expression(a, b)."""
    compute = cuda.jit(device=True)(expression)

    def broadcast(a, b, y, sizes, steps, items, ith, nth):
        for i in range(ith, items, nth):
            rest, in_a, in_b = i, 0, 0
            for k in range(sizes.size):
                axis = sizes.size - 1 - k
                above = divide(rest, sizes[axis])
                place = rest - above * sizes[axis]
                in_a += place * steps[axis, 0]
                in_b += place * steps[axis, 1]
                rest = above
            y[i] = compute(a[in_a], b[in_b])

    broadcast.__qualname__ = f"pairs.{name}"  # part of what the compiled kernel is found by
    return broadcast


def choose(condition, a, b, y, sizes, steps, items, ith, nth):
    for i in range(ith, items, nth):
        rest, first, second, third = i, 0, 0, 0
        for k in range(sizes.size):
            axis = sizes.size - 1 - k
            above = divide(rest, sizes[axis])
            place = rest - above * sizes[axis]
            first += place * steps[axis, 0]
            second += place * steps[axis, 1]
            third += place * steps[axis, 2]
            rest = above
        y[i] = a[second] if condition[first] else b[third]


@cache
def loop(name: str, expression: Callable) -> Callable:
    """The loop y = expression(x)."""
    compute = cuda.jit(device=True)(expression)

    def elements(x, y):
        for i in range(x.size):
            y[i] = compute(x[i])

    elements.__qualname__ = f"loop.{name}"
    return elements


def of_floats(expressions: dict[str, Callable], operand: str):
    """The predicate of a kernel that has these expressions."""

    def predicate(call: Call) -> bool | str:
        if call.layer.operation not in expressions:
            return f"its operation is {call.layer.operation!r}"
        return call.specs[operand].dtype.name == "fp32" or f"{call.specs[operand].dtype} numbers"

    return predicate


def bind_pairs(expressions: dict[str, Callable]):
    def bind(call: Call) -> Stage:
        name = call.layer.operation
        return Stage(meet(call, "ab"), function=pairs(name, expressions[name]))

    return bind


def bind_unary(call: Call) -> Stage:
    return Stage({}, function=loop(call.layer.operation, UNARY[call.layer.operation]))


def register() -> None:
    """Every layer here with its name, since the functions are made by expressions."""
    a_pair, an_element = pairs("add", BINARY["add"]), loop("neg", UNARY["neg"])
    kernel(Binary, device="cuda", bind=bind_pairs(BINARY), when=of_floats(BINARY, "a"))(a_pair)
    kernel(Compare, device="cuda", bind=bind_pairs(COMPARE), when=of_floats(COMPARE, "a"))(a_pair)
    kernel(
        Where, device="cuda", bind=lambda call: meet(call, ("condition", "a", "b")),
        when=lambda call: call.specs["a"].dtype.name == "fp32" or f"{call.specs['a'].dtype} numbers",
    )(choose)  # fmt: skip
    kernel(Unary, device="cuda", bind=bind_unary, when=of_floats(UNARY, "x"))(an_element)


register()
