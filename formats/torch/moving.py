"""Operators that move numbers and leave them alone: view, transpose, cut, join, gather."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..shape import permuted, reshaped, reshaped_value
from ..value import Node, Unsupported, Value, same_size
from .graph import TorchGraph
from .table import operator
from .view import View, permuted_view, plain, reshaped_view, selected, view_of

END = 2**31 - 1  # 'to the end'


@operator("view", "reshape", "_unsafe_view", "unflatten", "squeeze", "unsqueeze", "flatten", views=True)
def view(g: TorchGraph, node: Node, x: Value, *given: Any) -> Value:
    """torch has worked out what -1 stands for, and what is squeezed: the shape of the result says it all."""
    shape = g.sizes.shape(node.source.meta["val"].shape)
    seen = view_of(g, x)
    found = None if seen is None else reshaped_view(g, seen, [g.sizes.expression(s) for s in shape])
    return reshaped(g, plain(g, x), shape) if found is None else found


@operator("permute", views=True)
def permute(g: TorchGraph, node: Node, x: Value, order: Sequence[int]) -> Value:
    return _turned(g, x, [a % x.rank for a in order])


@operator("transpose", "swapaxes", "swapdims", views=True)
def transpose(g: TorchGraph, node: Node, x: Value, a: int, b: int) -> Value:
    order = list(range(x.rank))
    order[a % x.rank], order[b % x.rank] = b % x.rank, a % x.rank
    return _turned(g, x, order)


def _turned(g: TorchGraph, x: Value, order: Sequence[int]) -> Value:
    seen = view_of(g, x)
    return permuted(g, x, order) if seen is None else permuted_view(g, seen, order)


@operator("t", "numpy_T", "mT", views=True)
def turned(g: TorchGraph, node: Node, x: Value) -> Value:
    return x if x.rank < 2 else _turned(g, x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


@operator("dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous", "detach", "alias", "lift_fresh_copy",
          "lift_fresh", broadcasts=True, views=True)  # fmt: skip
def same(g: TorchGraph, node: Node, x: Value, *given: Any, **named: Any) -> Value:
    """How numbers lie in memory is not the net's business."""
    return x


@operator("expand", "broadcast_to", "expand_as", broadcasts=True)
def expand(g: TorchGraph, node: Node, x: Value, *given: Any, **named: Any) -> Value:
    """Nothing is repeated yet: what broadcasts does not need it, and others ask for it. New axes come in front."""
    rank = len(node.source.meta["val"].shape)
    if rank == x.rank:
        return x
    if x.array is not None:
        array = x.array.reshape((1,) * (rank - x.rank) + x.array.shape)
        return Value.of(g.fresh(f"{x.name}/expanded"), array)
    return reshaped(g, x, (1,) * (rank - x.rank) + tuple(x.shape))


@operator("repeat")
def repeat(g: TorchGraph, node: Node, x: Value, repeats: Sequence[int]) -> Value:
    counts = [g.number(r) for r in repeats]
    if len(counts) > x.rank:
        x = reshaped(g, x, (1,) * (len(counts) - x.rank) + tuple(x.shape))
    return x if all(r == 1 for r in counts) else g.add("Tile", x, repeats=counts)


@operator("cat", broadcasts=True)
def cat(g: TorchGraph, node: Node, xs: Sequence[Value], axis: int = 0) -> Value:
    parts = [x for x in xs if x.shape != (0,)]  # torch skips an empty vector
    if len(parts) == 1:
        return parts[0]
    shape = g.sizes.shape(node.source.meta["val"].shape)
    axis %= len(shape)
    torch_shapes = [
        g.sizes.shape(s.meta["val"].shape) for s in node.source.args[0] if s.meta["val"].shape != (0,)
    ]
    if any(
        x.array is not None and not _is_same_shape(x.shape, s)
        for x, s in zip(parts, torch_shapes, strict=True)
    ):
        return _framed(g, parts, torch_shapes, axis)
    whole = [g.full(x, s) for x, s in zip(parts, torch_shapes, strict=True)]
    return g.add("Concat", *whole, axis=axis)


