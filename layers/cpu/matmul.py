"""MatMul on the cpu: every row of y gathers rows of b, weighed by a row of a."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, View, kernel
from ..matmul import MatMul


def bind(call: Call) -> dict:
    """Matrices one after the other, and which of a's and b's belong to each of y's."""
    (*batch, m, n), k = call.shape("y"), call.shape("a")[-1]
    own = {name: call.shape(name)[:-2] for name in ("a", "b")}
    which = {
        f"{name}_of": Packed(
            np.broadcast_to(np.arange(prod(s)).reshape(s), batch).reshape(-1).astype(np.int64)
        )
        for name, s in own.items()
    }
    b = (n, k) if call.layer.transpose_b else (k, n)
    room = (call.threads, k, n) if call.layer.transpose_b else (1, 1, 1)
    return dict(
        a=View("a", (prod(own["a"]), m, k)), b=View("b", (prod(own["b"]), *b)), y=View("y", (prod(batch), m, n)),
        room=Scratch(room), **which,
    )  # fmt: skip


def transposed(wanted: bool):
    """The predicate of a kernel for a b that is, or is not, transposed."""
    return lambda call: call.layer.transpose_b == wanted or f"transpose_b is {call.layer.transpose_b}"


@kernel(MatMul, device="cpu", bind=bind, when=transposed(False))
def matmul(a, b, y, a_of, b_of, ith, nth):
    """Threads share the rows of all matrices."""
    count, m, n = y.shape
    for row in range(count * m * ith // nth, count * m * (ith + 1) // nth):
        matrix, i = row // m, row % m
        one, other = a_of[matrix], b_of[matrix]
        for j in range(n):
            y[matrix, i, j] = np.float32(0)
        for k in range(a.shape[2]):
            factor = a[one, i, k]
            for j in range(n):
                y[matrix, i, j] += factor * b[other, k, j]


@kernel(MatMul, device="cpu", bind=bind, when=transposed(True))
def matmul_transposed(a, b, y, a_of, b_of, room, ith, nth):
    """b is turned first, so that the inner loop runs along its rows and becomes vector code."""
    count, m, n = y.shape
    for matrix in range(count * ith // nth, count * (ith + 1) // nth):
        one, other = a_of[matrix], b_of[matrix]
        for k in range(a.shape[2]):
            for j in range(n):
                room[ith, k, j] = b[other, j, k]
        for i in range(m):
            for j in range(n):
                y[matrix, i, j] = np.float32(0)
            for k in range(a.shape[2]):
                factor = a[one, i, k]
                for j in range(n):
                    y[matrix, i, j] += factor * room[ith, k, j]
