"""A tensor in another shape or order, in as few layers as that takes; what importers share."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..engine.tensor import Dim
from .graph import Graph
from .value import Unsupported, Value, same_size


def permuted(g: Graph, x: Value, order: Sequence[int]) -> Value:
    """x with axis order[i] at place i; x itself if that is where it is."""
    return x if list(order) == list(range(x.rank)) else g.add("Permute", x, order=tuple(order))


def inverse(order: Sequence[int]) -> list[int]:
    """The order that undoes `order`."""
    return [list(order).index(axis) for axis in range(len(order))]


def reshaped(g: Graph, x: Value, target: Sequence[int]) -> Value:
    """x in another shape; -1 for the size that is left over.

    Leading and trailing sizes that stay are left out of the layer, so that they may change later: what a file
    writes as (1,58,28,28) -> (1,2,29,28,28) becomes 'axis 1 in two', for any batch, height and width.
    """
    old, new = list(x.shape), list(target)
    free = next((i for i, s in enumerate(new) if not isinstance(s, Dim) and s == -1), None)
    if free is not None:
        new[free] = _left_over(old, new)
    lead = _common(old, new)
    tail = _common(old[lead:][::-1], new[lead:][::-1])
    inner = new[lead : len(new) - tail]
    span = len(old) - tail - lead  # this many axes of x, from `lead` on, become `inner`
    if not inner and not span:
        return x
    if not new:
        return g.add("Reshape", x, shape=())
    if not inner:  # only ones go: they join a neighbour
        lead, span, inner = (lead - 1, span + 1, old[lead - 1 : lead]) if lead else (0, span + 1, [-1])
    elif free is not None and lead <= free < lead + len(inner) and span:
        inner[free - lead] = -1
    if len(inner) == 1 and span > 1:
        if inner[0] != -1 and prod(map(int, old[lead : lead + span])) != int(inner[0]):
            raise Unsupported(f"cannot reshape {text_of(old)} to {text_of(target)}")
        return g.add("Flatten", x, axis=lead, end_axis=lead + span - 1)
    return g.add("Reshape", x, shape=_sizes(g, inner), axis=lead, num_axes=span)


def _left_over(old: Sequence[int], new: Sequence[int]) -> int:
    """What -1 in `new` stands for, if that can be said now: a number, or the one size that may change; else -1."""
    changing = [s for s in old if isinstance(s, Dim)]
    rest = [s for s in new if isinstance(s, Dim) or s != -1]
    for s in rest:
        if isinstance(s, Dim):
            match = next((c for c in changing if same_size(c, s)), None)
            if match is None:
                return -1
            changing.remove(match)
    have = prod(s for s in old if not isinstance(s, Dim))
    need = prod(s for s in rest if not isinstance(s, Dim))
    if not changing and need and have % need == 0:
        return have // need
    return changing[0] if len(changing) == 1 and have == need else -1


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first sizes are the same in both."""
    pairs = zip(a, b, strict=False)
    return next((i for i, (p, q) in enumerate(pairs) if not same_size(p, q)), min(len(a), len(b)))


def _sizes(g: Graph, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes for a Reshape layer: at most one of them is symbolic, and it is what is left over."""
    changing = [i for i, s in enumerate(sizes) if isinstance(s, Dim)]
    if changing and not any(not isinstance(s, Dim) and s == -1 for s in sizes):
        sizes = [-1 if i == changing[0] else s for i, s in enumerate(sizes)]
        changing = changing[1:]
    given = np.array([*sizes, None], object)[:-1]
    return tuple(g.numbers(Value.of("shape", given), "the shape").tolist() if changing else sizes)


def text_of(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"


def reshaped_value(g: Graph, x: Value, shape: Sequence[int]) -> Value:
    """A tensor or a constant in another shape."""
    if x.array is None:
        return reshaped(g, x, shape)
    array = g.numbers(x).reshape(tuple(map(int, shape)))
    return Value.of(g.fresh(f"{x.name}/reshaped"), array)
