"""QuantizedMatMul on the cpu: every row of y gathers rows of b, weighed by a row of a, as int32."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, Stage, View, kernel
from ..quantized import QuantizedMatMul
from . import simd
from .matmul import owners
from .rounding import RESULT, as_bytes, limits_of

result = as_bytes  # of a variant


def bind(call: Call) -> Stage:
    """Matrices one after the other."""
    layer, (*batch, m, n), k = call.layer, call.shape("y"), call.shape("a")[-1]
    own = {name: prod(call.shape(name)[:-2]) for name in ("a", "b")}
    return Stage(
        dict(
            a=View("a", (own["a"], m, k)), b=View("b", (own["b"], k, n)), y=View("y", (prod(batch), m, n)),
            room=Scratch((call.threads, n), "int32"),
        ) | owners(call) | limits_of(call),
        function=simd.variant(gather_rows, result=RESULT[layer.to]),
    )  # fmt: skip


@kernel(QuantizedMatMul, device="cpu", dtype="int8", bind=bind)
def gather_rows(a, b, y, a_of, b_of, room, a_zero, b_zero, multiplier, low, high, zero, ith, nth):
    """Threads share the rows of all matrices."""
    count, m, n = y.shape
    for row in range(count * m * ith // nth, count * m * (ith + 1) // nth):
        matrix, i = row // m, row % m
        one, other = a_of[matrix], b_of[matrix]
        for j in range(n):
            room[ith, j] = 0
        for k in range(a.shape[2]):
            factor = a[one, i, k] - a_zero
            for j in range(n):
                room[ith, j] += factor * (b[other, k, j] - b_zero)
        for j in range(n):
            acc = room[ith, j]
            y[matrix, i, j] = result(acc, np.float32(acc) * multiplier, low, high, zero)
