"""words: how small integers lie for the instructions that multiply several of them at a time.

A word is 32 bits of operand. Where the target multiplies four bytes in a lane, a word is four bytes, each SHIFT more
than the number (128 where the instruction reads them unsigned); else it is two int16. The kernels that take words are
given, as the variant's functions, one of each pair here.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, View
from . import simd

WORDS = 4  # that a `dot` takes at a time; a number of a variant


def in_a_word(call: Call, w: np.ndarray) -> int:
    """How many numbers lie in a word: 4 bytes, if the target multiplies those and the weights are bytes, else 2."""
    return 4 if call.dots == 4 and w.dtype == np.int8 else 2


def centred(call: Call, numbers: int) -> np.ndarray:
    """The bias less what x_zero, and what is added to each byte, add to the sums: (M,) int32, modulo 2**32 as they."""
    w, b = call.constants["w"], call.constants["b"]
    added = call.layer.x_zero + (call.shift if numbers == 4 else 0)
    sums = w.reshape(len(w), -1).sum(1, dtype=np.int64)
    return (b - added * sums).astype(np.int32)


def filled(values: np.ndarray, length: int) -> np.ndarray:
    """The same numbers, then zeros."""
    return np.concatenate([values, np.zeros(length - len(values), values.dtype)])


def slopes(call: Call, length: int) -> np.ndarray:
    """The slopes of `length` channels; nothing without them."""
    return filled(call.constants["slope"], length) if call.shape("slope") != (0,) else np.zeros(0, np.float32)


def gates(call: Call, length: int) -> np.ndarray:
    """The gate of `length` channels as (vectors, 3, lanes), as tile_gate reads it; nothing without one."""
    if call.shape("gate") == (0,):
        return np.zeros(0, np.float32)
    rows = np.stack([filled(row, length) for row in call.constants["gate"]])
    return np.ascontiguousarray(rows.reshape(3, -1, call.lanes).transpose(1, 0, 2))


def packed_if_any(name: str, values: np.ndarray) -> Packed | View:
    """An optional input of a kernel."""
    return Packed(values) if values.size else View(name, (0,))


def dot_bytes(t, a, a_step, w):
    return simd.tile_dot_bytes(t, a, a_step, w, WORDS)


def dot_pairs(t, a, a_step, w):
    return simd.tile_dot_pairs(t, a, a_step, w, WORDS)


def spread_bytes(source, to, count):
    simd.shift_bytes(source, to, count)


def spread_pairs(source, to, count):
    simd.widen_bytes(source, to, count)


def put_byte(to, k, number):
    """The k-th number of the words at `to`."""
    simd.store_byte(to + k, number + simd.SHIFT)


def put_short(to, k, number):
    simd.store_short(to + 2 * k, number)


def to_bytes(t, address, row_step, column_step, low, high, zero):
    simd.tile_store_bytes(t, address, row_step, column_step, low, high, zero)


def to_places(t, address, row_step, column_step, low, high, zero):
    """to_bytes where row_step is LANES."""
    simd.tile_store_places(t, address, column_step, low, high, zero)


def to_words(t, address, row_step, column_step, low, high, zero):
    simd.tile_store_blocks(t, address, row_step, column_step)


DOT, SPREAD, PUT = (
    {4: dot_bytes, 2: dot_pairs},
    {4: spread_bytes, 2: spread_pairs},
    {4: put_byte, 2: put_short},
)
FINISH = {"int8": to_bytes, "fp32": to_words, "int32": to_words}
