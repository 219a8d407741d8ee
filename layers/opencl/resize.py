"""Resize on OpenCL: a work-item a pixel, from tables of which cells of x each row and column of y is made of."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, kernel
from ..resize import Resize
from .source import written_in


def bind(call: Call) -> dict:
    (h, w), (oh, ow) = call.shape("x")[2:], call.shape("y")[2:]
    bound = dict(x=call.flat("x"), y=call.flat("y"), h=h, w=w, oh=oh, ow=ow, items=prod(call.shape("y")))
    for axis, (size, name) in enumerate(zip((h, w), ("row", "column"), strict=True)):
        cells, parts = call.layer.taps(size, axis)
        bound |= {
            f"{name}s": Packed(cells.astype(np.int32).reshape(-1)),
            f"{name}_parts": Packed(parts.reshape(-1)),
        }
        bound["taps_h" if axis == 0 else "taps_w"] = cells.shape[1]
    return bound


def serves(call: Call) -> bool | str:
    if call.specs["x"].dtype.name != "fp32":
        return f"{call.specs['x'].dtype} numbers"
    return not call.layer.region or "it cuts out a region"


@kernel(Resize, device="opencl", bind=bind, when=serves)
@written_in("resize.cl")
def resize(x, y, rows, row_parts, columns, column_parts, h, w, oh, ow, taps_h, taps_w, items):
    """Written in resize.cl. One tap each way if the method is 'nearest', two if 'linear', four if 'cubic'."""