def _framed(g: TorchGraph, parts: Sequence[Value], shapes: Sequence[Sequence[int]], axis: int) -> Value:
    """Constants beside one computed tensor, as in a class token: it gets a frame of 0 and the constants are added.

    So they need not be repeated for a batch whose size is not known yet.
    """
    computed = [i for i, x in enumerate(parts) if x.array is None]
    if len(computed) != 1:
        raise g.sizes.fixing([s for shape in shapes for s in shape])
    middle = computed[0]
    sizes = [g.number(s[axis]) for s in shapes]
    x = g.full(parts[middle], shapes[middle])
    ends = [(0, 0)] * x.rank
    ends[axis] = (sum(sizes[:middle]), sum(sizes[middle + 1 :]))
    pads = [b for b, _ in ends[axis:]] + [a for _, a in ends[axis:]]
    framed = g.add("Pad", x, pads=pads if axis < x.rank - 1 else [0, pads[0], 0, pads[1]])
    blocks = [
        np.zeros([1] * axis + [size] + [1] * (x.rank - 1 - axis), np.float32) if p.array is None else p.array
        for p, size in zip(parts, sizes, strict=True)
    ]
    rest = np.broadcast_shapes(*((*b.shape[:axis], 1, *b.shape[axis + 1 :]) for b in blocks))
    wide = [np.broadcast_to(b, (*rest[:axis], b.shape[axis], *rest[axis + 1 :])) for b in blocks]
    numbers = np.concatenate(wide, axis)
    first = next((a for a, s in enumerate(numbers.shape) if s != 1), axis)
    if all(s == int(w) for s, w in zip(numbers.shape[first:], framed.shape[first:], strict=True)):
        return g.add("Bias", framed, np.ascontiguousarray(numbers.reshape(numbers.shape[first:])), axis=first)
    return g.add("Binary", framed, g.constant(numbers, framed), operation="add")


