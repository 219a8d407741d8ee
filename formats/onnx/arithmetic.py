"""Operators that work element by element, and what ONNX's broadcasting becomes in layers.

Same shapes are an Eltwise layer. A constant number is a Power or a Clip; a vector along one axis (or a block along
several that are neighbours) is a Scale or a Bias. This holds for computed vectors too: the gate of a
squeeze-and-excitation block, (N,C,1,1) times (N,C,H,W), is a Scale by (N,C) from axis 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from .graph import Graph, Node, Unsupported, Value, as_stored, is_one, operator
from .moving import inverse, permuted, reshaped

HIGHEST = float(np.finfo(np.float32).max)

# ONNX operator: layer type, {layer attribute: (ONNX attribute, its default)}, fixed attributes
ELEMENTWISE: dict[str, tuple[str, dict[str, tuple[str, float]], dict[str, float]]] = {
    "Relu": ("ReLU", {}, {}),
    "LeakyRelu": ("ReLU", {"negative_slope": ("alpha", 0.01)}, {}),
    "Elu": ("ELU", {"alpha": ("alpha", 1.0)}, {}),
    "Sigmoid": ("Sigmoid", {}, {}),
    "Tanh": ("TanH", {}, {}),
    "Softplus": ("BNLL", {}, {}),
    "Exp": ("Exp", {}, {}),
    "Log": ("Log", {}, {}),
    "Abs": ("AbsVal", {}, {}),
    "Sqrt": ("Power", {}, {"power": 0.5}),
    "Neg": ("Power", {}, {"scale": -1.0}),
    "Reciprocal": ("Power", {}, {"power": -1.0}),
}


@operator(*ELEMENTWISE)
def elementwise(g: Graph, node: Node, x: Value) -> Value:
    kind, given, fixed = ELEMENTWISE[node.type]
    attributes: dict[str, Any] = {**fixed, **{key: node.get(*source) for key, source in given.items()}}
    return g.add(kind, x, **attributes)


@operator("HardSigmoid")
def hard_sigmoid(g: Graph, node: Node, x: Value) -> Value:
    return _hard_sigmoid(g, x, node.get("alpha", 0.2), node.get("beta", 0.5))


@operator("HardSwish")
def hard_swish(g: Graph, node: Node, x: Value) -> Value:
    return g.add("Eltwise", x, _hard_sigmoid(g, x, 1 / 6, 0.5), operation="prod")


def _hard_sigmoid(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.add("Clip", g.add("Power", x, scale=alpha, shift=beta), min=0.0, max=1.0)


@operator("Selu")
def selu(g: Graph, node: Node, x: Value) -> Value:
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return g.add("Power", g.add("ELU", x, alpha=alpha), scale=gamma)


@operator("Clip")
def clip(g: Graph, node: Node, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    least = node.get("min", -HIGHEST) if low is None else float(g.numbers(low, "its minimum").item())
    most = node.get("max", HIGHEST) if high is None else float(g.numbers(high, "its maximum").item())
    return g.add("Clip", x, min=max(least, -HIGHEST), max=min(most, HIGHEST))


@operator("PRelu")
def prelu(g: Graph, node: Node, x: Value, slope: Value) -> Value:
    if node.opset < 7 and slope.rank == 1:  # a slope a channel, and no broadcasting
        slope = reshaped_value(g, slope, (*slope.shape, *[1] * (x.rank - 2)))
    axes = _span(x.shape, slope.shape)
    numbers = as_stored(g.numbers(slope, "its slope"))
    if axes is None:
        raise Unsupported(f"its slope {list(slope.shape)} does not fit {_text(x.shape)}")
    if not axes:
        return g.add("ReLU", x, negative_slope=float(numbers.item()))
    if len(axes) == 1:
        order = [a for a in range(x.rank) if a not in axes]
        order.insert(1, axes[0])
        turned = g.add("PReLU", permuted(g, x, order), numbers.reshape(-1))
        return permuted(g, turned, inverse(order))
    if 0 in axes or any(isinstance(s, Dim) for s in x.shape[1:]):
        raise Unsupported(f"its slope {list(slope.shape)} needs an input of fixed size, not {_text(x.shape)}")
    numbers = _spread(g, numbers, x.shape[1:])  # a slope an element
    flat = g.add("PReLU", reshaped(g, x, [x.shape[0], -1]), numbers.reshape(-1))
    return reshaped(g, flat, x.shape)


# -- two operands ----------------------------------------------------------------------------------------------


@operator("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean")
def combine(g: Graph, node: Node, *xs: Value) -> Value:
    if (
        node.opset < 7 and "axis" in node.attributes
    ):  # where the second operand lies: later, always at the end
        behind = xs[0].rank - node.get("axis") % xs[0].rank - xs[1].rank
        xs = (xs[0], reshaped_value(g, xs[1], (*xs[1].shape, *[1] * behind)))
    if node.type in ("Sum", "Max", "Mean") and len(xs) > 2 and all(_alike(xs[0], x) for x in xs):
        coeff = [1 / len(xs)] * len(xs) if node.type == "Mean" else []
        return g.add("Eltwise", *xs, operation="max" if node.type == "Max" else "sum", coeff=coeff)
    result = xs[0]
    for x in xs[1:]:
        result = binary(g, COMBINE[node.type], result, x)
    return powered(g, result, scale=1 / len(xs)) if node.type == "Mean" else result


def binary(g: Graph, combine: Callable, a: Value, b: Value) -> Value:
    """a combined with b, the wider of them first; `swapped` says that they changed places."""
    if a.rank < b.rank:
        a = reshaped_value(g, a, [*[1] * (b.rank - a.rank), *a.shape])
    elif b.rank < a.rank and b.array is None:
        b = reshaped_value(g, b, [*[1] * (a.rank - b.rank), *b.shape])
    swapped = a.array is not None or _span(a.shape, b.shape) is None
    wide, other = (b, a) if swapped else (a, b)
    axes = _span(wide.shape, other.shape)
    if axes is None or wide.array is not None:
        raise Unsupported(f"cannot broadcast {_text(a.shape)} and {_text(b.shape)}")
    if other.array is None and axes and is_one(other.shape[0]) and is_one(wide.shape[0]):
        axes = [0, *axes]  # both have the batch, which is 1 in this file but may be another
    return combine(g, wide, other, axes, swapped)


def reshaped_value(g: Graph, x: Value, shape: Sequence[int]) -> Value:
    """A tensor or a constant in another shape."""
    if x.array is None:
        return reshaped(g, x, shape)
    array = g.numbers(x).reshape(tuple(map(int, shape)))
    return Value(g.fresh(f"{x.name}/reshaped"), array.shape, array=array)


def add(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    return _plus(g, x, other, axes)


def _subtract(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    if _alike(x, other):
        return g.add("Eltwise", x, other, operation="sum", coeff=(-1.0, 1.0) if swapped else (1.0, -1.0))
    if swapped:
        return _plus(g, powered(g, x, scale=-1.0), other, axes)
    return _plus(g, x, changed(g, other, lambda a: -a, scale=-1.0), axes)


def _multiply(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    return _times(g, x, other, axes)


def _divide(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    if swapped:
        return _times(g, powered(g, x, power=-1.0), other, axes)
    return _times(g, x, changed(g, other, lambda a: 1 / a, power=-1.0), axes)


def _raise(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    if axes or swapped or other.array is None:
        raise Unsupported("a power is supported where the exponent is one constant number")
    return powered(g, x, power=_number(g, other))


def _maximum(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    if other.array is not None and not axes:
        least = _number(g, other)
        return g.add("Clip", x, min=least, max=HIGHEST) if least else g.add("ReLU", x)
    return g.add("Eltwise", x, _full(g, other, x), operation="max")


def _minimum(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value:
    if other.array is not None and not axes:
        return g.add("Clip", x, min=-HIGHEST, max=_number(g, other))
    negated = changed(g, _full(g, other, x), lambda a: -a, scale=-1.0)
    return powered(g, g.add("Eltwise", powered(g, x, scale=-1.0), negated, operation="max"), scale=-1.0)


COMBINE = {
    "Add": add, "Sub": _subtract, "Mul": _multiply, "Div": _divide, "Pow": _raise, "Min": _minimum, "Max": _maximum,
    "Sum": add, "Mean": add,
}  # fmt: skip


def _plus(g: Graph, x: Value, other: Value, axes: Sequence[int]) -> Value:
    """x + other, which has these axes of x."""
    if other.array is not None and not axes:
        return powered(g, x, shift=_number(g, other))
    if _alike(x, other):
        return g.add("Eltwise", x, other, operation="sum")
    return _along(g, x, other, axes, "Bias")


def _times(g: Graph, x: Value, other: Value, axes: Sequence[int]) -> Value:
    """x * other, which has these axes of x."""
    if other.array is not None and not axes:
        return powered(g, x, scale=_number(g, other))
    if _alike(x, other):
        return g.add("Eltwise", x, other, operation="prod")
    return _along(g, x, other, axes, "Scale")


def _along(g: Graph, x: Value, other: Value, axes: Sequence[int], kind: str) -> Value:
    """A Scale or Bias layer of x by an operand that has these axes of x."""
    if not axes:  # one number that is computed when the net runs
        return g.add(kind, x, reshaped(g, other, []), axis=0)
    axes = list(axes)
    block = [x.shape[a] for a in range(axes[0], axes[-1] + 1)]
    if other.array is not None and not any(isinstance(s, Dim) for s in block):
        numbers = as_stored(g.numbers(other))
        numbers = numbers.reshape((1,) * (x.rank - numbers.ndim) + numbers.shape)
        numbers = numbers.reshape(numbers.shape[axes[0] : axes[-1] + 1])
        return g.add(kind, x, _spread(g, numbers, block), axis=axes[0])
    core = reshaped_value(g, other, [x.shape[a] for a in axes])
    if len(axes) == len(block):
        return g.add(kind, x, core, axis=axes[0])
    order = axes + [a for a in range(x.rank) if a not in axes]  # bring its axes side by side
    return permuted(g, g.add(kind, permuted(g, x, order), core, axis=0), inverse(order))


def _span(shape: Sequence[int], other: Sequence[int]) -> list[int] | None:
    """The axes of `shape` that `other` has too when it is broadcast over it; None if it does not fit."""
    if len(other) > len(shape):
        return None
    shift = len(shape) - len(other)
    axes = [shift + i for i, s in enumerate(other) if not is_one(s)]
    fits = all(int(other[a - shift]) == int(shape[a]) and not is_one(shape[a]) for a in axes)
    return axes if fits else None


def _alike(a: Value, b: Value) -> bool:
    """True if both are computed and of one shape."""
    return a.array is None and b.array is None and tuple(map(str, a.shape)) == tuple(map(str, b.shape))


def powered(g: Graph, x: Value, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> Value:
    """(shift + scale * x) ** power; x itself where that is the same."""
    if (power, scale, shift) == (1.0, 1.0, 0.0):
        return x
    return g.add("Power", x, power=power, scale=scale, shift=shift)


def changed(g: Graph, x: Value, change: Callable[[np.ndarray], np.ndarray], **power: float) -> Value:
    """A constant with its numbers changed, or a tensor with the Power layer that does the same."""
    if x.array is None:
        return powered(g, x, **power)
    g.claim(4 * x.array.size)
    with np.errstate(all="ignore"):
        array = np.asarray(change(as_stored(g.numbers(x))))
    return Value(g.fresh(f"{x.name}/changed"), array.shape, array=array)


def _number(g: Graph, value: Value) -> float:
    return float(g.numbers(value).item())


def _full(g: Graph, other: Value, x: Value) -> Value:
    """`other` in x's shape, for layers that do not broadcast."""
    if other.array is None:
        if not _alike(x, other):
            raise Unsupported(f"cannot broadcast {_text(other.shape)} to {_text(x.shape)} here")
        return other
    if any(isinstance(s, Dim) for s in x.shape):
        raise Unsupported(
            f"a constant {list(other.shape)} needs an input of fixed size, not {_text(x.shape)}"
        )
    array = _spread(g, as_stored(g.numbers(other)), x.shape)
    return Value(g.fresh(f"{other.name}/full"), array.shape, array=array)


def _spread(g: Graph, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A constant repeated to a shape."""
    if array.shape == tuple(shape):
        return array
    g.claim(4 * prod(map(int, shape)))
    return np.ascontiguousarray(np.broadcast_to(array, tuple(int(s) for s in shape)))


def _text(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"
