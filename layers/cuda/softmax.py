"""Softmax on the GPU: a block a row, or a thread a column where others lie between its numbers."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..softmax import Softmax
from .blocks import LOWEST, THREADS, block_max, block_sum, blocks
from .card import numba_cuda

cuda = numba_cuda()


def _split(call: Call) -> tuple[int, int, int]:
    """x's shape as (all axes before the softmax's, the softmax's, all after it)."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def bind_rows(call: Call) -> dict:
    rows, columns, _ = _split(call)
    return dict(x=View("x", (rows, columns)), y=View("y", (rows, columns))) | blocks(rows)


def on_the_last_axis(call: Call) -> bool | str:
    after = _split(call)[2]
    return after == 1 or f"{after} numbers lie between neighbours on the axis"


@kernel(Softmax, device="cuda", bind=bind_rows, when=on_the_last_axis, inplace=("x",), score=2.0)
def softmax_rows(x, y, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    row, columns = cuda.blockIdx.x, x.shape[1]
    top = LOWEST
    for i in range(cuda.threadIdx.x, columns, threads):
        top = max(top, x[row, i])
    top = block_max(top, room)
    total = np.float32(0)
    for i in range(cuda.threadIdx.x, columns, threads):
        e = math.exp(x[row, i] - top)
        y[row, i] = e
        total += e
    scale = np.float32(1) / block_sum(total, room)
    for i in range(cuda.threadIdx.x, columns, threads):
        y[row, i] *= scale


def bind_columns(call: Call) -> dict:
    shape = _split(call)
    return dict(x=View("x", shape), y=View("y", shape), items=shape[0] * shape[2])


@kernel(Softmax, device="cuda", bind=bind_columns, inplace=("x",))
def softmax_columns(x, y, items, ith, nth):
    _, count, inner = x.shape
    for i in range(ith, items, nth):
        o, j = i // inner, i % inner
        top = LOWEST
        for c in range(count):
            top = max(top, x[o, c, j])
        total = np.float32(0)
        for c in range(count):
            e = math.exp(x[o, c, j] - top)
            y[o, c, j] = e
            total += e
        scale = np.float32(1) / total
        for c in range(count):
            y[o, c, j] *= scale
