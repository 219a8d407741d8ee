"""onnxruntime's own quantized operators (domain com.microsoft), which its quantizer writes in the form "QOperator".

Each is what it is defined as: dequantized, computed, quantized again; see quantized.py. Their definitions:
github.com/microsoft/onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..value import Node, Unsupported, Value, dtype_name
from .graph import operator, operators
from .quantized import dequantized, quantized

HERE = "com.microsoft"


def _computed(g: Graph, node: Node, kind: str, *reals: Value) -> Value:
    """The operator of ONNX itself on real numbers."""
    y = operators[kind](g, replace(node, type=kind), *reals)
    assert isinstance(y, Value)
    return y


def _back(g: Graph, node: Node, y: Value, scale: Value, zero: Value | None, x: Value) -> Value:
    """y in the dtype of its zero point, or of x where it has none."""
    return quantized(g, node, y, scale, zero, 1, dtype_name(x if zero is None else zero))


def _pairwise(kind: str) -> Callable[..., Value]:
    def pairwise(
        g: Graph, node: Node, a: Value, sa: Value, za: Value | None, b: Value, sb: Value, zb: Value | None, sy: Value,
        zy: Value | None = None,
    ) -> Value:  # fmt: skip
        real = dequantized(g, node, a, sa, za, 1), dequantized(g, node, b, sb, zb, 1)
        return _back(g, node, _computed(g, node, kind, *real), sy, zy, a)

    return pairwise


def _of_one(kind: str) -> Callable[..., Value]:
    def of_one(
        g: Graph, node: Node, x: Value, sx: Value, zx: Value | None, sy: Value, zy: Value | None = None
    ) -> Value:
        if node.get("channels_last", 0):
            raise Unsupported("channels_last=1: channels before height and width wanted")
        return _back(g, node, _computed(g, node, kind, dequantized(g, node, x, sx, zx, 1)), sy, zy, x)

    return of_one


for _kind in ("Add", "Mul"):
    operator(f"{HERE}.QLinear{_kind}")(_pairwise(_kind))
for _kind in ("Sigmoid", "LeakyRelu", "GlobalAveragePool", "AveragePool"):
    operator(f"{HERE}.QLinear{_kind}")(_of_one(_kind))


@operator(f"{HERE}.QLinearSoftmax")
def qlinear_softmax(
    g: Graph, node: Node, x: Value, sx: Value, zx: Value | None, sy: Value, zy: Value | None = None
) -> Value:
    """It says itself which opset's Softmax it is."""
    meant = replace(node, opset=node.get("opset", node.opset))
    y = _computed(g, meant, "Softmax", dequantized(g, node, x, sx, zx, 1))
    return _back(g, node, y, sy, zy, x)


@operator(f"{HERE}.QLinearConcat")
def qlinear_concat(g: Graph, node: Node, sy: Value, zy: Value, *inputs: Value) -> Value:
    """inputs: a tensor, its scale and its zero point, and so on."""
    threes = zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True)
    reals = [dequantized(g, node, x, scale, zero, 1) for x, scale, zero in threes]
    return _back(g, node, _computed(g, node, "Concat", *reals), sy, zy, inputs[0])


@operator(f"{HERE}.QGemm")
def qgemm(
    g: Graph, node: Node, a: Value, sa: Value, za: Value, b: Value, sb: Value, zb: Value, c: Value | None = None,
    sy: Value | None = None, zy: Value | None = None,
) -> Value:  # fmt: skip
    """c counts steps of a's scale * b's scale * alpha; without a scale of y the result is real."""
    real = [dequantized(g, node, a, sa, za, 1)]
    real.append(dequantized(g, node, b, sb, zb, 0 if node.get("transB", 0) else 1))
    if c is not None:
        steps = (
            g.numbers(sa).astype(np.float64).reshape(-1) * g.numbers(sb).reshape(-1) * node.get("alpha", 1.0)
        )
        bias = (g.numbers(c, "its bias") * steps).astype(np.float32)
        real.append(Value.of(g.fresh(f"{node.name}/bias"), bias))
    y = _computed(g, node, "Gemm", *real)
    return y if sy is None else _back(g, node, y, sy, zy, a)


@operator(f"{HERE}.QuantizeLinear", f"{HERE}.DequantizeLinear")
def linear(g: Graph, node: Node, *inputs: Value) -> Value:
    return _computed(g, node, node.type.removeprefix(f"{HERE}."), *inputs)
