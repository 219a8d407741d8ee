"""Operators that move numbers and leave them alone: reshape, transpose, cut, join."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...engine.tensor import Dim
from .fold import axes_of, parts_of, ranges_of, split_of
from .graph import Graph, Node, Unsupported, Value, is_one, operator, same_size

END = 2**31 - 1  # exporters write this, or more, for 'to the end'


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
            raise Unsupported(f"cannot reshape {_text(old)} to {_text(target)}")
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
    return tuple(
        g.numbers(Value("shape", given.shape, array=given), "the shape").tolist() if changing else sizes
    )


def _text(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"


@operator("Reshape")
def reshape(g: Graph, node: Node, x: Value, shape: Value | None = None) -> Value:
    if shape is None:
        target = list(node.get("shape", ()))
    elif shape.array is None:
        raise Unsupported(f"its shape {shape.name!r} is computed when the net runs")
    else:
        target = shape.array.tolist()
    if not node.get("allowzero", 0):
        target = [x.shape[i] if not isinstance(s, Dim) and s == 0 else s for i, s in enumerate(target)]
    return reshaped(g, x, target)


@operator("Flatten")
def flatten(g: Graph, node: Node, x: Value) -> Value:
    axis = node.get("axis", 1)
    axis += x.rank if axis < 0 else 0
    if axis == 0:
        return reshaped(g, x, [1, -1])
    front = x if axis == 1 else g.add("Flatten", x, axis=0, end_axis=axis - 1)
    if axis == x.rank:
        return reshaped(g, front, [*front.shape, 1])
    return front if front.rank == 2 else g.add("Flatten", front, axis=1)


@operator("Squeeze")
def squeeze(g: Graph, node: Node, x: Value, axes: Value | None = None) -> Value:
    named = axes_of(node, None if axes is None else g.numbers(axes, "the axes"))
    gone = [i for i, s in enumerate(x.shape) if is_one(s)] if named is None else [a % x.rank for a in named]
    if not all(is_one(x.shape[a]) for a in gone):
        raise Unsupported(f"cannot squeeze axes {gone} of {_text(x.shape)}")
    return reshaped(g, x, [s for i, s in enumerate(x.shape) if i not in gone])


@operator("Unsqueeze")
def unsqueeze(g: Graph, node: Node, x: Value, axes: Value | None = None) -> Value:
    named = axes_of(node, None if axes is None else g.numbers(axes, "the axes")) or []
    rank = x.rank + len(named)
    added, rest = {a % rank for a in named}, iter(x.shape)
    if len(added) != len(named):
        raise Unsupported(f"inserts an axis twice: {named}")
    return reshaped(g, x, [1 if i in added else next(rest) for i in range(rank)])


@operator("Transpose")
def transpose(g: Graph, node: Node, x: Value) -> Value:
    return permuted(g, x, node.get("perm") or range(x.rank)[::-1])


@operator("Identity", "Dropout")
def identity(
    g: Graph, node: Node, x: Value, ratio: Value | None = None, training: Value | None = None
) -> Value | list[Value]:
    if training is not None and g.numbers(training, "training_mode").any():
        raise Unsupported("training_mode is on: export the net for inference")
    if len(node.outputs) > 1 and (g.consumers.get(node.outputs[1]) or node.outputs[1] in g.outputs):
        return [x, g.add("Compare", x, x, operation="equal")]  # the mask: nothing is dropped
    return x


@operator("Concat")
def concat(g: Graph, node: Node, *xs: Value) -> Value:
    if len(xs) == 1:
        return xs[0]
    return g.add("Concat", *xs, axis=node.get("axis", 1) % xs[0].rank)


@operator("Split")
def split(g: Graph, node: Node, x: Value, lengths: Value | None = None) -> list[Value]:
    axis = node.get("axis", 0) % x.rank
    named = split_of(node, None if lengths is None else g.numbers(lengths, "the lengths"))
    count = len(node.outputs)
    if count == 1:
        return [x]
    if isinstance(x.shape[axis], Dim) and named is None:
        return g.add("Slice", x, outputs=count, axis=axis)
    parts = parts_of(int(x.shape[axis]), named, count)
    points = np.cumsum(parts)[:-1].tolist()
    if 0 in parts:
        return [
            g.add("StridedSlice", x, starts=[end - part], ends=[end], axes=[axis])
            for part, end in zip(parts, [*points, int(x.shape[axis])], strict=True)
        ]
    return g.add("Slice", x, outputs=count, axis=axis, points=points)


@operator("Slice")
def cut(g: Graph, node: Node, x: Value, *inputs: Value | None) -> Value:
    """An end that is a size of x, or beyond it, is x's end whatever its size."""
    given: list[Value | None] = [*inputs, *[None] * (4 - len(inputs))]
    starts, ends, axes, steps = given
    arrays = [None if i is None else g.numbers(i, "where to cut") for i in (starts, axes, steps)]
    stops = None
    if ends is not None and ends.array is not None and ends.array.dtype == object:
        named = axes_of(node, arrays[1]) or range(ends.array.size)
        sizes = [x.shape[a] for a in named]
        whole = [END if same_size(e, s) else e for e, s in zip(ends.array.reshape(-1), sizes, strict=True)]
        ends = Value(ends.name, ends.shape, array=np.array([*whole, None], object)[:-1])
    if ends is not None:
        stops = g.numbers(ends, "where to cut")
    ranges = ranges_of(node, x.rank, arrays[0], stops, *arrays[1:])
    kept = [(a, b, e, s) for a, b, e, s in ranges if not (b == 0 and e >= END and s == 1)]
    if not kept:
        return x
    over, *limits = zip(*kept, strict=True)
    first, end, step = ([max(-END - 1, min(END, n)) for n in limit] for limit in limits)
    return g.add("StridedSlice", x, axes=over, starts=first, ends=end, steps=step)
