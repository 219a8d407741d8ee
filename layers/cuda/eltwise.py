"""Eltwise on the GPU: the first two inputs in one pass over y, then one pass for each further input."""

from __future__ import annotations

from ...engine.kernel import Call, Stage, kernel
from ..eltwise import Eltwise


def bind(call: Call) -> list[Stage]:
    layer, count = call.layer, len(call.layer.inputs)
    both, one_more = {"sum": (add, add_to), "prod": (multiply, multiply_by), "max": (larger, raise_to)}[
        layer.operation
    ]
    factors = layer.coeff or (1.0,) * count
    xs, y = [call.flat(f"xs{i}") for i in range(count)], call.flat("y")
    # only the sum's functions have factors among their parameters; the others' are left unused
    pair = dict(a=xs[0], b=xs[1], y=y, factor_a=factors[0], factor_b=factors[1])
    stages = [Stage(pair, ("a", "b", "y"), both)]
    for x, factor in zip(xs[2:], factors[2:], strict=True):
        stages.append(Stage(dict(x=x, y=y, factor=factor), ("x", "y"), one_more))
    return stages


@kernel(Eltwise, device="cuda", bind=bind, inplace=("xs0", "xs1"))
def add(a, b, y, factor_a, factor_b):
    for i in range(y.size):
        y[i] = factor_a * a[i] + factor_b * b[i]


def add_to(y, x, factor):
    for i in range(y.size):
        y[i] += factor * x[i]


def multiply(a, b, y):
    for i in range(y.size):
        y[i] = a[i] * b[i]


def multiply_by(y, x):
    for i in range(y.size):
        y[i] *= x[i]


def larger(a, b, y):
    for i in range(y.size):
        y[i] = a[i] if a[i] > b[i] else b[i]


def raise_to(y, x):
    for i in range(y.size):
        y[i] = x[i] if x[i] > y[i] else y[i]