@operator("stack")
def stack(g: TorchGraph, node: Node, xs: Sequence[Value], axis: int = 0) -> Value:
    axis %= xs[0].rank + 1
    wide = [reshaped(g, x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in xs]
    return g.add("Concat", *wide, axis=axis)


@operator("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "tensor_split")
def split(g: TorchGraph, node: Node, x: Value, *given: Any) -> list[Value]:
    """Where to cut is in the shapes of the results."""
    shapes = [g.sizes.shape(m.shape) for m in node.source.meta["val"]]
    (axis,) = {a for s in shapes for a in range(x.rank) if not same_size(s[a], x.shape[a])} or {0}
    if len(shapes) == 1:
        return [x]
    if isinstance(x.shape[axis], Dim) and len({str(s[axis]) for s in shapes}) == 1:
        return g.add("Slice", x, outputs=len(shapes), axis=axis)
    points = np.cumsum([g.number(s[axis]) for s in shapes])[:-1].tolist()
    return g.add("Slice", x, outputs=len(shapes), axis=axis, points=points)


@operator("unbind", views=True)
def unbind(g: TorchGraph, node: Node, x: Value, axis: int = 0) -> list[Value]:
    axis %= x.rank
    count = g.number(x.shape[axis])
    seen = view_of(g, x)
    found = [] if seen is None else [selected(g, seen, axis, i) for i in range(count)]
    if found and None not in found:
        return [part for part in found if part is not None]
    x = plain(g, x)
    parts = [x] if count == 1 else g.add("Slice", x, outputs=count, axis=axis)
    return [reshaped(g, p, (*p.shape[:axis], *p.shape[axis + 1 :])) for p in parts]


@operator("select", views=True)
def select(g: TorchGraph, node: Node, x: Value, axis: int, index: int) -> Value:
    axis %= x.rank
    if isinstance(x, View):
        found = selected(g, x, axis, g.number(index) % g.number(x.shape[axis]))
        if found is not None:
            return found
        x = plain(g, x)
    part = _cut(g, x, axis, index, index + 1 if index != -1 else END)
    return reshaped(g, part, (*x.shape[:axis], *x.shape[axis + 1 :]))


@operator("slice", "slice_copy")
def cut(
    g: TorchGraph, node: Node, x: Value, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:  # fmt: skip
    return _cut(g, x, axis % x.rank, 0 if start is None else start, END if end is None else end, step)


def _cut(g: TorchGraph, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    """x[start:end:step] along an axis: a Slice, whose parts lie in x, where that can be."""
    size = x.shape[axis]
    if isinstance(end, Dim) and same_size(end, size):
        end = END
    start, end, step = g.number(start), min(g.number(end), END), g.number(step)
    low, high, _ = slice(start, end).indices(int(size))
    if step == 1 and (not isinstance(size, Dim) or (start == 0 and end == END)):
        if (low, high) == (0, int(size)):
            return x
        points = [p for p in (low, high) if 0 < p < size]
        if points and high > low:
            parts = g.add("Slice", x, outputs=len(points) + 1, axis=axis, points=points)
            return parts[1 if low else 0]
    return g.add("StridedSlice", x, starts=(start,), ends=(end,), axes=(axis,), steps=(step,))


@operator("slice_scatter")
def slice_scatter(
    g: TorchGraph, node: Node, x: Value, part: Value, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Value:  # fmt: skip
    """x with `part` in the place of x[start:end]: what is before, the part, and what is behind."""
    axis %= x.rank
    if step != 1:
        raise Unsupported(f"writes in steps of {step}: a range is supported")
    size = g.number(x.shape[axis])
    low, high, _ = slice(start, None if end is None else min(g.number(end), END)).indices(size)
    pieces = [_cut(g, x, axis, 0, low)] if low else []
    pieces += [part] + ([_cut(g, x, axis, high, size)] if high < size else [])
    return part if len(pieces) == 1 else g.add("Concat", *pieces, axis=axis)


@operator("select_scatter")
def select_scatter(g: TorchGraph, node: Node, x: Value, part: Value, axis: int, index: int) -> Value:
    axis %= x.rank
    place = g.number(index) % g.number(x.shape[axis])
    thin = reshaped_value(g, part, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return slice_scatter(g, node, x, thin, axis, place, place + 1)


@operator("copy", broadcasts=True)
def copy(g: TorchGraph, node: Node, x: Value, source: Value, non_blocking: bool = False) -> Value:
    """What is written over x: its numbers are the source's."""
    return expand(g, node, source)


@operator("narrow")
def narrow(g: TorchGraph, node: Node, x: Value, axis: int, start: int, length: int) -> Value:
    first = g.number(start)
    return _cut(g, x, axis % x.rank, first, first + g.number(length))


@operator("flip")
def flip(g: TorchGraph, node: Node, x: Value, axes: Sequence[int]) -> Value:
    named = [a % x.rank for a in axes]
    count = len(named)
    return g.add("StridedSlice", x, starts=[-1] * count, ends=[-END] * count, axes=named, steps=[-1] * count)


@operator("roll")
def roll(g: TorchGraph, node: Node, x: Value, shifts: Sequence[int], axes: Sequence[int] = ()) -> Value:
    """What falls off one end comes in at the other: two parts change places."""
    if not axes:
        raise Unsupported("rolls a tensor as if it were flat; along named axes is supported")
    for shift, axis in zip(shifts, axes, strict=True):
        axis %= x.rank
        size = g.number(x.shape[axis])
        point = -g.number(shift) % size
        if point:
            first, second = g.add("Slice", x, outputs=2, axis=axis, points=[point])
            x = g.add("Concat", second, first, axis=axis)
    return x


@operator("index_select")
def index_select(g: TorchGraph, node: Node, x: Value, axis: int, indices: Value) -> Value:
    return g.add("Gather", x, indices, axis=axis % x.rank)


@operator("gather")
def gather(
    g: TorchGraph, node: Node, x: Value, axis: int, indices: Value, sparse_grad: bool = False
) -> Value:
    return g.add("GatherElements", x, indices, axis=axis % x.rank)


@operator("embedding")
def embedding(g: TorchGraph, node: Node, table: Value, indices: Value, *given: Any) -> Value:
    return g.add("Gather", table, indices, axis=0)


@operator("index")
def index(g: TorchGraph, node: Node, x: Value, indices: Sequence[Value | None]) -> Value:
    """x[:, i]: one axis by a tensor of whole numbers."""
    named = [(axis, i) for axis, i in enumerate(indices) if i is not None]
    if len(named) != 1 or _is_mask(named[0][1]):
        raise Unsupported(
            "indexes by a mask, or by several tensors; by one tensor of whole numbers is supported"
        )
    axis, places = named[0]
    if places.array is not None:
        array = np.where(places.array < 0, places.array + int(g.number(x.shape[axis])), places.array)
        places = Value.of(g.fresh(f"{places.name}/places"), array)
    return g.add("Gather", x, places, axis=axis)


def _is_mask(value: Value) -> bool:
    return value.spec.dtype.name == "bool"


@operator("tril", "triu")
def triangle(g: TorchGraph, node: Node, x: Value, k: int = 0) -> Value:
    return g.add("Trilu", x, k=k, upper=node.type == "triu")


@operator("movedim", "moveaxis", views=True)
def movedim(g: TorchGraph, node: Node, x: Value, sources: Any, places: Any) -> Value:
    given = [sources] if isinstance(sources, int) else sources
    wanted = [places] if isinstance(places, int) else places
    moved = {w % x.rank: s % x.rank for s, w in zip(given, wanted, strict=True)}
    rest = iter(a for a in range(x.rank) if a not in moved.values())
    return _turned(g, x, [moved[i] if i in moved else next(rest) for i in range(x.rank)])


def _is_same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are the same whenever the net runs."""
    return list(map(str, a)) == list(map(str, b))
