"""Operators that work element by element, alone or on two operands that are broadcast; and sums along axes of them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...engine.errors import ShapeError
from ..value import Node, Unsupported, Value
from .file import schema
from .graph import DTYPES, TFLiteGraph, activated, operator
from .moving import axis_of, permuted, reshaped, turned, unturned

HIGHEST = float(np.finfo(np.float32).max)

# TensorFlow Lite's operator: layer type, its attributes
ELEMENTWISE: dict[str, tuple[str, dict[str, Any]]] = {
    "RELU": ("ReLU", {}),
    "RELU6": ("Clip", {"min": 0.0, "max": 6.0}),
    "RELU_N1_TO_1": ("Clip", {"min": -1.0, "max": 1.0}),
    "RELU_0_TO_1": ("Clip", {"min": 0.0, "max": 1.0}),
    "LOGISTIC": ("Sigmoid", {}),
    "TANH": ("TanH", {}),
    "ELU": ("ELU", {}),
    "HARD_SWISH": ("HardSwish", {}),
    "EXP": ("Exp", {}),
    "LOG": ("Log", {}),
    "SQRT": ("Power", {"power": 0.5}),
    "SQUARE": ("Power", {"power": 2.0}),
}
UNARY = dict.fromkeys(
    ["ABS", "NEG", "SIGN", "FLOOR", "CEIL", "ROUND", "SIN", "COS", "RSQRT", "SQUARE"], ""
) | {"LOGICAL_NOT": "not"}
BINARY = {
    "ADD": "add", "SUB": "sub", "MUL": "mul", "DIV": "div", "POW": "pow", "MAXIMUM": "max", "MINIMUM": "min",
    "FLOOR_MOD": "mod", "LOGICAL_AND": "and", "LOGICAL_OR": "or", "ATAN2": "atan2", "BITWISE_XOR": "xor",
}  # fmt: skip
REDUCTIONS = {
    "MEAN": "mean", "REDUCE_MAX": "max", "REDUCE_MIN": "min", "SUM": "sum", "REDUCE_PROD": "prod",
    "REDUCE_ANY": "max", "REDUCE_ALL": "min",
}  # fmt: skip
COMPARE = ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"]


@operator(*ELEMENTWISE, *UNARY)
def elementwise(g: TFLiteGraph, node: Node, x: Value) -> Value:
    if node.type in ELEMENTWISE and x.is_float:
        kind, attributes = ELEMENTWISE[node.type]
        return g.add(kind, x, **attributes)
    if node.type == "ABS" and x.is_float:
        return g.add("AbsVal", x)
    return g.add("Unary", x, operation=UNARY.get(node.type) or node.type.lower())


@operator("LEAKY_RELU")
def leaky_relu(g: TFLiteGraph, node: Node, x: Value) -> Value:
    return g.add("ReLU", x, negative_slope=node["alpha"])


@operator("GELU")
def gelu(g: TFLiteGraph, node: Node, x: Value) -> Value:
    return g.add("GELU", x, approximate=node["approximate"])


@operator("PRELU")
def prelu(g: TFLiteGraph, node: Node, x: Value, slope: Value) -> Value:
    """A slope for each channel, the last axis; or for each element of an image."""
    numbers = g.numbers(slope, "its slope")
    shape = (1,) * (x.rank - numbers.ndim) + numbers.shape
    if len(shape) != x.rank or any(s not in (1, n) for s, n in zip(shape, x.shape, strict=True)):
        raise Unsupported(f"its slope is {slope.spec} but its input is {x.spec}")
    axes = [a for a, s in enumerate(shape) if s != 1]
    if not axes:
        return g.add("ReLU", x, negative_slope=float(numbers.reshape(-1)[0]))
    if len(axes) == 1 and axes[0]:
        order = [a for a in range(x.rank) if a != axes[0]]
        order.insert(1, axes[0])
        y = g.add("PReLU", permuted(g, x, order), numbers.reshape(-1))
        return permuted(g, y, [order.index(a) for a in range(x.rank)])
    if shape[0] != 1:
        raise Unsupported(f"its slope {list(shape)} differs along the batch")
    g.sizes_fixed = True
    g.claim(4 * x.spec.size)
    full = np.broadcast_to(numbers.reshape(shape)[0], x.shape[1:]).reshape(-1)
    return reshaped(g, g.add("PReLU", reshaped(g, x, [x.shape[0], -1]), np.ascontiguousarray(full)), x.shape)


@operator(*BINARY)
def binary(g: TFLiteGraph, node: Node, a: Value, b: Value) -> Value:
    return activated(g, node, combined(g, BINARY[node.type], a, b))


def combined(g: TFLiteGraph, operation: str, a: Value, b: Value) -> Value:
    """a <operation> b, broadcast, as the layer that engines know best: Eltwise, Power, Bias, Scale; else Binary."""
    if a.is_float and b.is_float and (a.array is None or b.array is None):
        found = _known(g, operation, a, b)
        if found is None and operation in ("add", "mul", "max", "min"):
            found = _known(g, operation, b, a)
        if found is not None:
            return found
    return g.add("Binary", *widened(g, a, b), operation=operation)


def widened(g: TFLiteGraph, *values: Value) -> list[Value]:
    """Operands that will be broadcast, with as many axes as the one that has most."""
    rank = max(v.rank for v in values)
    for v in values:
        if v.rank < rank:  # its first axis meets another's
            g.mixes(v, 0)
    return [reshaped(g, v, [1] * (rank - v.rank) + list(v.shape)) for v in values]


def _known(g: TFLiteGraph, operation: str, x: Value, other: Value) -> Value | None:
    """x <operation> other, where that is a layer of its own; other is broadcast over x."""
    if x.array is not None:
        return None
    if other.array is not None:
        return _with_constant(g, operation, x, other.array)
    if x.shape == other.shape:
        if operation == "sub":
            return g.add("Eltwise", x, other, operation="sum", coeff=(1.0, -1.0))
        kinds = {"add": "sum", "mul": "prod", "max": "max"}
        return g.add("Eltwise", x, other, operation=kinds[operation]) if operation in kinds else None
    gate = x.rank == 4 == other.rank and other.shape == (x.shape[0], 1, 1, x.shape[3])
    if operation == "mul" and gate:  # squeeze and excitation: a weight for each channel
        weight = reshaped(g, other, [x.shape[0], x.shape[3]])
        return unturned(g, g.add("Scale", turned(g, x), weight, axis=0))
    return None


def _with_constant(g: TFLiteGraph, operation: str, x: Value, c: np.ndarray) -> Value | None:
    """x <operation> c, if c is one number, or is one for each place along x's last axes."""
    if c.size == 1 and c.ndim <= x.rank:
        number = float(c.reshape(-1)[0])
        match operation:
            case "add":
                return g.add("Power", x, shift=number)
            case "sub":
                return g.add("Power", x, shift=-number)
            case "mul":
                return g.add("Power", x, scale=number)
            case "div" if number:
                return g.add("Power", x, scale=1 / number)
            case "pow":
                return g.add("Power", x, power=number)
            case "max":
                return g.add("Clip", x, min=number, max=HIGHEST) if number else g.add("ReLU", x)
            case "min":
                return g.add("Clip", x, min=-HIGHEST, max=number)
        return None
    block = c.reshape(c.shape[next((a for a, s in enumerate(c.shape) if s != 1), 0) :])
    if not 0 < block.ndim < x.rank or block.shape != x.shape[x.rank - block.ndim :]:
        return None
    if block.ndim > 1 and x.rank == 4:  # its H and W would be no neighbours of C in (N,C,H,W)
        return None
    axis = x.rank - block.ndim
    match operation:
        case "add":
            return g.add("Bias", x, block, axis=axis)
        case "sub":
            return g.add("Bias", x, -block, axis=axis)
        case "mul":
            return g.add("Scale", x, block, axis=axis)
        case "div" if block.all():
            return g.add("Scale", x, 1 / block, axis=axis)
    return None


