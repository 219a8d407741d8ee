"""whole_winograd: the steps of Winograd's convolution in whole numbers, a part of simd. See transforms.py.

Inputs less their zero are within ±255, and B' multiplies them by 100 at most: int16 holds them. Sums are int32.
"""

from __future__ import annotations

from .builder import Builder, operation
from .transforms import INVERSE_OF_9, LEFT, WHOLE_A, Wholes, multiply_input, multiply_output

SIDE = 6  # of a tile's input: F(4, 3)


@operation("-(iiiii)")
def winograd_bytes(b: Builder, source, source_step, target, target_step, zero):
    """B' times a column of LANES int8 less zero, source_step apart; int16 are written target_step apart."""
    shorts = b.types.VectorType(b.types.IntType(16), b.lanes)
    zeros = _splat(b, b.ir.trunc(zero, b.types.IntType(16)), shorts)
    bytes_ = b.types.VectorType(b.types.IntType(8), b.lanes)
    column = [b.load_at(b.offset(source, b.times(source_step, i)), bytes_, 1) for i in range(SIDE)]
    wide = [b.ir.sub(b.ir.sext(vector, shorts), zeros) for vector in column]
    _store(b, multiply_input(Wholes(b), SIDE - 2, wide), target, target_step)


@operation("-(iiii)")
def winograd_shorts(b: Builder, source, source_step, target, target_step):
    """B' times a column of LANES int16, source_step apart; written target_step apart."""
    shorts = b.types.VectorType(b.types.IntType(16), b.lanes)
    column = [b.load_at(b.offset(source, b.times(source_step, i)), shorts, 2) for i in range(SIDE)]
    _store(b, multiply_input(Wholes(b), SIDE - 2, column), target, target_step)


@operation("-(iiiil)")
def winograd_sums(b: Builder, source, source_step, target, target_step, last):
    """A' times a column of LANES int32, modulo 2**32; the last time, what is 576 times too large becomes itself."""
    column = [b.load_at(b.offset(source, b.times(source_step, i)), b.int_vector) for i in range(SIDE)]
    made = multiply_output(Wholes(b), WHOLE_A, column)
    if last:
        made = [
            b.ir.ashr(b.ir.mul(vector, b.int_constant(INVERSE_OF_9)), b.int_constant(LEFT)) for vector in made
        ]
    _store(b, made, target, target_step)


@operation("-(ii)")
def copy_bytes(b: Builder, source, target):
    """LANES bytes."""
    b.store_at(b.load_at(source, b.types.VectorType(b.types.IntType(8), b.lanes), 1), target, 1)


@operation("-(ii)")
def fill_bytes(b: Builder, target, value):
    """LANES bytes of value, modulo 256."""
    kind = b.types.VectorType(b.types.IntType(8), b.lanes)
    b.store_at(_splat(b, b.ir.trunc(value, b.types.IntType(8)), kind), target, 1)


def _splat(b: Builder, number, kind):
    """A vector of one number."""
    undefined = b.types.Constant(kind, b.types.Undefined)
    one = b.ir.insert_element(undefined, number, b.types.Constant(b.i32, 0))
    lanes = b.types.Constant(b.types.VectorType(b.i32, kind.count), [0] * kind.count)
    return b.ir.shuffle_vector(one, undefined, lanes)


def _store(b: Builder, vectors, target, step) -> None:
    for i, vector in enumerate(vectors):
        b.store_at(vector, b.offset(target, b.times(step, i)), 2)
