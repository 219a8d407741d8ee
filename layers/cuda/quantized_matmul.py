"""QuantizedMatMul on the GPU: a thread a result, exact sums in int32."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ..quantized import QuantizedMatMul
from .blocks import divide
from .card import numba_cuda
from .matmul import matrices
from .quantized import FINISH, as_byte, limits_of
from .rounding import times

cuda = numba_cuda()


def bind(call: Call) -> Stage:
    layer, bound = call.layer, matrices(call)
    count, m, n = bound["y"].shape
    more = dict(a_zero=layer.a_zero, b_zero=layer.b_zero, multiplier=layer.multiplier, items=count * m * n)
    return Stage(bound | more | limits_of(call), function=products(FINISH[layer.to]))


@cache
def products(finish: Callable) -> Callable:
    """`a_of` and `b_of` say which matrices each of y is the product of."""

    def sums_of_products(
        a, b, y, a_of, b_of, m, n, k, a_zero, b_zero, multiplier, low, high, zero, items, ith, nth
    ):
        for item in range(ith, items, nth):
            row = divide(item, n)
            matrix = divide(row, m)
            i, j = row - matrix * m, item - row * n
            first, second = a_of[matrix], b_of[matrix]
            total = np.int32(0)
            for t in range(k):
                number = np.int32(a[first, i, t]) - a_zero
                total = np.int32(total + number * (np.int32(b[second, t, j]) - b_zero))
            y[matrix, i, j] = finish(total, times(np.float32(total), multiplier), low, high, zero)

    return sums_of_products


kernel(QuantizedMatMul, device="cuda", dtype="int8", bind=bind, name="products")(products(as_byte))
