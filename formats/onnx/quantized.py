"""Integers that stand for real numbers: QuantizeLinear and its way back, and products of such integers.

QLinearConv and QLinearMatMul are what they are defined as: dequantized, computed, quantized again. After the walk
`engine/quantize/given.py` makes integer layers of that. ConvInteger and MatMulInteger give the integer sums themselves.
"""

from __future__ import annotations

import numpy as np

from ..arithmetic import binary
from ..graph import Graph
from ..value import Node, Unsupported, Value, dtype_name, spec_of
from .convolution import conv, numbers, pads_of
from .graph import DTYPES, operator
from .product import product

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


def _scale_of(g: Graph, node: Node, x: Value, scale: Value, axis: int) -> dict:
    """The attributes of Quantize or Dequantize that say where each scale belongs."""
    if node.get("block_size", 0):
        raise Unsupported(
            f"block_size={node.get('block_size')}: one scale for the tensor or one a slice wanted"
        )
    values = g.numbers(scale, "its scale").astype(np.float32)
    if values.ndim > 1:
        raise Unsupported(f"its scale has {values.ndim} axes: one scale for the tensor or one a slice wanted")
    return {"scale": [float(v) for v in values.reshape(-1)], "axis": axis if x.rank else 0}


def _zero_of(g: Graph, zero: Value | None) -> dict:
    return {} if zero is None else {"zero": [int(v) for v in g.numbers(zero, "its zero point").reshape(-1)]}


def quantized(g: Graph, node: Node, x: Value, scale: Value, zero: Value | None, axis: int, to: str) -> Value:
    """clamp(rint(x / scale) + zero)"""
    if to not in INTEGERS:
        raise Unsupported(f"its result is {to}: one of {', '.join(INTEGERS)} wanted")
    if scale.array is None:
        return _by_a_computed_scale(g, x, scale, zero, to)
    return g.add("Quantize", x, **_scale_of(g, node, x, scale, axis), **_zero_of(g, zero), to=to)


def dequantized(g: Graph, node: Node, x: Value, scale: Value, zero: Value | None, axis: int) -> Value:
    """(x - zero) * scale"""
    if scale.array is None:
        real = g.add("Cast", x, to="fp32")
        real = real if zero is None else binary(g, "sub", real, g.add("Cast", zero, to="fp32"))
        return binary(g, "mul", real, scale)
    told = _scale_of(g, node, x, scale, axis)
    if x.array is not None:
        g.weight_scales.append(told["scale"])
    return g.add("Dequantize", x, **told, **_zero_of(g, zero))


def _by_a_computed_scale(g: Graph, x: Value, scale: Value, zero: Value | None, to: str) -> Value:
    """One scale that is known only when the net runs, in floating point: exact for integers of up to 16 bits."""
    if scale.rank and scale.shape != (1,):
        raise Unsupported("its scales are computed when the net runs: one alone is supported")
    steps = g.add("Unary", binary(g, "div", x, scale), operation="round")
    steps = steps if zero is None else binary(g, "add", steps, g.add("Cast", zero, to="fp32"))
    limits = np.iinfo(np.dtype(to))
    return g.add("Cast", g.add("Clip", steps, min=float(limits.min), max=float(limits.max)), to=to)


@operator("QuantizeLinear")
def quantize_linear(g: Graph, node: Node, x: Value, scale: Value, zero: Value | None = None) -> Value:
    stated = DTYPES.get(node.get("output_dtype", 0))
    to = dtype_name(zero) if zero is not None else stated or "uint8"
    return quantized(g, node, x, scale, zero, node.get("axis", 1), to)


@operator("DequantizeLinear")
def dequantize_linear(g: Graph, node: Node, x: Value, scale: Value, zero: Value | None = None) -> Value:
    if dtype_name(x) not in INTEGERS:
        raise Unsupported(f"its input is {spec_of(x)}: one of {', '.join(INTEGERS)} wanted")
    return dequantized(g, node, x, scale, zero, node.get("axis", 1))


