"""transforms: the small matrices of Winograd's convolution, and how to multiply by them with few operations.

y = A' [(G w G') * (B' x B)] A computes m × m outputs of a 3 × 3 filter with (m + 2)² products instead of 9 m².
Lavin & Gray 2015, arXiv:1509.09308; the points are 0, ±1, ±2 for m = 4, and ±1/2 as well for m = 6.

In whole numbers G's rows are taken times 4, 6, 6, 24, 24 and 1, and A's columns times what is left of 24: then results
are 576 y, and every number on the way is whole. All is done modulo 2**32, where 9 has an inverse: 576 y becomes 64 y,
which tells y as long as it is within ±2**25.
"""

from __future__ import annotations

from typing import Any

import numpy as np

G = {
    4: np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
                 [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]),
    6: np.array([[1, 0, 0], [-2 / 9, -2 / 9, -2 / 9], [-2 / 9, 2 / 9, -2 / 9], [1 / 90, 1 / 45, 2 / 45],
                 [1 / 90, -1 / 45, 2 / 45], [32 / 45, 16 / 45, 8 / 45], [32 / 45, -16 / 45, 8 / 45], [0, 0, 1]]),
}  # fmt: skip

B = {
    4: ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1)),
    6: ((1, 0, -5.25, 0, 5.25, 0, -1, 0), (0, 1, 1, -4.25, -4.25, 1, 1, 0), (0, -1, 1, 4.25, -4.25, -1, 1, 0),
        (0, 0.5, 0.25, -2.5, -1.25, 2, 1, 0), (0, -0.5, 0.25, 2.5, -1.25, -2, 1, 0),
        (0, 2, 4, -2.5, -5, 0.5, 1, 0), (0, -2, 4, 2.5, -5, -0.5, 1, 0), (0, -1, 0, 5.25, 0, -5.25, 0, 1)),
}  # fmt: skip

A = {
    4: ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    6: ((1, 1, 1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 1 / 2, -1 / 2, 0), (0, 1, 1, 4, 4, 1 / 4, 1 / 4, 0),
        (0, 1, -1, 8, -8, 1 / 8, -1 / 8, 0), (0, 1, 1, 16, 16, 1 / 16, 1 / 16, 0),
        (0, 1, -1, 32, -32, 1 / 32, -1 / 32, 1)),
}  # fmt: skip


WHOLE_G = np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]])
WHOLE_A = ((6, 4, 4, 1, 1, 0), (0, 4, -4, 2, -2, 0), (0, 4, 4, 4, 4, 0), (0, 4, -4, 8, -8, 24))
INVERSE_OF_9 = pow(9, -1, 2**32)  # 576 = 64 * 9
LEFT = 6  # 64 = 2**6
MOST = 2**25  # y must be smaller


class Reals:
    """How vectors of float32 are added and multiplied."""

    def __init__(self, b: Any):
        self.add, self.subtract, self.b = b.ir.fadd, b.ir.fsub, b

    def times(self, vector: Any, factor: float) -> Any:
        return self.b.ir.fmul(vector, self.b.constant(float(factor)))

    def times_plus(self, vector: Any, factor: float, total: Any) -> Any:
        return self.b.multiply_add(vector, self.b.constant(float(factor)), total)


class Wholes:
    """How vectors of whole numbers are: modulo what they hold."""

    def __init__(self, b: Any):
        self.add, self.subtract, self.b = b.ir.add, b.ir.sub, b

    def times(self, vector: Any, factor: int) -> Any:
        return self.b.ir.mul(vector, self.b.types.Constant(vector.type, [int(factor)] * vector.type.count))

    def times_plus(self, vector: Any, factor: int, total: Any) -> Any:
        return self.add(total, self.times(vector, factor))


def transformed_whole_weights(w: np.ndarray) -> np.ndarray:
    """F(4, 3)'s weights in whole numbers: (M, C, 3, 3) -> (6, 6, M, C) int16; each is at most 49 times as large."""
    g = WHOLE_G.astype(np.float64)
    return np.einsum("ik,mckl,jl->ijmc", g, w.astype(np.float64), g, optimize=True).astype(np.int16)


def transformed_weights(w: np.ndarray, m: int) -> np.ndarray:
    """G w G' of every filter: (M, C, 3, 3) -> (m + 2, m + 2, M, C), computed in float64."""
    return np.einsum("ik,mckl,jl->ijmc", G[m], w.astype(np.float64), G[m], optimize=True).astype(np.float32)


def multiply_input(do: Any, m: int, vectors: list) -> list:
    """B' times a column of vectors. Rows come in pairs that differ in the sign of their odd columns."""
    rows, results = B[m], [None] * (m + 2)
    for i in range(m + 2):
        even = _sum(do, [(rows[i][j], vectors[j]) for j in range(0, m + 2, 2)])
        odd = _sum(do, [(rows[i][j], vectors[j]) for j in range(1, m + 2, 2)])
        if results[i] is None:
            results[i] = do.add(even, odd) if even and odd else even or odd
            if i % 2 == 1 and i < m:
                results[i + 1] = do.subtract(even, odd)
    return results


def multiply_filter(do: Any, m: int, vectors: list) -> list:
    """G times three vectors. Rows come in pairs that differ in the sign of their odd column."""
    rows, results = G[m], [None] * (m + 2)
    for i in range(m + 2):
        even = _sum(do, [(rows[i][0], vectors[0]), (rows[i][2], vectors[2])])
        if i in (0, m + 1):
            results[i] = even
        elif i % 2 == 1:
            odd = do.times(vectors[1], rows[i][1])
            results[i], results[i + 1] = do.add(even, odd), do.subtract(even, odd)
    return results


def multiply_output(do: Any, rows: Any, vectors: list) -> list:
    """A' times a column of vectors. Columns 1 and 2, 3 and 4, ... are alike but for the sign in odd rows."""
    pairs = range(1, len(rows) + 1, 2)
    sums = {j: do.add(vectors[j], vectors[j + 1]) for j in pairs}
    differences = {j: do.subtract(vectors[j], vectors[j + 1]) for j in pairs}
    results = []
    for i, row in enumerate(rows):
        terms = [(row[j], (differences if i % 2 else sums)[j]) for j in pairs]
        results.append(_sum(do, [*terms, (row[0], vectors[0]), (row[-1], vectors[-1])]))
    return results


def _sum(do: Any, terms: list[tuple[float, Any]]) -> Any:
    """factor * vector + ..., None if every factor is 0."""
    total = None
    for factor, vector in sorted(terms, key=lambda t: abs(t[0]) != 1):  # a factor of 1 starts the sum
        if factor == 0:
            continue
        if total is None:
            total = vector if factor == 1 else do.times(vector, factor)
        elif abs(factor) == 1:
            total = do.add(total, vector) if factor == 1 else do.subtract(total, vector)
        else:
            total = do.times_plus(vector, factor, total)
    return total
