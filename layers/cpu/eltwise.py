"""Eltwise on the cpu: the first two inputs in one pass, then one pass for each further input."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ..eltwise import Eltwise


def bind(call: Call) -> list[Stage]:
    layer, count = call.layer, len(call.layer.inputs)
    first, further = {"sum": (add, add_to), "prod": (multiply, multiply_by), "max": (largest, raise_to)}[
        layer.operation
    ]
    flat = View("y", (prod(call.shape("y")),))
    factors = layer.coeff or (1.0,) * count

    def stage(function, split, **params):
        return Stage(params, split, function)

    pair = dict(a=call.flat("xs0"), b=call.flat("xs1"), y=flat, factor_a=factors[0], factor_b=factors[1])
    return [
        stage(first, ("a", "b", "y"), **pair),
        *[
            stage(further, ("x", "y"), x=call.flat(f"xs{i}"), y=flat, factor=factors[i])
            for i in range(2, count)
        ],
    ]


@kernel(Eltwise, device="cpu", bind=bind, inplace=("xs0", "xs1"))
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


def largest(a, b, y):
    for i in range(y.size):
        y[i] = a[i] if a[i] > b[i] else b[i]


def raise_to(y, x):
    for i in range(y.size):
        y[i] = x[i] if x[i] > y[i] else y[i]
