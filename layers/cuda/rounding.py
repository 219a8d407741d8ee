"""rounding: float32 arithmetic of integer layers on the GPU, one operation after another, and its way back to integers.

The compiler makes one fused operation of a product and the sum that it goes into, which rounds once where the integer
specification rounds twice. `times` is a product that stays one.
"""

from __future__ import annotations

import numpy as np

from ...engine.dtype import dtypes
from .card import numba_cuda, numba_simulates

cuda = numba_cuda()


def _plain_times(a, b):
    return a * b


def _rounded_times(a, b):
    return cuda.libdevice.fmul_rn(a, b)


times = cuda.jit(device=True)(_plain_times if numba_simulates() else _rounded_times)


@cuda.jit(device=True)
def rounded(v, low, high, zero):
    """clamp(rint(v) + zero), where low and high are the limits less zero, in float32; of NaN, zero."""
    v = v if v == v else np.float32(0)
    v = low if v < low else v
    v = high if v > high else v
    return np.int64(round(v)) + zero  # halves to even


def limits(low: int, high: int, zero: int) -> dict[str, float | int]:
    """`rounded`'s parameters after v."""
    return dict(low=float(low - zero), high=float(high - zero), zero=int(zero))


def range_of(dtype: str) -> tuple[int, int]:
    """(lowest, highest) number of an integer dtype."""
    info = np.iinfo(dtypes[dtype].storage)
    return int(info.min), int(info.max)
