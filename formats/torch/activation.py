"""Operators on one element: activations, roots, roundings."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..value import Node, Unsupported, Value, is_floating
from .graph import TorchGraph
from .table import operator

HIGHEST = float(np.finfo(np.float32).max)

# ATen operator: layer type, what its further arguments are called here, with their defaults, fixed attributes
ELEMENTWISE: dict[str, tuple[str, dict[str, float], dict[str, Any]]] = {
    "relu": ("ReLU", {}, {}),
    "leaky_relu": ("ReLU", {"negative_slope": 0.01}, {}),
    "relu6": ("Clip", {}, {"min": 0.0, "max": 6.0}),
    "hardtanh": ("Clip", {"min": -1.0, "max": 1.0}, {}),
    "sigmoid": ("Sigmoid", {}, {}),
    "tanh": ("TanH", {}, {}),
    "silu": ("Swish", {}, {}),
    "mish": ("Mish", {}, {}),
    "hardswish": ("HardSwish", {}, {}),
    "hardsigmoid": ("HardSigmoid", {}, {}),
    "exp": ("Exp", {}, {}),
    "log": ("Log", {}, {}),
    "log2": ("Log", {}, {"base": 2.0}),
    "log10": ("Log", {}, {"base": 10.0}),
    "exp2": ("Exp", {}, {"base": 2.0}),
}
# ATen operator: operation of a Unary layer
UNARY = {
    "abs": "abs", "neg": "neg", "sign": "sign", "sgn": "sign", "square": "square", "sqrt": "sqrt", "rsqrt": "rsqrt",
    "reciprocal": "reciprocal", "floor": "floor", "ceil": "ceil", "round": "round", "trunc": "trunc",
    "expm1": "expm1", "log1p": "log1p", "erf": "erf", "special_erf": "erf",
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan",
    "sinh": "sinh", "cosh": "cosh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "isnan": "isnan", "isinf": "isinf", "logical_not": "not", "bitwise_not": "not",
}  # fmt: skip


@operator(*ELEMENTWISE, elementwise=True)
def elementwise(g: TorchGraph, node: Node, x: Value, *given: float) -> Value:
    kind, names, fixed = ELEMENTWISE[node.type]
    attributes: dict[str, Any] = {**fixed, **names, **dict(zip(names, given, strict=False))}
    return g.add(kind, x, **attributes)


@operator(*UNARY, elementwise=True)
def unary(g: TorchGraph, node: Node, x: Value, decimals: int = 0) -> Value:
    if decimals:
        raise Unsupported(f"rounds to {decimals} decimals; to whole numbers is supported")
    if is_floating(x) and UNARY[node.type] in POWERS:
        layer, attributes = POWERS[UNARY[node.type]]
        return g.add(layer, x, **attributes)
    return g.add("Unary", x, operation=UNARY[node.type])


POWERS: dict[str, tuple[str, dict[str, Any]]] = {  # Caffe's spelling of them
    "abs": ("AbsVal", {}),
    "neg": ("Power", {"scale": -1.0}),
    "square": ("Power", {"power": 2.0}),
    "sqrt": ("Power", {"power": 0.5}),
    "rsqrt": ("Power", {"power": -0.5}),
    "reciprocal": ("Power", {"power": -1.0}),
}


@operator("gelu", elementwise=True)
def gelu(g: TorchGraph, node: Node, x: Value, approximate: str = "none") -> Value:
    return g.add("GELU", x, approximate=approximate == "tanh")


@operator("elu", "celu", "selu", elementwise=True)
def elu(
    g: TorchGraph, node: Node, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Value:
    """scale * (x if x > 0 else alpha * (exp(x * input_scale) - 1))"""
    if node.type == "selu":
        alpha, scale = 1.6732632423543772, 1.0507009873554805
    if node.type == "celu":  # x if x > 0 else alpha * (exp(x / alpha) - 1)
        inner = g.add("ELU", _scaled(g, x, 1 / alpha))
        return _scaled(g, inner, alpha)
    if input_scale != 1:
        raise Unsupported(f"input_scale={input_scale}: 1 is supported")
    return _scaled(g, g.add("ELU", x, alpha=alpha), scale)


def _scaled(g: TorchGraph, x: Value, scale: float) -> Value:
    return x if scale == 1 else g.add("Power", x, scale=scale)


@operator("softplus", elementwise=True)
def softplus(g: TorchGraph, node: Node, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """log(1 + exp(beta * x)) / beta; beyond the threshold torch returns x, which is that in fp32."""
    return _scaled(g, g.add("BNLL", _scaled(g, x, beta)), 1 / beta)


@operator("log_sigmoid", "log_sigmoid_forward", elementwise=True)
def log_sigmoid(g: TorchGraph, node: Node, x: Value) -> Any:
    y = _scaled(g, g.add("BNLL", _scaled(g, x, -1.0)), -1.0)
    return y if node.type == "log_sigmoid" else [y, None]


@operator("softsign", elementwise=True)
def softsign(g: TorchGraph, node: Node, x: Value) -> Value:
    return g.add("Unary", x, operation="softsign")


@operator("clamp", "clamp_min", "clamp_max", "clip")
def clamp(
    g: TorchGraph, node: Node, x: Value, low: float | Value | None = None, high: float | Value | None = None
) -> Value:
    if node.type == "clamp_max":
        low, high = None, low
    limits: list[float] = []
    for limit, default in ((low, -HIGHEST), (high, HIGHEST)):
        if isinstance(limit, Value):
            array = g.numbers(limit, "a limit")
            if array.size != 1:
                raise Unsupported(f"limits {list(array.shape)}: one number each is supported")
            limit = float(array.item())
        limits.append(min(max(default if limit is None else float(limit), -HIGHEST), HIGHEST))
    if not is_floating(x):
        for limit, operation in zip(limits, ("max", "min"), strict=True):
            if abs(limit) < HIGHEST:
                x = g.add("Binary", x, g.constant(int(limit), x), operation=operation)
        return x
    if limits == [0.0, HIGHEST]:
        return g.add("ReLU", x)
    return g.add("Clip", x, min=min(limits), max=limits[1])


@operator("threshold")
def threshold(g: TorchGraph, node: Node, x: Value, limit: float, value: float) -> Value:
    above = g.add("Compare", x, g.constant(limit, x), operation="greater")
    return g.add("Where", above, x, g.constant(value, x))


@operator("prelu", "_prelu_kernel")
def prelu(g: TorchGraph, node: Node, x: Value, slope: Value) -> Value:
    numbers = g.numbers(slope, "its slope").reshape(-1)
    if numbers.size == 1:
        return g.add("ReLU", x, negative_slope=float(numbers.item()))
    return g.add("PReLU", x, numbers)
