"""Operators that fetch numbers from places, put them to places, or repeat them."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..shape import reshaped
from ..value import Node, Unsupported, Value, as_stored, dtype_name, same_size
from .graph import DTYPES, operator


@operator("Gather")
def gather(g: Graph, node: Node, x: Value, indices: Value) -> Value:
    axis = node.get("axis", 0) % x.rank
    if indices.array is not None and x.array is None:
        places = g.numbers(indices, "its indices")
        if places.ndim <= 1 and _is_run(places):  # neighbours, in order: a cut, which costs less
            start = int(places.reshape(-1)[0])
            end = start + places.size
            taken = g.add("StridedSlice", x, starts=[start], ends=[end if end else 2**31 - 1], axes=[axis])
            if places.ndim:
                return taken
            return reshaped(g, taken, [s for a, s in enumerate(taken.shape) if a != axis])
    return g.add("Gather", x, _integers(g, indices), axis=axis)


def _is_run(places: np.ndarray) -> bool:
    """Whether these are neighbouring places, from first to last."""
    flat = places.reshape(-1)
    return (
        flat.size > 0
        and np.array_equal(flat, np.arange(flat[0], flat[0] + flat.size))
        and not flat[0] < 0 <= flat[-1]
    )


@operator("GatherElements")
def gather_elements(g: Graph, node: Node, x: Value, indices: Value) -> Value:
    return g.add("GatherElements", x, _integers(g, indices), axis=node.get("axis", 0))


@operator("GatherND")
def gather_nd(g: Graph, node: Node, x: Value, indices: Value) -> Value:
    return g.add("GatherND", x, _integers(g, indices), batch_dims=node.get("batch_dims", 0))


@operator("Scatter", "ScatterElements")
def scatter_elements(g: Graph, node: Node, x: Value, indices: Value, updates: Value) -> Value:
    rule = node.get("reduction", "none")
    return g.add(
        "ScatterElements", x, _integers(g, indices), updates, axis=node.get("axis", 0), reduction=rule
    )


@operator("ScatterND")
def scatter_nd(g: Graph, node: Node, x: Value, indices: Value, updates: Value) -> Value:
    return g.add("ScatterND", x, _integers(g, indices), updates, reduction=node.get("reduction", "none"))


@operator("TensorScatter")
def tensor_scatter(g: Graph, node: Node, past: Value, update: Value, indices: Value | None = None) -> Value:
    """Steps written into a cache: update[n]'s along `axis` from indices[n] on, and round its end if it is a ring."""
    axis = node.get("axis", -2) % past.rank
    if axis == 0:
        raise Unsupported("axis=0 is the batch, and that is what it goes through")
    size, steps = int(past.shape[axis]), int(update.shape[axis])
    starts = (
        np.zeros(int(past.shape[0]), np.int64) if indices is None else g.numbers(indices, "its write_indices")
    )
    places = starts.astype(np.int64).reshape(-1, 1) + np.arange(steps)
    if node.get("mode", "linear") == "circular":
        places %= size
    shape = [1] * past.rank
    shape[0], shape[axis] = places.shape
    g.claim(8 * prod(map(int, update.shape)))
    wide = np.broadcast_to(places.reshape(shape), tuple(map(int, update.shape)))
    return g.add("ScatterElements", past, np.ascontiguousarray(wide), update, axis=axis)


@operator("OneHot")
def one_hot(g: Graph, node: Node, indices: Value, depth: Value, values: Value) -> Value:
    count = int(g.numbers(depth, "its depth").item())
    return g.add("OneHot", _integers(g, indices), values, depth=count, axis=node.get("axis", -1))


@operator("Compress")
def compress(g: Graph, node: Node, x: Value, condition: Value) -> Value:
    kept = np.flatnonzero(g.numbers(condition, "its condition"))
    axis = node.get("axis")
    if axis is None:
        x, axis = reshaped(g, x, [-1]), 0
    return g.add("Gather", x, kept.astype(np.int64), axis=axis)


