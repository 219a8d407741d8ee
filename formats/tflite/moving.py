"""Operators that move numbers and leave them alone: reshape, transpose, cut, join, pad."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..value import Node, Unsupported, Value
from .graph import TFLiteGraph, activated, operator

CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def permuted(g: TFLiteGraph, x: Value, order: Sequence[int]) -> Value:
    """x with axis order[i] at place i; x itself if that is where it is."""
    if order and order[0] != 0:
        g.mixes(x, 0)
    return x if list(order) == list(range(x.rank)) else g.add("Permute", x, order=tuple(order))


def turned(g: TFLiteGraph, x: Value) -> Value:
    """An image (N,H,W,C) of the file as (N,C,H,W)."""
    return permuted(g, x, CHANNELS_FIRST)


def unturned(g: TFLiteGraph, x: Value) -> Value:
    """(N,C,H,W) as the file has its images."""
    return permuted(g, x, CHANNELS_LAST)


def reshaped(g: TFLiteGraph, x: Value, target: Sequence[int]) -> Value:
    """x in another shape; -1 for the size that is left over.

    Leading and trailing sizes that stay are left out of the layer, and the first of the others is what is left over:
    so (1,16,16,2) -> (1,512,1) is 'H, W, C as some, 1', whatever the batch and the image's size.
    """
    old, new = list(x.shape), [int(s) for s in target]
    free = [i for i, s in enumerate(new) if s == -1]
    given = prod(s for s in new if s != -1)
    if len(free) > 1 or any(s < -1 for s in new):
        raise Unsupported(f"the shape {new} is none")
    if free and (given == 0 or prod(old) % given):
        raise Unsupported(f"cannot reshape {old} to {new}")
    new = [prod(old) // given if s == -1 else s for s in new]
    if prod(new) != prod(old):
        raise Unsupported(f"cannot reshape {old} to {new}")
    if old == new:
        return x
    lead = _common(old, new)
    tail = _common(old[lead:][::-1], new[lead:][::-1])
    if lead == 0:
        g.mixes(x, 0)
    inner, span = new[lead : len(new) - tail], len(old) - tail - lead  # this many axes of x become `inner`
    if len(inner) == 1 and span > 1:
        return g.add("Flatten", x, axis=lead, end_axis=lead + span - 1)
    if inner and span and prod(inner[1:]):
        inner[0] = -1
    return g.add("Reshape", x, shape=inner, axis=lead, num_axes=span)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first sizes are the same in both."""
    pairs = zip(a, b, strict=False)
    return next((i for i, (p, q) in enumerate(pairs) if p != q), min(len(a), len(b)))


def axis_of(g: TFLiteGraph, x: Value, axis: int, rank: int | None = None) -> int:
    """An axis, which may count from the end, as one of x's, or of `rank` axes."""
    rank = x.rank if rank is None else rank
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} is not one of {x.spec}")
    return axis % rank


@operator("RESHAPE")
def reshape(g: TFLiteGraph, node: Node, x: Value, shape: Value | None = None) -> Value:
    """The shape is an input, or in old files an option."""
    if shape is None or (shape.array is not None and not shape.rank):
        return reshaped(g, x, node["new_shape"] or ())
    return reshaped(g, x, g.integers(shape, "the new sizes"))


@operator("SQUEEZE")
def squeeze(g: TFLiteGraph, node: Node, x: Value) -> Value:
    named = [axis_of(g, x, a) for a in node.get("squeeze_dims") or ()]
    gone = named or [a for a, s in enumerate(x.shape) if s == 1]
    if any(x.shape[a] != 1 for a in gone):
        raise Unsupported(f"cannot squeeze axes {gone} of {x.spec}")
    g.mixes(x, *gone)
    for axis in sorted(gone, reverse=True):  # one by one, so that each says that it is 1 and has to be
        x = reshaped(g, x, [*x.shape[:axis], *x.shape[axis + 1 :]])
    return x


@operator("EXPAND_DIMS")
def expand_dims(g: TFLiteGraph, node: Node, x: Value, axis: Value) -> Value:
    (at,) = g.integers(axis, "its axis")
    at = axis_of(g, x, at, x.rank + 1)
    g.mixes(x, at)
    return reshaped(g, x, [*x.shape[:at], 1, *x.shape[at:]])


@operator("TRANSPOSE")
def transpose(g: TFLiteGraph, node: Node, x: Value, order: Value) -> Value:
    return permuted(g, x, [axis_of(g, x, a) for a in g.integers(order, "its order")])


