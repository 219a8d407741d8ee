"""InnerProduct on the cpu: on one row of x, or a few, each weight is read once, as it lies; on many it is a product of
matrices, with weights packed for it.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, View, kernel
from ..inner_product import InnerProduct
from . import simd
from .fused import clamp_of, clamps, finish_of, finishes
from .halves import dot, in_halves, number, packed_weights, reading
from .product import in_panels, one_for_all, panel_of_halves, panel_of_weights, product, stage
from .tiling import padded_tile

ROWS = 4  # outputs at once: enough loads in flight to keep memory busy
COLUMNS = 2
WEIGHT = 4  # bytes of a weight; a number of a variant


def bind(call: Call) -> Stage:
    """Weights as they lie in the net."""
    x, (m, k) = call.shape("x"), call.shape("w")
    n = prod(x[: call.specs["x"].axis(call.layer.axis)])
    low, high = clamp_of(call.layer)
    params = dict(
        x=View("x", (n, k)), y=View("y", (n, m)), room=Scratch((call.threads, 16)), low=low, high=high
    )
    if in_halves(call):
        params |= dict(w=Packed(call.narrow["w"].data.view(np.uint16)))
    return Stage(params, function=simd.variant(rows, **reading(call)))


@kernel(InnerProduct, device="cpu", when=lambda call: clamps(call.layer), bind=bind)
def rows(x, w, b, y, room, low, high, ith, nth):
    """Dot products of ROWS rows of w at a time with each row of x; threads share the rows of w."""
    n, k = x.shape
    m = w.shape[0]
    sums = simd.address(room) + ith * 64
    # whole blocks of ROWS to each thread, so that no two write to the same place
    blocks = (m + ROWS - 1) // ROWS
    row, end = blocks * ith // nth * ROWS, min(m, blocks * (ith + 1) // nth * ROWS)
    step = COLUMNS * simd.LANES
    whole = k // step * step
    while row < end:
        height = ROWS if row + ROWS <= end else 1
        weights = simd.address(w) + row * k * WEIGHT
        for i in range(n):
            inputs = simd.address(x) + i * k * 4
            if height == ROWS:
                t = simd.tile(ROWS, COLUMNS)
                for j in range(0, whole, step):
                    t = dot(t, weights + j * WEIGHT, k * WEIGHT, inputs + j * 4)
                simd.tile_sums(t, sums)
            else:
                one = simd.tile(1, COLUMNS)
                for j in range(0, whole, step):
                    one = dot(one, weights + j * WEIGHT, k * WEIGHT, inputs + j * 4)
                simd.tile_sums(one, sums)
            for r in range(height):
                total = simd.load_scalar(sums + r * 4)
                for j in range(whole, k):
                    total += number(weights + (r * k + j) * WEIGHT) * x[i, j]
                if b.size > 0:
                    total += b[row + r]
                total = low if total < low else total
                y[i, row + r] = high if total > high else total
        row += height


MANY = 8  # rows for which it pays to hold the weights a second time, packed


def many_rows(call: Call) -> bool | str:
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    count = prod(call.shape("x")[: call.specs["x"].axis(call.layer.axis)])
    return finishes(call.layer) if count >= MANY else f"{count} rows of x are few"


def bind_product(call: Call) -> Stage:
    x, (n, k) = call.shape("x"), call.shape("w")
    m = prod(x[: call.specs["x"].axis(call.layer.axis)])
    tile = padded_tile(m, -(-n // call.lanes), call.registers)
    weights = in_panels(call.constants["w"], tile.vectors, call.lanes)
    bias = np.zeros(len(weights) * weights.shape[2], np.float32)
    if call.shape("b") != (0,):
        bias[:n] = call.constants["b"]
    params = dict(a=call.flat("x"), b=packed_weights(call, weights), y=call.flat("y"), bias=Packed(bias))
    params |= dict(a_of=one_for_all(1), b_of=one_for_all(1))
    panel = panel_of_halves if in_halves(call) else panel_of_weights
    return stage(call, params, (1, m, k, n), tile, panel, finish_of(call.layer))


kernel(InnerProduct, device="cpu", when=many_rows, bind=bind_product, score=1.9)(product)