@operator("Tile")
def tile(g: Graph, node: Node, x: Value, repeats: Value, along: Value | None = None) -> Value:
    counts = g.numbers(repeats, "its repeats").reshape(-1).tolist()
    if along is not None:  # opset 1: one axis and how often
        axis = int(g.numbers(along, "its axis").item())
        counts = [counts[0] if a == axis else 1 for a in range(x.rank)]
    return x if all(c == 1 for c in counts) else g.add("Tile", x, repeats=counts)


@operator("Expand")
def expand(g: Graph, node: Node, x: Value, shape: Value) -> Value:
    """A size that is x's own may change with it; others must be numbers."""
    if shape.array is None:
        raise Unsupported(f"its shape {shape.name!r} is computed when the net runs")
    wanted = shape.array.tolist()
    own = [1] * (len(wanted) - x.rank) + list(x.shape)
    kept = [1] * (len(own) - len(wanted)) + wanted
    sizes = [1 if isinstance(w, Dim) and same_size(w, s) else w for w, s in zip(kept, own, strict=True)]
    given = np.array([*sizes, None], object)[:-1]
    numbers = g.numbers(Value.of(shape.name, given), "its shape").tolist()
    stays = all(n == 1 or (n == s and not isinstance(s, Dim)) for n, s in zip(numbers, own, strict=True))
    if stays and len(own) == x.rank:
        return x
    return g.add("Expand", x, shape=numbers)


@operator("ConstantOfShape")
def constant_of_shape(g: Graph, node: Node, shape: Value) -> Value:
    """Folded where every size is a number; a number expanded where the net runs knows what to."""
    sizes = g.numbers(shape, "its shape").reshape(-1).tolist()
    fill = as_stored(np.asarray(node.get("value", np.zeros(1, np.float32))))
    g.claim(prod(sizes) * fill.itemsize)
    array = np.full(sizes, fill.reshape(-1)[0])
    return Value.of(g.fresh(f"{node.name}/constant"), array)


@operator("EyeLike")
def eye_like(g: Graph, node: Node, x: Value) -> Value:
    given = np.array([*x.shape, None], object)[:-1]
    rows, columns = g.numbers(Value.of("shape", given), "its shape").tolist()
    g.claim(8 * rows * columns)
    array = np.eye(rows, columns, node.get("k", 0), dtype=np.float32)
    ones = Value.of(g.fresh(f"{node.name}/constant"), array)
    return g.add("Cast", ones, to=DTYPES[node.get("dtype")] if "dtype" in node.attributes else dtype_name(x))


@operator("Trilu")
def trilu(g: Graph, node: Node, x: Value, k: Value | None = None) -> Value:
    shift = 0 if k is None else int(g.numbers(k, "its k").item())
    return g.add("Trilu", x, k=shift, upper=bool(node.get("upper", 1)))


@operator("ReverseSequence")
def reverse_sequence(g: Graph, node: Node, x: Value, lengths: Value) -> Value:
    axes = {"time_axis": node.get("time_axis", 0), "batch_axis": node.get("batch_axis", 1)}
    return g.add("ReverseSequence", x, lengths, **axes)


@operator("DepthToSpace")
def depth_to_space(g: Graph, node: Node, x: Value) -> Value:
    return g.add("DepthToSpace", x, block=node.get("blocksize"), mode=node.get("mode", "DCR"))


@operator("SpaceToDepth")
def space_to_depth(g: Graph, node: Node, x: Value) -> Value:
    return g.add("SpaceToDepth", x, block=node.get("blocksize"), mode=node.get("mode", "DCR"))


def _integers(g: Graph, indices: Value) -> Value:
    """Indices as a layer takes them: sizes among them as numbers."""
    if indices.array is not None and indices.array.dtype == object:
        array = g.numbers(indices, "its indices")
        return Value.of(g.fresh(f"{indices.name}/numbers"), array)
    return indices
