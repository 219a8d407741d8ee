"""Operators that move numbers and leave them alone: reshape, transpose, cut, join."""

from __future__ import annotations

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..shape import permuted, reshaped, text_of
from ..value import Node, Unsupported, Value, is_one, same_size
from .fold import axes_of, parts_of, ranges_of, split_of
from .graph import operator

END = 2**31 - 1  # exporters write this, or more, for 'to the end'


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
        raise Unsupported(f"cannot squeeze axes {gone} of {text_of(x.shape)}")
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
        ends = Value.of(ends.name, np.array([*whole, None], object)[:-1])
    if ends is not None:
        stops = g.numbers(ends, "where to cut")
    ranges = ranges_of(node, x.rank, arrays[0], stops, *arrays[1:])
    kept = [(a, b, e, s) for a, b, e, s in ranges if not (b == 0 and e >= END and s == 1)]
    if not kept:
        return x
    over, *limits = zip(*kept, strict=True)
    first, end, step = ([max(-END - 1, min(END, n)) for n in limit] for limit in limits)
    return g.add("StridedSlice", x, axes=over, starts=first, ends=end, steps=step)
