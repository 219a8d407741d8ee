"""Operands combined element by element, and what broadcasting becomes in layers; what importers share.

Any two operands are a Binary or a Compare layer. What convolutional networks do in fp32 has layers that are faster, or
that can be fused with their neighbours. Same shapes are an Eltwise layer. A constant number is a Power or a Clip; a
vector along one axis (or a block along several that are neighbours) is a Scale or a Bias. This holds for computed
vectors too: the gate of a squeeze-and-excitation block, (N,C,1,1) times (N,C,H,W), is a Scale by (N,C) from axis 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ..engine.tensor import Dim
from .graph import Graph
from .shape import inverse, permuted, reshaped, reshaped_value
from .value import Value, as_stored, dtype_name, is_floating, is_one, same_size

HIGHEST = float(np.finfo(np.float32).max)


def two(
    g: Graph, operation: str, a: Value | np.ndarray, b: Value | np.ndarray, kind: str = "Binary"
) -> Value:
    """The layer of any two operands that can be broadcast."""
    return g.add(kind, a, b, operation=operation)


def binary(g: Graph, operation: str, a: Value, b: Value) -> Value:
    """a combined with b: by the layer that knows channels if there is one, else by Binary."""
    if operation == "pow" and dtype_name(a) != dtype_name(b):
        return _mixed_power(g, a, b)
    if operation not in CHANNELWISE or not is_floating(a, b) or (a.array is not None and b.array is not None):
        return two(g, operation, a, b)
    swapped = a.array is not None or span(a.shape, b.shape) is None
    wide, other = (b, a) if swapped else (a, b)
    axes = span(wide.shape, other.shape)
    if axes is not None and other.array is None and other.rank < wide.rank:
        other = reshaped_value(g, other, [*[1] * (wide.rank - other.rank), *other.shape])
    if axes and other.array is None and is_one(other.shape[0]) and is_one(wide.shape[0]):
        axes = [0, *axes]  # both have the batch, which is 1 in this file but may be another
    made = None if axes is None else CHANNELWISE[operation](g, wide, other, axes, swapped)
    return two(g, operation, a, b) if made is None else made


def _mixed_power(g: Graph, a: Value, b: Value) -> Value:
    """A power whose exponent is of another dtype: computed in fp32 if either is, and in a's dtype in the end."""
    if is_floating(a):
        return binary(g, "pow", a, g.add("Cast", b, to="fp32"))
    to = dtype_name(a)
    if not is_floating(b):
        return two(g, "pow", a, g.add("Cast", b, to=to))
    return g.add("Cast", two(g, "pow", g.add("Cast", a, to="fp32"), b), to=to)


# Each takes the wider operand, the other, the axes of the wider that the other has, and whether they changed places.
# None: no layer does this better than Binary.


def _add(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    return _plus(g, x, other, axes)


def _subtract(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    if alike(x, other):
        return g.add("Eltwise", x, other, operation="sum", coeff=(-1.0, 1.0) if swapped else (1.0, -1.0))
    if swapped:
        return _plus(g, powered(g, x, scale=-1.0), other, axes)
    return _plus(g, x, changed(g, other, lambda a: -a, scale=-1.0), axes)


def _multiply(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    return _times(g, x, other, axes)


def _divide(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    if other.array is None:
        return None
    if swapped:
        return _times(g, powered(g, x, power=-1.0), other, axes)
    return _times(g, x, changed(g, other, lambda a: 1 / a, power=-1.0), axes)


def _raise(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    if axes or swapped or other.array is None:
        return None
    return powered(g, x, power=_number(g, other))


def _maximum(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    if other.array is not None and not axes:
        least = _number(g, other)
        return g.add("Clip", x, min=least, max=HIGHEST) if least else g.add("ReLU", x)
    return g.add("Eltwise", x, other, operation="max") if alike(x, other) else None


def _minimum(g: Graph, x: Value, other: Value, axes: Sequence[int], swapped: bool) -> Value | None:
    if other.array is not None and not axes:
        return g.add("Clip", x, min=-HIGHEST, max=_number(g, other))
    return None


CHANNELWISE: dict[str, Callable] = {
    "add": _add, "sub": _subtract, "mul": _multiply, "div": _divide, "pow": _raise, "max": _maximum, "min": _minimum,
}  # fmt: skip


def _plus(g: Graph, x: Value, other: Value, axes: Sequence[int]) -> Value:
    """x + other, which has these axes of x."""
    if other.array is not None and not axes:
        return powered(g, x, shift=_number(g, other))
    if alike(x, other):
        return g.add("Eltwise", x, other, operation="sum")
    return _along(g, x, other, axes, "Bias")


def _times(g: Graph, x: Value, other: Value, axes: Sequence[int]) -> Value:
    """x * other, which has these axes of x."""
    if other.array is not None and not axes:
        return powered(g, x, scale=_number(g, other))
    if alike(x, other):
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
        return g.add(kind, x, spread(g, numbers, block), axis=axes[0])
    core = reshaped_value(g, other, [x.shape[a] for a in axes])
    if len(axes) == len(block):
        return g.add(kind, x, core, axis=axes[0])
    order = axes + [a for a in range(x.rank) if a not in axes]  # bring its axes side by side
    return permuted(g, g.add(kind, permuted(g, x, order), core, axis=0), inverse(order))


def span(shape: Sequence[int], other: Sequence[int]) -> list[int] | None:
    """The axes of `shape` that `other` has too when it is broadcast over it; None if it does not fit."""
    if len(other) > len(shape):
        return None
    shift = len(shape) - len(other)
    axes = [shift + i for i, s in enumerate(other) if not is_one(s)]
    fits = all(int(other[a - shift]) == int(shape[a]) and not is_one(shape[a]) for a in axes)
    return axes if fits else None


def alike(a: Value, b: Value) -> bool:
    """True if both are computed, in fp32, and of one shape. Sizes that came about in different ways, like H and twice
    its half, are one size if they are the same at the usual size of the image, and not 1."""
    if a.array is not None or b.array is not None or not is_floating(a, b) or a.rank != b.rank:
        return False
    return all(same_size(p, q) or int(p) == int(q) > 1 for p, q in zip(a.shape, b.shape, strict=True))


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
    return Value.of(g.fresh(f"{x.name}/changed"), array)


def _number(g: Graph, value: Value) -> float:
    return float(g.numbers(value).item())


def spread(g: Graph, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A constant repeated to a shape."""
    if array.shape == tuple(shape):
        return array
    g.claim(4 * prod(map(int, shape)))
    return np.ascontiguousarray(np.broadcast_to(array, tuple(int(s) for s in shape)))


FORBIDDEN = -1e30  # added to a score that must not count: finite, and its exponential is 0


def added_mask(g: Graph, mask: Value) -> Value:
    """A mask of attention as what is added to the scores: of truths 0 where a key counts, else far below 0."""
    if mask.array is None:
        if dtype_name(mask) == "bool":
            return g.add("Where", mask, np.zeros((), np.float32), np.full((), FORBIDDEN, np.float32))
        return mask
    numbers = g.numbers(mask, "its mask")
    if numbers.dtype == bool:
        numbers = np.where(numbers, np.float32(0), np.float32(FORBIDDEN))
    array = np.maximum(as_stored(numbers), np.float32(FORBIDDEN))
    return Value.of(g.fresh(f"{mask.name}/added"), array)
