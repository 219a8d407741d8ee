"""rounding: from a float32 number back to int8, as every integer layer does it."""

from __future__ import annotations

import numpy as np

from ...engine.dtype import dtypes
from ...engine.kernel import Call


def rounded(v, low, high, zero):
    """clamp(rint(v) + zero), where low and high are the limits less zero; all are float32, and v is no NaN."""
    v = low if v < low else v
    v = high if v > high else v
    return np.int32(np.rint(v) + zero)


def limits(low: int, high: int, zero: int) -> dict[str, float]:
    """`rounded`'s parameters after v."""
    return dict(low=float(low - zero), high=float(high - zero), zero=float(zero))


def limits_of(call: Call) -> dict[str, float]:
    """Those of a Quantized layer."""
    layer = call.layer
    return limits(layer.low, layer.high, layer.zero)


def range_of(dtype: str) -> tuple[int, int]:
    """(lowest, highest) number of an integer dtype."""
    info = np.iinfo(dtypes[dtype].storage)
    return int(info.min), int(info.max)


def as_bytes(acc, v, low, high, zero):
    return rounded(v, low, high, zero)


def as_reals(acc, v, low, high, zero):
    return v


def as_sums(acc, v, low, high, zero):
    return acc


# what a layer with an attribute `to` writes of a sum and what that stands for
RESULT = {"int8": as_bytes, "fp32": as_reals, "int32": as_sums}
