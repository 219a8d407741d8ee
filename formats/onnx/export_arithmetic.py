"""The way out for arithmetic of any dtype: two operands, functions, casts, reductions, sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.layer import Layer
from ..value import Unsupported
from .reduce import REDUCE
from .writer import ONNX_TYPES, OPSET, Value, Writer, written

# operation: ONNX operator
ARITHMETIC = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "max": "Max",
    "min": "Min",
}
LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}
COMPARE = {"equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
           "greater_equal": "GreaterOrEqual"}  # fmt: skip
UNARY = {
    name.lower(): name
    for name in (
        "Neg", "Abs", "Sign", "Not", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Exp", "Log", "Erf", "Sin", "Cos",
        "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Softsign", "IsNaN", "IsInf",
    )
}  # fmt: skip
REDUCTIONS = {operation: kind for kind, operation in REDUCE.items()}


def _node(w: Writer, kind: str, x: Value, *more: Any, outputs: int = 1, **attributes: Any) -> Any:
    """A node of x. Raises Unsupported if in the opset that is written the operator is not one of x's dtype."""
    from onnx import defs, helper

    known = helper.tensor_dtype_to_string(ONNX_TYPES[x.spec.dtype.name]).removeprefix("TensorProto.").lower()
    if f"tensor({known})" not in defs.get_schema(kind, OPSET).inputs[0].types:
        raise Unsupported(f"in opset {OPSET} there is no operator {kind} of {x.spec.dtype}")
    return w.node(kind, x, *more, outputs=outputs, **attributes)


@written("Binary")
def binary(w: Writer, layer: Layer, a: Value, b: Value) -> str:
    """The mod of floats is Python's here and C's there; logic bit by bit is known from opset 18 on."""
    operation, kind = layer.operation, a.spec.dtype.storage.kind
    if operation in ARITHMETIC:
        return _node(w, ARITHMETIC[operation], a, b)
    if operation in LOGIC and kind == "b":
        return w.node(LOGIC[operation], a, b)
    if operation == "fmod" or (operation == "mod" and kind != "f"):
        return _node(w, "Mod", a, b, fmod=int(operation == "fmod"))
    if operation == "mod":  # a - b * floor(a / b)
        return w.node("Sub", a, w.node("Mul", b, w.node("Floor", w.node("Div", a, b))))
    if operation.startswith("shift") and kind == "u":
        return w.node("BitShift", a, b, direction=operation.removeprefix("shift_").upper())
    raise Unsupported(f"in opset {OPSET} there is no operator for {operation!r} of {a.spec.dtype}")


@written("Compare")
def compare(w: Writer, layer: Layer, a: Value, b: Value) -> str:
    if layer.operation == "not_equal":
        return w.node("Not", w.node("Equal", a, b))
    return _node(w, COMPARE[layer.operation], a, b)


@written("Where")
def where(w: Writer, layer: Layer, condition: Value, a: Value, b: Value) -> str:
    return w.node("Where", condition, a, b)


@written("Unary")
def unary(w: Writer, layer: Layer, x: Value) -> str:
    match layer.operation:
        case "square":
            return w.node("Mul", x, x)
        case "rsqrt":
            return w.node("Reciprocal", w.node("Sqrt", x))
        case "trunc":
            return w.node("Mul", w.node("Sign", x), w.node("Floor", w.node("Abs", x)))
        case "expm1":
            return w.node("Sub", w.node("Exp", x), np.float32(1))
        case "log1p":
            return w.node("Log", w.node("Add", x, np.float32(1)))
        case "isposinf":
            return w.node("IsInf", x, detect_negative=0)
        case "isneginf":
            return w.node("IsInf", x, detect_positive=0)
        case "not" if x.spec.dtype.name != "bool":
            raise Unsupported(f"in opset {OPSET} there is no operator that turns bits round")
    return _node(w, UNARY[layer.operation], x)


@written("Cast")
def cast(w: Writer, layer: Layer, x: Value) -> str:
    return w.node("Cast", x, to=ONNX_TYPES[layer.to])


@written("Reduction")
def reduction(w: Writer, layer: Layer, x: Value) -> str:
    """Only a sum's axes are an input in opset 17."""
    kind, axes, keep = REDUCTIONS[layer.operation], layer.reduced(x.spec), int(layer.keep_dims)
    if kind == "ReduceSum":
        y = _node(w, kind, x, np.array(axes, np.int64) if axes else None, keepdims=keep)
    else:
        y = _node(w, kind, x, keepdims=keep, **({"axes": axes} if axes else {}))
    return y if layer.coeff == 1 else w.node("Mul", y, np.float32(layer.coeff))


@written("CumSum")
def cum_sum(w: Writer, layer: Layer, x: Value) -> str:
    axis = np.array(x.spec.axis(layer.axis))
    return _node(w, "CumSum", x, axis, exclusive=int(layer.exclusive), reverse=int(layer.reverse))


@written("ArgMax")
def arg_max(w: Writer, layer: Layer, x: Value) -> str:
    flags = {"keepdims": int(layer.keep_dims), "select_last_index": int(layer.last)}
    return _node(w, "ArgMin" if layer.smallest else "ArgMax", x, axis=x.spec.axis(layer.axis), **flags)


@written("TopK")
def top_k(w: Writer, layer: Layer, x: Value) -> Sequence[str]:
    k, axis = np.array([layer.k]), x.spec.axis(layer.axis)
    return _node(w, "TopK", x, k, outputs=2, axis=axis, largest=int(not layer.smallest), sorted=1)