@operator("QLinearConv")
def qlinear_conv(
    g: Graph, node: Node, x: Value, sx: Value, zx: Value, w: Value, sw: Value, zw: Value, sy: Value, zy: Value,
    b: Value | None = None,
) -> Value:  # fmt: skip
    real_x, real_w = dequantized(g, node, x, sx, zx, 1), dequantized(g, node, w, sw, zw, 0)
    real_b = None
    if b is not None:
        steps = np.asarray(g.numbers(sx), np.float32).reshape(-1) * np.asarray(
            g.numbers(sw), np.float32
        ).reshape(-1)
        bias = g.numbers(b, "its bias").astype(np.float64) * steps
        real_b = Value.of(g.fresh(f"{node.name}/bias"), bias.astype(np.float32))
    y = conv(g, node, real_x, real_w, real_b)
    assert isinstance(y, Value)
    return quantized(g, node, y, sy, zy, 1, dtype_name(zy))


@operator("QLinearMatMul")
def qlinear_matmul(
    g: Graph, node: Node, a: Value, sa: Value, za: Value, b: Value, sb: Value, zb: Value, sy: Value, zy: Value
) -> Value:
    # scales of rows of a, and of columns of b
    real = dequantized(g, node, a, sa, za, -2 if a.rank > 1 else 0), dequantized(g, node, b, sb, zb, -1)
    y = product(g, *real)
    return quantized(g, node, y, sy, zy, -1, dtype_name(zy))


@operator("ConvInteger")
def conv_integer(
    g: Graph, node: Node, x: Value, w: Value, zx: Value | None = None, zw: Value | None = None
) -> Value:
    """The integer sums of (x - x_zero) * (w - w_zero)."""
    x, x_zero = _int8(g, x, zx)
    weights = g.numbers(w, "its weights").astype(np.int16)
    zeros = 0 if zw is None else g.numbers(zw, "its weights' zero point").astype(np.int16)
    each = (-1,) + (1,) * (weights.ndim - 1) if np.size(zeros) > 1 else ()
    weights = (weights - np.reshape(zeros, each)).astype(np.int16)
    if weights.ndim != 4:
        raise Unsupported(f"its weights have {weights.ndim} dimensions; four wanted")
    stride, dilation = numbers(node, "strides", 2), numbers(node, "dilations", 2)
    window = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilation, strict=True)]
    m = len(weights)
    return g.add(
        "QuantizedConvolution", x, weights, np.zeros(m, np.int32), np.ones(m, np.float32), to="int32", scale=1.0,
        x_zero=x_zero, stride=stride, dilation=dilation, pad=pads_of(g, node, x, window), group=node.get("group", 1),
    )  # fmt: skip


@operator("MatMulInteger")
def matmul_integer(
    g: Graph, node: Node, a: Value, b: Value, za: Value | None = None, zb: Value | None = None
) -> Value:
    """The integer sums of (a - a_zero) * (b - b_zero)."""
    if min(a.rank, b.rank) < 2:
        raise Unsupported(f"multiplies {a.rank} by {b.rank} dimensions; at least two by two wanted")
    (a, a_zero), (b, b_zero) = _int8(g, a, za), _int8(g, b, zb)
    return g.add("QuantizedMatMul", a, b, a_zero=a_zero, b_zero=b_zero, to="int32", scale=1.0)


def _int8(g: Graph, x: Value, zero: Value | None) -> tuple[Value, int]:
    """An 8-bit tensor as int8, and its zero point: unsigned numbers and their zero point are moved down by 128."""
    found = 0
    if zero is not None:
        values = g.numbers(zero, "its zero point").reshape(-1)
        if values.size != 1:
            raise Unsupported(f"it has {values.size} zero points: one wanted")
        found = int(values[0])
    if dtype_name(x) == "int8":
        return x, found
    lower = Value.of(g.fresh("net/128"), np.array(128, np.int16))
    return g.add("Cast", binary(g, "sub", g.add("Cast", x, to="int16"), lower), to="int8"), found - 128
