"""Sparse tensors of a .tflite file, with their zeros put back.

They are stored as a tree (the format of TACO: Kjolstad et al. 2017, "The tensor algebra compiler"). Each level is one
axis, in `traversal_order`; a dense level has every index, a compressed one lists those that are there: the children of
node p are indices[segments[p] : segments[p + 1]]. An axis may be cut into blocks: then its own level counts blocks, and
a level further down, with a number from the rank on, the places in a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.errors import FileError

DENSE, SPARSE_CSR = 0, 1


def dense(sparsity: Mapping[str, Any], numbers: np.ndarray, shape: Sequence[int], name: str) -> np.ndarray:
    """The array of `shape` that these stored numbers are; what is not stored is 0. Raises FileError."""
    try:
        return _dense(sparsity, numbers, tuple(shape))
    except (ValueError, IndexError, TypeError) as error:
        raise FileError(f"sparse tensor {name!r}: {error}") from None


def _dense(sparsity: Mapping[str, Any], numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    order, blocked = sparsity["traversal_order"] or (), sparsity["block_map"] or ()
    levels, rank = sparsity["dim_metadata"] or (), len(shape)
    if sorted(order) != list(range(rank + len(blocked))) or len(levels) != len(order):
        raise ValueError(
            f"{len(levels)} levels in the order {list(order)} for {rank} axes, {len(blocked)} in blocks"
        )
    if len(set(blocked)) != len(blocked) or any(not 0 <= axis < rank for axis in blocked):
        raise ValueError(f"its blocks are of the axes {list(blocked)}")
    block = [1] * rank  # how long a block is along each axis
    for level, axis in zip(levels, order, strict=True):
        if axis >= rank:
            block[blocked[axis - rank]] = level["dense_size"]
    if any(b < 1 or s % b for s, b in zip(shape, block, strict=True)):
        raise ValueError(f"blocks of {block} do not fill {list(shape)}")
    sizes = [s // b for s, b in zip(shape, block, strict=True)] + [block[axis] for axis in blocked]
    where = [np.zeros(1, np.int64)] * len(
        order
    )  # by number in `order`: the index there, of every node of the level
    count = 1
    for depth, (level, axis) in enumerate(zip(levels, order, strict=True)):
        parents, indices = _children(level, count, sizes[axis], prod(shape))
        for done in order[:depth]:
            where[done] = where[done][parents]
        where[axis], count = indices, len(indices)
    if count != numbers.size:
        raise ValueError(f"it has {count} places but {numbers.size} numbers")
    places = list(where[:rank])
    for axis, inner in zip(blocked, where[rank:], strict=True):
        places[axis] = places[axis] * block[axis] + inner
    array = np.zeros(shape, numbers.dtype)
    array[tuple(places)] = numbers if rank else numbers[0]
    return array


def _children(level: Mapping[str, Any], count: int, size: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """For the nodes below `count` others: the parent, and the index along this level's axis, of each."""
    if level["format"] == DENSE:
        if level["dense_size"] != size or count * size > most:
            raise ValueError(f"a dense level has {level['dense_size']} indices where there are {size}")
        return np.repeat(np.arange(count), size), np.tile(np.arange(size), count)
    if level["format"] != SPARSE_CSR:
        raise ValueError(f"a level of the unknown format {level['format']}")
    segments, indices = (_values(level[key]) for key in ("array_segments", "array_indices"))
    lengths = np.diff(segments)
    if len(segments) != count + 1 or segments[0] != 0 or segments[-1] != len(indices) or (lengths < 0).any():
        raise ValueError("its segments do not cover its indices")
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        raise ValueError(f"an index is beyond {size}")
    return np.repeat(np.arange(count), lengths), indices


def _values(vector: Mapping[str, Any] | None) -> np.ndarray:
    values = (vector or {}).get("values") or ()
    return (
        np.frombuffer(values, np.uint8).astype(np.int64)
        if isinstance(values, bytes)
        else np.array(values, np.int64)
    )
