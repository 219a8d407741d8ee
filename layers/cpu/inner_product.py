"""InnerProduct on the cpu: each weight is read once and used for every row of x."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Scratch, View, kernel
from ..inner_product import InnerProduct
from . import simd
from .fused import clamp_of, clamps

ROWS = 4  # outputs at once: enough loads in flight to keep memory busy
COLUMNS = 2


def bind(call: Call) -> dict:
    x, (m, k) = call.shape("x"), call.shape("w")
    n = prod(x[: call.specs["x"].axis(call.layer.axis)])
    low, high = clamp_of(call.layer)
    return dict(
        x=View("x", (n, k)), y=View("y", (n, m)), room=Scratch((call.threads, 16)), low=low, high=high
    )  # fmt: skip


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
        weights = simd.address(w) + row * k * 4
        for i in range(n):
            inputs = simd.address(x) + i * k * 4
            if height == ROWS:
                t = simd.tile(ROWS, COLUMNS)
                for j in range(0, whole, step):
                    t = simd.tile_dot(t, weights + j * 4, k * 4, inputs + j * 4)
                simd.tile_sums(t, sums)
            else:
                one = simd.tile(1, COLUMNS)
                for j in range(0, whole, step):
                    one = simd.tile_dot(one, weights + j * 4, k * 4, inputs + j * 4)
                simd.tile_sums(one, sums)
            for r in range(height):
                total = simd.load_scalar(sums + r * 4)
                for j in range(whole, k):
                    total += w[row + r, j] * x[i, j]
                if b.size > 0:
                    total += b[row + r]
                total = low if total < low else total
                y[i, row + r] = high if total > high else total
        row += height
