"""MatMul on the cpu: both factors are computed, so panels of b are made on the way."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..matmul import MatMul
from .fused import keep
from .product import panel_of_columns, panel_of_rows, product, stage
from .tiling import padded_tile


def bind(call: Call) -> Stage:
    """Matrices one after the other."""
    (*batch, m, n), k = call.shape("y"), call.shape("a")[-1]
    params = dict(
        a=call.flat("a"), b=call.flat("b"), y=call.flat("y"), bias=View("bias", (0,)), **owners(call)
    )
    panel = panel_of_columns if call.layer.transpose_b else panel_of_rows
    tile = padded_tile(m, -(-n // call.lanes), call.registers)
    return stage(call, params, (prod(batch), m, k, n), tile, panel, (keep, 0, 0))


def owners(call: Call) -> dict[str, Packed]:
    """Which of a's and b's matrices belong to each of y's."""
    which = {}
    for name in ("a", "b"):
        own = call.shape(name)[:-2]
        numbers = np.broadcast_to(np.arange(prod(own)).reshape(own), call.shape("y")[:-2])
        which[f"{name}_of"] = Packed(numbers.reshape(-1).astype(np.int64))
    return which


kernel(MatMul, device="cpu", bind=bind)(product)
