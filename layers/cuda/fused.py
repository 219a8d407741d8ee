"""Activations that a kernel applies to its result before it stores it: a number that says which, and two more."""

from __future__ import annotations

import math

import numpy as np

from ..fused import (
    CLAMP,
    ELU,
    HARD_SIGMOID,
    HARD_SWISH,
    KEEP,
    LEAKY,
    SIGMOID,
    SWISH,
    TANH,
    finish_of,
    finishes,
)
from .card import numba_cuda

cuda = numba_cuda()

__all__ = ["KEEP", "finish", "finish_of", "finishes"]


@cuda.jit(device=True)
def finish(v, act, alpha, beta):
    """The activation `act` of v. Every thread takes the same way."""
    one = np.float32(1)
    if act == CLAMP:
        return min(max(v, alpha), beta)
    if act == LEAKY:
        return v if v > 0 else alpha * v
    if act == SIGMOID:
        return one / (one + math.exp(-v))
    if act == SWISH:
        return v / (one + math.exp(-alpha * v))
    if act == HARD_SWISH:
        return v * min(max(alpha * v + beta, np.float32(0)), one)
    if act == HARD_SIGMOID:
        return min(max(alpha * v + beta, np.float32(0)), one)
    if act == ELU:
        return v if v > 0 else alpha * math.expm1(v)
    if act == TANH:
        return math.tanh(v)
    return v
