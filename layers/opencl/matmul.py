"""MatMul and QuantizedMatMul on OpenCL: a work-item an element, of floats or of exact whole numbers."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ..matmul import MatMul
from ..quantized import QuantizedMatMul
from .quantized_conv import TO, limits
from .source import variant, written_in


@written_in("rounding.cl", "matmul.cl", number="float", INTEGERS=0, TO=0)
def matmul(
    a, b, y, a_of, b_of, m, n, k, b_row, b_column, a_zero, b_zero, multiplier, low, high, zero, items
):  # fmt: skip
    """Written in matmul.cl."""


def product(call: Call, transposed: bool) -> dict:
    """Sizes, and which matrices of a and b each of y's is the product of."""
    (*batch, m, n), k = call.shape("y"), call.shape("a")[-1]
    bound = dict(y=call.flat("y"), m=m, n=n, k=k, items=prod(call.shape("y")))
    for name in ("a", "b"):
        own = call.shape(name)[:-2]
        number = np.arange(prod(own), dtype=np.int32).reshape((1,) * (len(batch) - len(own)) + own)
        bound[name] = call.flat(name)
        bound[f"{name}_of"] = Packed(np.ascontiguousarray(np.broadcast_to(number, batch)).reshape(-1))
    return bound | dict(zip(("b_row", "b_column"), (1, k) if transposed else (n, 1), strict=True))


def bind(call: Call) -> dict:
    unused = dict(a_zero=0, b_zero=0, multiplier=1.0, low=0.0, high=0.0, zero=0.0)
    return product(call, call.layer.transpose_b) | unused


def of_floats(call: Call) -> bool | str:
    return call.specs["a"].dtype.name == "fp32" or f"{call.specs['a'].dtype} numbers"


def bind_quantized(call: Call) -> Stage:
    layer = call.layer
    bound = product(call, False) | limits(layer.low, layer.high, layer.zero)
    return Stage(bound, (), variant(matmul, number="int", INTEGERS=1, TO=TO[layer.to]))


kernel(MatMul, device="opencl", bind=bind, when=of_floats)(matmul)
kernel(QuantizedMatMul, device="opencl", dtype="int8", bind=bind_quantized)(matmul)
