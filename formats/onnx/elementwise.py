"""Operators of one operand that work element by element: activations, functions, truths, casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import HIGHEST, powered, two
from ..graph import Graph
from ..value import Node, Unsupported, Value, dtype_name, is_floating
from .arithmetic import prelu_slope
from .graph import DTYPES, operator

# ONNX operator: layer type, {layer attribute: (ONNX attribute, its default)}, fixed attributes
ELEMENTWISE: dict[str, tuple[str, dict[str, tuple[str, Any]], dict[str, Any]]] = {
    "Relu": ("ReLU", {}, {}),
    "LeakyRelu": ("ReLU", {"negative_slope": ("alpha", 0.01)}, {}),
    "Elu": ("ELU", {"alpha": ("alpha", 1.0)}, {}),
    "Sigmoid": ("Sigmoid", {}, {}),
    "Tanh": ("TanH", {}, {}),
    "Softplus": ("BNLL", {}, {}),
    "HardSigmoid": ("HardSigmoid", {"alpha": ("alpha", 0.2), "beta": ("beta", 0.5)}, {}),
    "HardSwish": ("HardSwish", {}, {}),
    "Swish": ("Swish", {"beta": ("alpha", 1.0)}, {}),
    "Mish": ("Mish", {}, {}),
    "Exp": ("Exp", {}, {}),
    "Log": ("Log", {}, {}),
    "Abs": ("AbsVal", {}, {}),
    "Sqrt": ("Power", {}, {"power": 0.5}),
    "Neg": ("Power", {}, {"scale": -1.0}),
    "Reciprocal": ("Power", {}, {"power": -1.0}),
    **{
        name: ("Unary", {}, {"operation": name.lower()})
        for name in (
            "Floor", "Ceil", "Round", "Sign", "Erf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh",
            "Asinh", "Acosh", "Atanh", "Softsign", "IsNaN", "Not",
        )
    },
    "BitwiseNot": ("Unary", {}, {"operation": "not"}),
}  # fmt: skip
OF_INTEGERS = {"Abs": "abs", "Neg": "neg"}  # what the layer for floats does not do with whole numbers


@operator(*ELEMENTWISE)
def elementwise(g: Graph, node: Node, x: Value) -> Value:
    if not is_floating(x) and node.type in OF_INTEGERS:
        return g.add("Unary", x, operation=OF_INTEGERS[node.type])
    if not is_floating(x) and node.type == "Relu":
        return two(g, "max", x, number(x, 0))
    kind, given, fixed = ELEMENTWISE[node.type]
    attributes: dict[str, Any] = {**fixed, **{key: node.get(*source) for key, source in given.items()}}
    return g.add(kind, x, **attributes)


def number(x: Value, value: float) -> np.ndarray:
    """One number in a Value's dtype."""
    return np.array(value, "float32" if is_floating(x) else dtype_name(x))


@operator("Gelu")
def gelu(g: Graph, node: Node, x: Value) -> Value:
    return g.add("GELU", x, approximate=node.get("approximate", "none") == "tanh")


@operator("Selu")
def selu(g: Graph, node: Node, x: Value) -> Value:
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return powered(g, g.add("ELU", x, alpha=alpha), scale=gamma)


@operator("Celu")
def celu(g: Graph, node: Node, x: Value) -> Value:
    """alpha * elu(x / alpha)"""
    alpha = node.get("alpha", 1.0)
    if not alpha > 0:
        raise Unsupported(f"alpha={alpha}: it must be positive")
    return powered(g, g.add("ELU", powered(g, x, scale=1 / alpha)), scale=alpha)


@operator("ThresholdedRelu")
def thresholded_relu(g: Graph, node: Node, x: Value) -> Value:
    above = g.add("Compare", x, number(x, node.get("alpha", 1.0)), operation="greater")
    return g.add("Where", above, x, number(x, 0))


@operator("Shrink")
def shrink(g: Graph, node: Node, x: Value) -> Value:
    """x + bias below -lambd, x - bias above lambd, 0 between."""
    limit, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    below = g.add("Compare", x, number(x, -limit), operation="less")
    above = g.add("Compare", x, number(x, limit), operation="greater")
    high = g.add("Where", above, two(g, "sub", x, number(x, bias)), number(x, 0))
    return g.add("Where", below, two(g, "add", x, number(x, bias)), high)


@operator("IsInf")
def isinf(g: Graph, node: Node, x: Value) -> Value:
    positive, negative = node.get("detect_positive", 1), node.get("detect_negative", 1)
    if not positive and not negative:
        return g.add("Compare", x, x, operation="less")  # never
    return g.add("Unary", x, operation=f"is{'' if negative else 'pos'}{'' if positive else 'neg'}inf")


@operator("Clip")
def clip(g: Graph, node: Node, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    """A Clip layer, or, where a limit is computed or the numbers are whole, a maximum and a minimum."""
    limits = [v for v in (low, high) if v is not None]
    fixed = is_floating(x) and all(v.array is not None for v in limits)
    least = node.get("min", -HIGHEST) if low is None or not fixed else float(g.numbers(low).item())
    most = node.get("max", HIGHEST) if high is None or not fixed else float(g.numbers(high).item())
    if fixed and least <= most:
        return g.add("Clip", x, min=max(least, -HIGHEST), max=min(most, HIGHEST))
    for operation, limit in (("max", low), ("min", high)):
        x = x if limit is None else two(g, operation, x, limit)
    return x


@operator("PRelu")
def prelu(g: Graph, node: Node, x: Value, slope: Value) -> Value:
    """A PReLU layer where the slopes are constants of channels or elements; else max(x, 0) + slope * min(x, 0)."""
    found = prelu_slope(g, node, x, slope)
    if found is not None:
        return found
    zero = number(x, 0)
    return two(g, "add", two(g, "max", x, zero), two(g, "mul", two(g, "min", x, zero), slope))


@operator("Cast", "CastLike")
def cast(g: Graph, node: Node, x: Value, like: Value | None = None) -> Value:
    """Between floating-point types there is nothing to do: they are all fp32 here."""
    if like is None and node.get("to") not in DTYPES:
        raise Unsupported(f"casts to ONNX type {node.get('to')}, which no tensor has here")
    to = DTYPES[node.get("to")] if like is None else dtype_name(like)
    return x if dtype_name(x) == to and x.array is None else g.add("Cast", x, to=to)
