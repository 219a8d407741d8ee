"""Reduction on the GPU, of floats: a block a result."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, View, kernel
from ..reduce import Reduction
from .blocks import LOWEST, THREADS, block_max, block_sum, blocks, divide
from .card import numba_cuda

cuda = numba_cuda()

SUM, ASUM, SUMSQ, L2, MAX, MIN = range(6)
OPERATIONS = {"sum": SUM, "mean": SUM, "asum": ASUM, "sumsq": SUMSQ, "l2": L2, "max": MAX, "min": MIN}


def _places(shape: tuple[int, ...], axes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(sizes, steps) of some axes, the last first; at least one."""
    sizes = [shape[a] for a in reversed(axes)] or [1]
    steps = [prod(shape[a + 1 :]) for a in reversed(axes)] or [0]
    return np.array(sizes, np.int64), np.array(steps, np.int64)


def bind(call: Call) -> dict:
    shape, gone = call.shape("x"), call.layer.reduced(call.specs["x"])
    kept = [a for a in range(len(shape)) if a not in gone]
    count, results = prod(shape[a] for a in gone), prod(shape[a] for a in kept)
    outer, inner = _places(shape, kept), _places(shape, gone)
    coeff = call.layer.coeff / (max(1, count) if call.layer.operation == "mean" else 1)
    return dict(
        x=call.flat("x"), y=View("y", (results,)), sizes=Packed(outer[0]), steps=Packed(outer[1]),
        sizes_in=Packed(inner[0]), steps_in=Packed(inner[1]), count=count, coeff=coeff,
        operation=OPERATIONS[call.layer.operation],
    ) | blocks(results)  # fmt: skip


def serves(call: Call) -> bool | str:
    layer, spec = call.layer, call.specs["x"]
    if layer.operation not in OPERATIONS:
        return f"its operation is {layer.operation!r}"
    if 0 in spec.shape:
        return "there is nothing to reduce"
    return spec.dtype.name == "fp32" or f"{spec.dtype} numbers"


@cuda.jit(device=True)
def place(number, sizes, steps):
    """Where the element with this number lies, counted along axes of these sizes, the last first."""
    at = 0
    for k in range(sizes.size):
        above = divide(number, sizes[k])
        at += (number - above * sizes[k]) * steps[k]
        number = above
    return at


@kernel(Reduction, device="cuda", bind=bind, when=serves)
def reduce(x, y, sizes, steps, sizes_in, steps_in, count, coeff, operation, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    result = cuda.blockIdx.x
    start = place(result, sizes, steps)
    total = LOWEST if operation >= MAX else np.float32(0)
    for i in range(cuda.threadIdx.x, count, threads):
        v = x[start + place(i, sizes_in, steps_in)]
        if operation == MAX:
            total = max(total, v)
        elif operation == MIN:
            total = max(total, -v)
        elif operation == SUM:
            total += v
        elif operation == ASUM:
            total += abs(v)
        else:
            total += v * v
    total = block_max(total, room) if operation >= MAX else block_sum(total, room)
    if cuda.threadIdx.x == 0:
        if operation == MIN:
            total = -total
        if operation == L2:
            total = math.sqrt(total)
        y[result] = total * coeff