@operator("ADD_N")
def add_n(g: TFLiteGraph, node: Node, *xs: Value) -> Value:
    y = xs[0]
    for x in xs[1:]:
        y = combined(g, "add", y, x)
    return y


@operator("SQUARED_DIFFERENCE")
def squared_difference(g: TFLiteGraph, node: Node, a: Value, b: Value) -> Value:
    d = combined(g, "sub", a, b)
    return g.add("Power", d, power=2.0) if d.is_float else g.add("Binary", d, d, operation="mul")


@operator("FLOOR_DIV")
def floor_div(g: TFLiteGraph, node: Node, a: Value, b: Value) -> Value:
    if not a.is_float:
        rest = g.add("Binary", a, b, operation="mod")
        return g.add("Binary", g.add("Binary", a, rest, operation="sub"), b, operation="div")
    return g.add("Unary", combined(g, "div", a, b), operation="floor")


@operator(*COMPARE)
def compare(g: TFLiteGraph, node: Node, a: Value, b: Value) -> Value:
    return g.add("Compare", *widened(g, a, b), operation=node.type.lower())


@operator("SELECT", "SELECT_V2")
def select(g: TFLiteGraph, node: Node, condition: Value, a: Value, b: Value) -> Value:
    if node.type == "SELECT" and condition.rank == 1 and a.rank > 1:  # of the old one: a truth for each row
        condition = reshaped(g, condition, [condition.shape[0], *[1] * (a.rank - 1)])
    return g.add("Where", *widened(g, condition, a, b))


