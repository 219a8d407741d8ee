"""MatMul on the cpu: every row of y gathers rows of b, weighed by a row of a."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, View, kernel
from ..matmul import MatMul


def bind(call: Call) -> dict:
    (*batch, m, k), (*_, n) = call.shape("a"), call.shape("y")
    count = prod(batch)
    b = (count, n, k) if call.layer.transpose_b else (count, k, n)
    room = (call.threads, k, n) if call.layer.transpose_b else (1, 1, 1)
    return dict(a=View("a", (count, m, k)), b=View("b", b), y=View("y", (count, m, n)), room=Scratch(room))


def transposed(wanted: bool):
    """The predicate of a kernel for a b that is, or is not, transposed."""
    return lambda call: call.layer.transpose_b == wanted or f"transpose_b is {call.layer.transpose_b}"


@kernel(MatMul, device="cpu", bind=bind, when=transposed(False), split=("a", "b", "y"))
def matmul(a, b, y):
    count, m, n = y.shape
    for matrix in range(count):
        for i in range(m):
            for j in range(n):
                y[matrix, i, j] = np.float32(0)
            for k in range(a.shape[2]):
                factor = a[matrix, i, k]
                for j in range(n):
                    y[matrix, i, j] += factor * b[matrix, k, j]


@kernel(MatMul, device="cpu", bind=bind, when=transposed(True))
def matmul_transposed(a, b, y, room, ith, nth):
    """b is turned first, so that the inner loop runs along its rows and becomes vector code."""
    count, m, n = y.shape
    for matrix in range(count * ith // nth, count * (ith + 1) // nth):
        for k in range(a.shape[2]):
            for j in range(n):
                room[ith, k, j] = b[matrix, j, k]
        for i in range(m):
            for j in range(n):
                y[matrix, i, j] = np.float32(0)
            for k in range(a.shape[2]):
                factor = a[matrix, i, k]
                for j in range(n):
                    y[matrix, i, j] += factor * room[ith, k, j]
