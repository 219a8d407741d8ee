"""taps: a convolution as a matrix product, for devices whose kernels add up taps in one row: (ky, kx, channel).

A cell is one channel, or a word of four channels of int8, which some devices multiply and add up in one instruction.
A table says of each cell where it lies in x, seen from the place of x that belongs to a result's first tap.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

FAR = -(1 << 20)  # rows down, of cells that fill a table up: never in an image


def cells(taps: Sequence[int], channels: int, word: int) -> int:
    """How many there are: whole words for each tap."""
    return prod(taps) * -(-channels // word)


def table(
    taps: Sequence[int], channels: int, image: Sequence[int], dilation: Sequence[int], word: int, depth: int
) -> np.ndarray:
    """(depth, 4): of each cell how far on it is in x, rows down, columns across, how many of its channels there are."""
    h, width = image
    ky, kx, first = np.meshgrid(*map(np.arange, taps), np.arange(0, channels, word), indexing="ij")
    down, across = ky * dilation[0], kx * dilation[1]
    there = np.minimum(channels - first, word)
    found = np.stack([(first * h + down) * width + across, down, across, there], -1).reshape(-1, 4)
    rest = np.tile([0, FAR, 0, 0], (depth - len(found), 1))
    return np.concatenate([found, rest]).astype(np.int32)


def packed(w: np.ndarray, group: int, word: int, depth: int, rows: int) -> np.ndarray:
    """Weights (M, C/group, ...) as (group, depth, rows) cells, those of four bytes as int32; filled up with zeros."""
    m, c = w.shape[:2]
    w = w.reshape(group, m // group, c, -1)
    taps, words = w.shape[3], -(-c // word)
    wide = np.zeros((group, taps, words * word, rows), w.dtype)
    wide[:, :, :c, : m // group] = w.transpose(0, 3, 2, 1)
    if word == 1:
        filled = np.zeros((group, depth, rows), w.dtype)
        filled[:, : taps * words] = wide.reshape(group, -1, rows)
        return filled
    joined = np.ascontiguousarray(wide.reshape(group, taps * words, word, rows).swapaxes(2, 3))
    filled = np.zeros((group, depth, rows), np.int32)
    filled[:, : taps * words] = joined.view(np.int32)[..., 0]
    return filled
