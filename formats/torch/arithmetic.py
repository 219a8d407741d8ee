"""Operators of two operands, comparisons, choices. Broadcasting is that of ONNX, and shared with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.dtype import dtypes
from ..arithmetic import binary, powered, two
from ..value import Node, Unsupported, Value, dtype_name, is_floating
from .graph import TorchGraph
from .table import operator
from .tensors import name_of_dtype

BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "maximum": "max", "minimum": "min", "pow": "pow",
}  # fmt: skip
COMPARE = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
LOGIC = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor",
         "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor",
         "__and__": "and", "__or__": "or", "__xor__": "xor"}  # fmt: skip


@operator("add", "sub", "mul", "div", "maximum", "minimum", "pow", "rsub", broadcasts=True, elementwise=True)
def combine(
    g: TorchGraph, node: Node, a: Any, b: Any, alpha: float = 1, *, rounding_mode: str | None = None
) -> Value:
    kind = node.type
    if kind == "rsub":
        a, b, kind = b, a, "sub"
    a, b = _values(g, node, a, b)
    if alpha != 1:
        b = binary(g, "mul", b, g.constant(alpha, b))
    y = binary(g, BINARY[kind], a, b)
    return y if rounding_mode is None else g.add("Unary", y, operation=rounding_mode)


def _values(g: TorchGraph, node: Node, a: Any, b: Any) -> tuple[Value, Value]:
    """Two operands as tensors of one dtype: torch's rule is that the result's decides."""
    meta = node.source.meta["val"]
    wanted = name_of_dtype(meta.dtype)
    made = []
    for operand in (a, b):
        if not isinstance(operand, Value):
            number = g.number(operand) if isinstance(operand, int) else operand
            operand = g.constant(np.float32(number) if wanted == "fp32" else np.asarray(number))
        made.append(cast(g, operand, wanted))
    return made[0], made[1]


def cast(g: TorchGraph, x: Value, to: str) -> Value:
    """x as another dtype; x itself if it is of that already."""
    if x.array is not None:
        if x.array.dtype == dtypes[to].storage:
            return x
        array = x.array.astype(dtypes[to].storage)
        return Value.of(g.fresh(f"{x.name}/{to}"), array)
    return x if dtype_name(x) == to else g.add("Cast", x, to=to)


@operator(*COMPARE, broadcasts=True)
def compare(g: TorchGraph, node: Node, a: Any, b: Any) -> Value:
    return two(g, COMPARE[node.type], *_alike(g, a, b), kind="Compare")


def _alike(g: TorchGraph, a: Any, b: Any) -> tuple[Value, Value]:
    """Two operands of one dtype; floats win over whole numbers, tensors over Python's numbers."""
    if not isinstance(a, Value):
        a, b = _alike(g, b, a)
        return b, a
    if not isinstance(b, Value):
        number = g.number(b) if isinstance(b, int) else b
        b = g.constant(number, a if is_floating(a) or isinstance(number, int) else None)
    if is_floating(a) != is_floating(b):
        a, b = cast(g, a, "fp32"), cast(g, b, "fp32")
    return a, b


@operator(*LOGIC, broadcasts=True)
def logic(g: TorchGraph, node: Node, a: Any, b: Any) -> Value:
    a, b = _values(g, node, a, b)
    return two(g, LOGIC[node.type], a, b)


@operator("fmod", "remainder", "atan2", "floor_divide", broadcasts=True)
def rarer(g: TorchGraph, node: Node, a: Any, b: Any) -> Value:
    a, b = _values(g, node, a, b)
    if node.type == "floor_divide":
        if not is_floating(a):
            raise Unsupported("divides whole numbers and rounds down; between floats it is supported")
        return g.add("Unary", binary(g, "div", a, b), operation="floor")
    return two(g, {"remainder": "mod"}.get(node.type, node.type), a, b)


@operator("addcmul", "addcdiv", broadcasts=True)
def add_combined(g: TorchGraph, node: Node, x: Value, a: Value, b: Value, value: float = 1) -> Value:
    y = binary(g, "mul" if node.type == "addcmul" else "div", a, b)
    return binary(g, "add", x, y if value == 1 else powered(g, y, scale=value))


@operator("lerp", broadcasts=True)
def lerp(g: TorchGraph, node: Node, a: Value, b: Value, weight: Any) -> Value:
    weight = weight if isinstance(weight, Value) else g.constant(np.float32(weight))
    return binary(g, "add", a, binary(g, "mul", binary(g, "sub", b, a), weight))


@operator("where", broadcasts=True)
def where(g: TorchGraph, node: Node, condition: Value, a: Any, b: Any) -> Value:
    a, b = _values(g, node, a, b)
    return g.add("Where", condition, a, b)


@operator("masked_fill", broadcasts=True)
def masked_fill(g: TorchGraph, node: Node, x: Value, mask: Value, fill: Any) -> Value:
    number = g.numbers(fill, "what it fills with").item() if isinstance(fill, Value) else fill
    return g.add("Where", mask, g.constant(number, x), x)


@operator("_to_copy", "to", "type_as", "_cast", elementwise=True)
def to(g: TorchGraph, node: Node, x: Value, *given: Any, **named: Any) -> Value:
    return cast(g, x, name_of_dtype(node.source.meta["val"].dtype))
