"""Resize on the cpu: plane by plane, from tables of which pixels each row and column of y lies between.

The nearest pixel is copied, numbers of any dtype, in blocks of channels too.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ...engine.layout import BLOCKED
from ..resize import Resize
from . import simd

ITEMSIZE = 4  # bytes of a number; of a variant


def bind(call: Call) -> dict:
    bound = dict(x=call.planes("x"), y=call.planes("y"))
    for axis, name in enumerate(("row", "column")):
        cells, parts = (np.ascontiguousarray(a.T) for a in call.layer.taps(call.shape("x")[2 + axis], axis))
        bound |= {
            f"{name}0": Packed(cells[0]),
            f"{name}1": Packed(cells[-1]),
            f"{name}_part": Packed(parts[-1]),
        }
    return bound


def bind_blocks(call: Call) -> Stage:
    """The images as (blocks, height, width, lanes)."""
    params = bind(call) | dict(x=call.planes("x", 3), y=call.planes("y", 3))
    return Stage(params, function=simd.of_items(nearest_blocked, call))


def bind_taps(call: Call) -> dict:
    bound = dict(x=call.planes("x"), y=call.planes("y"))
    for axis, name in enumerate(("row", "column")):
        cells, parts = call.layer.taps(call.shape("x")[2 + axis], axis)
        bound |= {f"{name}s": Packed(cells), f"{name}_parts": Packed(parts)}
    return bound


def method(name: str):
    """The predicate of a kernel for this method."""

    def predicate(call: Call) -> bool | str:
        layer = call.layer
        if layer.region:
            return "it cuts out a region"
        if name == "any":
            return layer.method != "nearest" or "its method is 'nearest'"
        if layer.method != name or layer.antialias:
            return f"its method is {layer.method!r}" + (", antialiased" if layer.antialias else "")
        return True

    return predicate


@kernel(Resize, device="cpu", bind=bind, when=method("nearest"), split=("x", "y"))
def nearest(x, y, row0, column0):
    planes, oh, ow = y.shape
    for plane in range(planes):
        for oy in range(oh):
            iy = row0[oy]
            for ox in range(ow):
                y[plane, oy, ox] = x[plane, iy, column0[ox]]


@kernel(
    Resize, device="cpu", bind=bind_blocks, when=method("nearest"), score=1.5,
    layouts={"x": BLOCKED, "y": BLOCKED},
)  # fmt: skip
def nearest_blocked(x, y, row0, column0, ith, nth):
    """Threads share the rows of all blocks."""
    (blocks, oh, ow), (_, h, w) = y.shape[:3], x.shape[:3]
    for row in range(blocks * oh * ith // nth, blocks * oh * (ith + 1) // nth):
        block, oy = row // oh, row % oh
        iy = row0[oy]
        for ox in range(ow):
            ix = column0[ox]
            vector = simd.LANES * ITEMSIZE
            source = simd.address(x) + ((block * h + iy) * w + ix) * vector
            simd.copy_vector(simd.address(y) + (row * ow + ox) * vector, source, ITEMSIZE)


@kernel(Resize, device="cpu", bind=bind, when=method("linear"), split=("x", "y"))
def linear(x, y, row0, row1, row_part, column0, column1, column_part):
    planes, oh, ow = y.shape
    one = np.float32(1)
    for plane in range(planes):
        for oy in range(oh):
            upper, lower, down = row0[oy], row1[oy], row_part[oy]
            for ox in range(ow):
                left, right, across = column0[ox], column1[ox], column_part[ox]
                top = x[plane, upper, left] * (one - across) + x[plane, upper, right] * across
                bottom = x[plane, lower, left] * (one - across) + x[plane, lower, right] * across
                y[plane, oy, ox] = top * (one - down) + bottom * down


@kernel(Resize, device="cpu", bind=bind_taps, when=method("any"), split=("x", "y"), score=0.5)
def weighted(x, y, rows, row_parts, columns, column_parts):
    """Any number of taps each way: cubic, and what is antialiased."""
    planes, oh, ow = y.shape
    for plane in range(planes):
        for oy in range(oh):
            for ox in range(ow):
                y[plane, oy, ox] = np.float32(0)
            for k in range(rows.shape[1]):
                part = row_parts[oy, k]
                iy = rows[oy, k]
                for ox in range(ow):
                    total = np.float32(0)
                    for j in range(columns.shape[1]):
                        total += x[plane, iy, columns[ox, j]] * column_parts[ox, j]
                    y[plane, oy, ox] += part * total
