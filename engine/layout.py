"""layout: the order in which a tensor's numbers lie in memory. A plan decides; a net knows nothing of it.

plain     as the shape says: (N, C, H, W), last axis fastest
blocked   (N, C / lanes, H, W, lanes): a vector holds one place's channels, so that convolutions multiply whole vectors
          and no copy of the input is made (Georganas et al. 2018, arXiv:1808.05567). The channels that fill the
          last block up hold anything: nobody may let them reach another lane

In a plan, a tensor that is not plain is called 'name@blocked': both forms of one tensor may exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

PLAIN, BLOCKED = "plain", "blocked"
SAME = "same"  # in a kernel's declaration: whatever layout the layer's inputs have; all that say SAME get the same


def stored_shape(shape: Sequence[int], layout: str, lanes: int) -> tuple[int, ...]:
    """The shape of the array in memory."""
    if layout == PLAIN:
        return tuple(shape)
    n, c, *rest = shape
    return (n, -(-c // lanes), *rest, lanes)


def plain(stored: np.ndarray, shape: Sequence[int], layout: str) -> np.ndarray:
    """A stored array in the order that its shape says: the opposite of what a reorder does."""
    if layout == PLAIN:
        return stored.reshape(shape)
    blocks = np.moveaxis(stored, -1, 2)  # (N, C / lanes, lanes, ...)
    n, c, *rest = shape
    return np.ascontiguousarray(blocks.reshape(n, -1, *rest)[:, :c])


def stored_name(tensor: str, layout: str) -> str:
    """What a plan calls a tensor in this layout."""
    return tensor if layout == PLAIN else f"{tensor}@{layout}"


def same_bytes(shape: Sequence[int], a: str, b: str, lanes: int) -> bool:
    """Whether a tensor in these two layouts is the same numbers in the same order: then neither is ever made of
    the other, they are one. Blocks of one place are the channels in order, if the last block is full."""
    one_place = len(shape) >= 2 and shape[1] % lanes == 0 and prod(shape[2:]) == 1
    return a == b or one_place
