"""Resize on the cpu: plane by plane, from tables of which pixels each row and column of y lies between."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, kernel
from ..resize import Resize


def bind(call: Call) -> dict:
    bound = dict(x=call.planes("x"), y=call.planes("y"))
    for axis, name in enumerate(("row", "column")):
        first, second, part = call.layer.taps(call.shape("x")[2 + axis], axis)
        bound |= {f"{name}0": Packed(first), f"{name}1": Packed(second), f"{name}_part": Packed(part)}
    return bound


def method(name: str):
    """The predicate of a kernel for this method."""
    return lambda call: call.layer.method == name or f"its method is {call.layer.method!r}"


@kernel(Resize, device="cpu", bind=bind, when=method("nearest"), split=("x", "y"))
def nearest(x, y, row0, column0):
    planes, oh, ow = y.shape
    for plane in range(planes):
        for oy in range(oh):
            iy = row0[oy]
            for ox in range(ow):
                y[plane, oy, ox] = x[plane, iy, column0[ox]]


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
