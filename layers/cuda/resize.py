"""Resize on the GPU: a thread a pixel, from tables of which cells of x each row and column of y is made of."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, kernel
from ..resize import Resize
from .blocks import divide


def bind(call: Call) -> dict:
    x, y = call.planes("x"), call.planes("y")
    bound = dict(x=x, y=y, items=prod(y.shape))
    for axis, name in enumerate(("row", "column")):
        cells, parts = call.layer.taps(call.shape("x")[2 + axis], axis)
        bound |= {f"{name}s": Packed(cells), f"{name}_parts": Packed(parts)}
    return bound


@kernel(Resize, device="cuda", bind=bind, when=lambda call: not call.layer.region or "it cuts out a region")
def weighted(x, y, rows, row_parts, columns, column_parts, items, ith, nth):
    """One tap each way if the method is 'nearest', two if it is 'linear', four if it is 'cubic'."""
    _, oh, ow = y.shape
    for item in range(ith, items, nth):
        row = divide(item, ow)
        plane = divide(row, oh)
        ox, oy = item - row * ow, row - plane * oh
        total = np.float32(0)
        for i in range(rows.shape[1]):
            across = np.float32(0)
            for j in range(columns.shape[1]):
                across += x[plane, rows[oy, i], columns[ox, j]] * column_parts[ox, j]
            total += row_parts[oy, i] * across
        y[plane, oy, ox] = total