@operator("CONCATENATION")
def concatenation(g: TFLiteGraph, node: Node, *xs: Value) -> Value:
    axis = axis_of(g, xs[0], node["axis"])
    for x in xs:
        g.mixes(x, axis)
    return activated(g, node, g.add("Concat", *xs, axis=axis) if len(xs) > 1 else xs[0])


@operator("PACK")
def pack(g: TFLiteGraph, node: Node, *xs: Value) -> Value:
    axis = axis_of(g, xs[0], node["axis"], xs[0].rank + 1)
    for x in xs:
        g.mixes(x, axis)
    wide = [reshaped(g, x, [*x.shape[:axis], 1, *x.shape[axis:]]) for x in xs]
    return g.add("Concat", *wide, axis=axis) if len(wide) > 1 else wide[0]


@operator("UNPACK")
def unpack(g: TFLiteGraph, node: Node, x: Value) -> list[Value]:
    axis = axis_of(g, x, node["axis"])
    g.mixes(x, axis)
    parts = _cut(g, x, axis, [1] * len(node.outputs))
    return [reshaped(g, p, [*x.shape[:axis], *x.shape[axis + 1 :]]) for p in parts]


@operator("SPLIT")
def split(g: TFLiteGraph, node: Node, axis: Value, x: Value) -> list[Value]:
    (at,) = g.integers(axis, "its axis")
    at, count = axis_of(g, x, at), len(node.outputs)
    return _cut(g, x, at, [x.shape[at] // max(1, count)] * count)


@operator("SPLIT_V")
def split_v(g: TFLiteGraph, node: Node, x: Value, lengths: Value, axis: Value) -> list[Value]:
    (at,), parts = g.integers(axis, "its axis"), g.integers(lengths, "the lengths")
    at = axis_of(g, x, at)
    if parts.count(-1) == 1:
        parts[parts.index(-1)] = x.shape[at] - sum(parts) - 1
    return _cut(g, x, at, parts)


def _cut(g: TFLiteGraph, x: Value, axis: int, parts: Sequence[int]) -> list[Value]:
    g.mixes(x, axis)
    if sum(parts) != x.shape[axis] or min(parts, default=0) < 0:
        raise Unsupported(f"cannot cut {x.spec} along axis {axis} into {list(parts)}")
    if len(parts) == 1:
        return [x]
    return g.add("Slice", x, outputs=len(parts), axis=axis, points=np.cumsum(parts)[:-1].tolist())


@operator("SLICE")
def cut(g: TFLiteGraph, node: Node, x: Value, begin: Value, size: Value) -> Value:
    """A size of -1 is 'to the end'."""
    starts, sizes = g.integers(begin, "where to begin"), g.integers(size, "the sizes")
    if len(starts) != x.rank or len(sizes) != x.rank:
        raise Unsupported(f"cuts {starts}, {sizes} out of {x.spec}")
    ends = [x.shape[i] if n == -1 else s + n for i, (s, n) in enumerate(zip(starts, sizes, strict=True))]
    if any(not 0 <= s <= e <= x.shape[i] for i, (s, e) in enumerate(zip(starts, ends, strict=True))):
        raise Unsupported(f"cuts {starts} to {ends} out of {x.spec}")
    return strided(g, x, [(s, e, 1) for s, e in zip(starts, ends, strict=True)])


def strided(g: TFLiteGraph, x: Value, ranges: Sequence[tuple[int, int, int]]) -> Value:
    """x cut along its axes: (start, end, step) for each, normalised as range() takes them."""
    axes = [a for a, (s, e, step) in enumerate(ranges) if (s, e, step) != (0, x.shape[a], 1)]
    if not axes:
        return x
    g.mixes(x, *axes)
    if (
        len(axes) == 1
        and ranges[axes[0]][2] == 1
        and ranges[axes[0]][0] < ranges[axes[0]][1]
        and x.array is None
    ):
        (axis,) = axes  # one piece: a Slice is as good, and more readers know it
        points = [p for p in ranges[axis][:2] if 0 < p < x.shape[axis]]
        parts = g.add("Slice", x, outputs=len(points) + 1, axis=axis, points=points)
        return parts[1 if ranges[axis][0] else 0]
    starts, steps = [ranges[a][0] for a in axes], [ranges[a][2] for a in axes]
    ends = [ranges[a][1] if ranges[a][1] >= 0 else -x.shape[a] - 1 for a in axes]  # beyond the front
    return g.add("StridedSlice", x, starts=starts, ends=ends, axes=axes, steps=steps)


@operator("STRIDED_SLICE")
def strided_slice(g: TFLiteGraph, node: Node, x: Value, begin: Value, end: Value, strides: Value) -> Value:
    """numpy's x[begin:end:stride, ...]; a mask's bit i says something about the i-th of these."""
    begins, ends, steps = (g.integers(v, "where to cut") for v in (begin, end, strides))
    masks = {m: node[f"{m}_mask"] for m in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    if node.get("offset"):
        raise Unsupported("its ends count from its begins")
    if not len(begins) == len(ends) == len(steps) or 0 in steps:
        raise Unsupported(f"cuts {begins} to {ends} in steps of {steps}")
    named = sum(not masks["new_axis"] >> i & 1 and not masks["ellipsis"] >> i & 1 for i in range(len(begins)))
    ranges: list[tuple[int, int, int]] = []
    shape: list[int | None] = []  # of the result: None for an axis that is shrunk away
    for i, (b, e, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if masks["ellipsis"] >> i & 1:
            for size in x.shape[len(ranges) : len(ranges) + x.rank - named]:
                ranges.append((0, size, 1))
                shape.append(size)
            continue
        if masks["new_axis"] >> i & 1:
            shape.append(1)
            continue
        if len(ranges) == x.rank:
            raise Unsupported(f"cuts {len(begins)} axes of {x.spec}")
        size = x.shape[len(ranges)]
        if masks["shrink_axis"] >> i & 1:
            if not -size <= b < size:
                raise Unsupported(f"takes element {b} of axis {len(ranges)} of {x.spec}")
            ranges.append((b % size, b % size + 1, 1))
            continue
        cut = slice(None if masks["begin"] >> i & 1 else b, None if masks["end"] >> i & 1 else e, step)
        found = cut.indices(size)
        ranges.append(found)
        shape.append(len(range(*found)))
    rest = x.shape[len(ranges) :]
    ranges += [(0, size, 1) for size in rest]
    return reshaped(g, strided(g, x, ranges), [s for s in (*shape, *rest) if s is not None])


@operator("PAD", "PADV2", "MIRROR_PAD")
def pad(g: TFLiteGraph, node: Node, x: Value, pads: Value, value: Value | None = None) -> Value:
    numbers = g.numbers(pads, "its pads")
    if numbers.shape != (x.rank, 2) or numbers.dtype.kind not in "iu" or (numbers < 0).any():
        raise Unsupported(f"its pads are {pads.spec} but its input is {x.spec}")
    ends = [(int(before), int(after)) for before, after in numbers]
    if not any(map(any, ends)):
        return x
    if (
        x.rank == 4 and x.is_float
    ):  # as images are padded elsewhere, so that a convolution behind it can do it
        return unturned(g, _padded(g, node, turned(g, x), [ends[a] for a in CHANNELS_FIRST], value))
    return _padded(g, node, x, ends, value)


def _padded(
    g: TFLiteGraph, node: Node, x: Value, ends: Sequence[tuple[int, int]], value: Value | None
) -> Value:
    """x with so much before and after each axis."""
    first = next(a for a, e in enumerate(ends) if any(e))
    g.mixes(x, first)
    first = min(first, max(0, x.rank - 2))  # of an image both H and W are named
    given = [e[0] for e in ends[first:]] + [e[1] for e in ends[first:]]
    if node.type != "MIRROR_PAD":
        fill = 0.0 if value is None else float(g.numbers(value, "its value").item())
        return g.add("Pad", x, pads=given, value=fill)
    if node["mode"] == 0:
        if any(max(e) >= s for e, s in zip(ends, x.shape, strict=True) if max(e)):
            raise Unsupported(f"mirrors {ends} of {x.spec}: more than there is")
        return g.add("Pad", x, pads=given, mode="reflect")
    for axis, e in enumerate(ends):
        x = _symmetric(g, x, axis, e)
    return x


def _symmetric(g: TFLiteGraph, x: Value, axis: int, ends: tuple[int, int]) -> Value:
    """x with its first and last elements along an axis mirrored, themselves included."""
    before, after = ends
    if max(ends) > x.shape[axis]:
        raise Unsupported(f"mirrors {ends} of {x.spec}: more than there is")
    here = range(x.shape[axis])
    places = [*here[:before][::-1], *here, *here[::-1][:after]]
    if not any(ends):
        return x
    return g.add("Gather", x, np.array(places, np.int64), axis=axis)


@operator("GATHER")
def gather(g: TFLiteGraph, node: Node, x: Value, indices: Value) -> Value:
    axis = axis_of(g, x, node["axis"])
    if node["batch_dims"]:
        raise Unsupported(f"batch_dims={node['batch_dims']} is not supported")
    g.mixes(x, axis)
    return g.add("Gather", x, indices, axis=axis)


@operator("GATHER_ND")
def gather_nd(g: TFLiteGraph, node: Node, x: Value, indices: Value) -> Value:
    g.mixes(x, 0)
    return g.add("GatherND", x, indices)


@operator("TILE")
def tile(g: TFLiteGraph, node: Node, x: Value, repeats: Value) -> Value:
    times = g.integers(repeats, "its repeats")
    g.mixes(x, *(a for a, n in enumerate(times) if n != 1))
    return g.add("Tile", x, repeats=times)


@operator("BROADCAST_TO")
def broadcast_to(g: TFLiteGraph, node: Node, x: Value, shape: Value) -> Value:
    g.mixes(x, 0)
    return g.add("Expand", x, shape=g.integers(shape, "the new sizes"))


@operator("REVERSE_V2")
def reverse(g: TFLiteGraph, node: Node, x: Value, axes: Value) -> Value:
    named = [axis_of(g, x, a) for a in g.integers(axes, "its axes")]
    g.mixes(x, *named)
    ends = [-s - 1 for s in (x.shape[a] for a in named)]
    return g.add("StridedSlice", x, starts=[-1] * len(named), ends=ends, axes=named, steps=[-1] * len(named))


@operator("SPACE_TO_BATCH_ND")
def space_to_batch(g: TFLiteGraph, node: Node, x: Value, block: Value, pads: Value) -> Value:
    """H and W padded and cut into blocks; each place in a block is an image of its own."""
    (bh, bw), ends = _blocks(g, x, block, pads)
    (top, bottom), (left, right) = ends
    if any((top, bottom, left, right)):
        x = g.add("Pad", x, pads=(top, left, 0, bottom, right, 0))
    n, h, w, c = x.shape
    if h % bh or w % bw:
        raise Unsupported(f"blocks of {bh} x {bw} do not fill {x.spec}")
    cells = reshaped(g, x, [n, h // bh, bh, w // bw, bw, c])
    return reshaped(g, permuted(g, cells, (2, 4, 0, 1, 3, 5)), [bh * bw * n, h // bh, w // bw, c])


@operator("BATCH_TO_SPACE_ND")
def batch_to_space(g: TFLiteGraph, node: Node, x: Value, block: Value, crops: Value) -> Value:
    (bh, bw), ends = _blocks(g, x, block, crops)
    n, h, w, c = x.shape
    if n % (bh * bw):
        raise Unsupported(f"{x.spec} has no blocks of {bh} x {bw}")
    cells = reshaped(g, x, [bh, bw, n // (bh * bw), h, w, c])
    y = reshaped(g, permuted(g, cells, (2, 3, 0, 4, 1, 5)), [n // (bh * bw), h * bh, w * bw, c])
    (top, bottom), (left, right) = ends
    ranges = [(0, y.shape[0], 1), (top, y.shape[1] - bottom, 1), (left, y.shape[2] - right, 1), (0, c, 1)]
    if any(start >= end for start, end, _ in ranges):
        raise Unsupported(f"crops {ends} leave nothing of {y.spec}")
    return strided(g, y, ranges)


def _blocks(g: TFLiteGraph, x: Value, block: Value, ends: Value) -> tuple[list[int], list[list[int]]]:
    sizes, numbers = g.integers(block, "the block"), g.numbers(ends, "its pads")
    if x.rank != 4 or len(sizes) != 2 or numbers.shape != (2, 2) or min(sizes) < 1 or (numbers < 0).any():
        raise Unsupported(
            f"its input is {x.spec} and its blocks are {sizes}: images in blocks of two sizes are known"
        )
    g.mixes(x, 0)
    g.sizes_fixed = True
    return sizes, numbers.tolist()


@operator("SHAPE")
def shape(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """The sizes of the file: whoever uses those of an image makes a net for this size alone."""
    g.sizes_fixed = True
    return g.constant(np.array(x.shape, np.int64 if node.get("out_type") == 4 else np.int32))


@operator("RANK")
def rank(g: TFLiteGraph, node: Node, x: Value) -> Value:
    return g.constant(np.array(x.rank, np.int32))
