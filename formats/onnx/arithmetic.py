"""ONNX's operators of two operands, element by element; see `..arithmetic`."""

from __future__ import annotations

from ...engine.tensor import Dim
from ..arithmetic import alike, binary, powered, span, spread, two
from ..graph import Graph
from ..shape import inverse, permuted, reshaped, reshaped_value
from ..value import Node, Value, as_stored, is_floating
from .graph import operator

# ONNX operator: operation of the layer Binary, or Compare
BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Min": "min", "Max": "max",
    "Sum": "add", "Mean": "add", "And": "and", "Or": "or", "Xor": "xor",
    "BitwiseAnd": "and", "BitwiseOr": "or", "BitwiseXor": "xor",
}  # fmt: skip
COMPARE = {
    "Equal": "equal", "Less": "less", "LessOrEqual": "less_equal",
    "Greater": "greater", "GreaterOrEqual": "greater_equal",
}  # fmt: skip


@operator(*BINARY)
def combine(g: Graph, node: Node, *xs: Value) -> Value:
    xs = _aligned(g, node, *xs)
    if node.type in ("Sum", "Max", "Mean") and len(xs) > 2 and all(alike(xs[0], x) for x in xs):
        coeff = [1 / len(xs)] * len(xs) if node.type == "Mean" else []
        return g.add("Eltwise", *xs, operation="max" if node.type == "Max" else "sum", coeff=coeff)
    result = xs[0]
    for x in xs[1:]:
        result = binary(g, BINARY[node.type], result, x)
    return powered(g, result, scale=1 / len(xs)) if node.type == "Mean" else result


@operator(*COMPARE)
def compare(g: Graph, node: Node, *xs: Value) -> Value:
    a, b = _aligned(g, node, *xs)
    return two(g, COMPARE[node.type], a, b, kind="Compare")


@operator("Mod")
def mod(g: Graph, node: Node, a: Value, b: Value) -> Value:
    return two(g, "fmod" if node.get("fmod", 0) else "mod", a, b)


@operator("BitShift")
def bit_shift(g: Graph, node: Node, a: Value, b: Value) -> Value:
    return two(g, f"shift_{node.get('direction', '').lower()}", a, b)


@operator("Where")
def where(g: Graph, node: Node, condition: Value, a: Value, b: Value) -> Value:
    return g.add("Where", condition, a, b)


def _aligned(g: Graph, node: Node, *xs: Value) -> tuple[Value, ...]:
    """Before opset 7 `axis` said where the second operand lies: later, it lies at the end."""
    if node.opset >= 7 or "axis" not in node.attributes:
        return xs
    behind = xs[0].rank - node.get("axis") % xs[0].rank - xs[1].rank
    return xs[0], reshaped_value(g, xs[1], (*xs[1].shape, *[1] * behind))


def prelu_slope(g: Graph, node: Node, x: Value, slope: Value) -> Value | None:
    """A PReLU layer of constant slopes that belong to one axis, or to elements; None if they do not."""
    if node.opset < 7 and slope.rank == 1:  # a slope a channel, and no broadcasting
        slope = reshaped_value(g, slope, (*slope.shape, *[1] * (x.rank - 2)))
    axes = span(x.shape, slope.shape)
    if axes is None or slope.array is None or not is_floating(x):
        return None
    numbers = as_stored(g.numbers(slope, "its slope"))
    if not axes:
        return g.add("ReLU", x, negative_slope=float(numbers.item()))
    if len(axes) == 1 and x.rank > 1:
        order = [a for a in range(x.rank) if a not in axes]
        order.insert(1, axes[0])
        turned = g.add("PReLU", permuted(g, x, order), numbers.reshape(-1))
        return permuted(g, turned, inverse(order))
    if 0 in axes or any(isinstance(s, Dim) for s in x.shape[1:]):
        return None
    numbers = spread(g, numbers, x.shape[1:])  # a slope an element
    flat = g.add("PReLU", reshaped(g, x, [x.shape[0], -1]), numbers.reshape(-1))
    return reshaped(g, flat, x.shape)