@operator("CAST")
def cast(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """To the type that the file gives its output."""
    kind = g.model.tensors[node.source.outputs[0]].type
    if kind not in DTYPES:
        raise Unsupported(f"casts to {kind}")
    return x if x.spec.dtype.name == DTYPES[kind] else g.add("Cast", x, to=DTYPES[kind])


@operator("DEQUANTIZE", "DENSIFY", "QUANTIZE")
def stored_otherwise(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """A constant that is stored as fp16, as integers, or without its zeros is fp32 and whole by now; what is quantised
    stands here for real numbers, before and behind."""
    return x


@operator("SOFTMAX", "LOG_SOFTMAX")
def softmax(g: TFLiteGraph, node: Node, x: Value) -> Value:
    beta = node["beta"] if node.type == "SOFTMAX" else 1.0
    if x.rank < 2:
        g.mixes(x, 0)
    scaled = x if beta == 1 else g.add("Power", x, scale=beta)
    y = g.add("Softmax", scaled, axis=x.rank - 1)
    return g.add("Log", y) if node.type == "LOG_SOFTMAX" else y


@operator("L2_NORMALIZATION")
def l2_normalization(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """x / sqrt(max(sum of x**2 along the last axis, 1e-6))"""
    squares = g.add("Reduction", x, operation="sumsq", axes=(x.rank - 1,), keep_dims=True)
    length = g.add("Power", g.add("Clip", squares, min=1e-6, max=HIGHEST), power=0.5)
    return activated(g, node, g.add("Binary", x, length, operation="div"))


@operator("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")
def reduce(g: TFLiteGraph, node: Node, x: Value, axes: Value) -> Value:
    """Over an image's H and W it is global pooling."""
    named = g.integers(axes, "its axes")
    if any(not -x.rank <= a < x.rank for a in named):
        raise Unsupported(f"its axes are {named} but its input is {x.spec}")
    over = sorted({a % x.rank for a in named})
    if not over:
        return x
    g.mixes(x, *over)
    keep, names = bool(node["keep_dims"]), {"MEAN": "average", "REDUCE_MAX": "max"}
    if node.type in names and x.rank == 4 and over == [1, 2] and x.is_float:
        pooled = g.add("Pooling", turned(g, x), method=names[node.type], global_pooling=True)
        return unturned(g, pooled) if keep else g.add("Flatten", pooled, axis=1)
    if len(over) == x.rank and not keep:
        x, over = reshaped(g, x, [-1]), [0]
    return g.add("Reduction", x, operation=REDUCTIONS[node.type], axes=over, keep_dims=keep)


@operator("ARG_MAX", "ARG_MIN")
def arg_max(g: TFLiteGraph, node: Node, x: Value, axis: Value) -> Value:
    (at,) = g.integers(axis, "its axis")
    at = axis_of(g, x, at)
    g.mixes(x, at)
    y = g.add("ArgMax", x, axis=at, keep_dims=False, smallest=node.type == "ARG_MIN")
    kind = schema().enums["TensorType"].get(node["output_type"], "INT64")
    return y if y.spec.dtype.name == DTYPES.get(kind) else g.add("Cast", y, to=DTYPES.get(kind, "int64"))


@operator("TOPK_V2")
def top_k(g: TFLiteGraph, node: Node, x: Value, k: Value) -> list[Value]:
    (count,) = g.integers(k, "how many")
    if x.rank < 2:
        g.mixes(x, 0)
    values, places = g.add("TopK", x, outputs=2, k=count, axis=x.rank - 1)
    return [values, g.add("Cast", places, to="int32")]


@operator("CUMSUM")
def cumsum(g: TFLiteGraph, node: Node, x: Value, axis: Value) -> Value:
    (at,) = g.integers(axis, "its axis")
    at = axis_of(g, x, at)
    g.mixes(x, at)
    return g.add("CumSum", x, axis=at, exclusive=node["exclusive"], reverse=node["reverse"])


@operator("ONE_HOT")
def one_hot(g: TFLiteGraph, node: Node, indices: Value, depth: Value, on: Value, off: Value) -> Value:
    (count,) = g.integers(depth, "the depth")
    values = g.constant(np.stack([g.numbers(off).reshape(()), g.numbers(on).reshape(())]))
    return g.add("OneHot", indices, values, depth=count, axis=node["axis"])


@operator("FILL")
def fill(g: TFLiteGraph, node: Node, sizes: Value, value: Value) -> Value:
    wanted, number = g.integers(sizes, "its sizes"), g.numbers(value, "its value")
    if min(wanted, default=1) < 0:
        raise ShapeError(f"its sizes are {wanted}")
    g.claim(prod(wanted) * number.itemsize)
    return g.constant(np.full(wanted, number.item(), number.dtype))


@operator("ZEROS_LIKE")
def zeros_like(g: TFLiteGraph, node: Node, x: Value) -> Value:
    g.batch_fixed = g.sizes_fixed = True
    g.claim(x.spec.nbytes)
    return g.constant(np.zeros(x.shape, x.spec.dtype.storage))


@operator("RANGE")
def range_(g: TFLiteGraph, node: Node, start: Value, limit: Value, step: Value) -> Value:
    numbers = [g.numbers(v, "its ends").item() for v in (start, limit, step)]
    if not numbers[2] or not (numbers[1] - numbers[0]) / numbers[2] < 1 << 31:
        raise Unsupported(f"counts from {numbers[0]} to {numbers[1]} by {numbers[2]}")
    g.claim(max(0, int((numbers[1] - numbers[0]) / numbers[2]) + 1) * 8)
    return g.constant(np.arange(*numbers, dtype=g.numbers(start).dtype))
