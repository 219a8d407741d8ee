"""axes: how kernels find their way through tensors whose numbers are taken in another order than they lie in.

What numpy does to a view of a tensor says it all: its steps along each axis, and where it begins. Neighbouring axes
along which every operand goes on in the same way are one, so that few are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...engine.kernel import Packed


def pattern(shape: Sequence[int]) -> np.ndarray:
    """An array of this shape with a byte an element, whose content nobody looks at."""
    return np.empty(tuple(map(int, shape)), np.uint8)


def start(view: np.ndarray, whole: np.ndarray) -> int:
    """Which element of `whole` the view begins at."""
    return view.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


def walk(*views: np.ndarray) -> dict[str, Packed | int]:
    """The parameters axes and rank of a loop over views of one shape: a row (size, step in each view) an axis."""
    rows: list[list[int]] = []
    for axis, size in enumerate(views[0].shape):
        steps = [view.strides[axis] for view in views]
        if size == 1:
            continue
        if rows and all(before == size * here for before, here in zip(rows[-1][1:], steps, strict=True)):
            rows[-1] = [rows[-1][0] * size, *steps]
        else:
            rows.append([size, *steps])
    table = np.array(rows or [[1, *[0] * len(views)]], np.int32)
    return dict(axes=Packed(table.reshape(-1)), rank=len(table))


def places(shape: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """(size, step) of some axes of a plain tensor, the last first; at least one."""
    pairs = [(shape[a], prod(shape[a + 1 :])) for a in reversed(axes)] or [(1, 0)]
    return np.array(pairs, np.int32)
