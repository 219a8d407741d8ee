"""integer: operations on bytes and on small whole numbers in float32, a part of simd.

Whole numbers up to 2**24 are exact in float32, and so are sums of them that stay below it: a vector of int8 becomes one
of float32, and multiply-adds do the rest.
"""

from __future__ import annotations

from .builder import Builder, operation

TOGETHER = 4  # vectors that are made bytes at a time


@operation("v(i)")
def load_bytes(b: Builder, address):
    """LANES consecutive int8 as float32."""
    return bytes_at(b, address)


def bytes_at(b: Builder, address):
    """LANES consecutive int8 as float32."""
    stored = b.load_at(address, b.types.VectorType(b.types.IntType(8), b.lanes), 1)
    return b.ir.sitofp(b.ir.sext(stored, b.int_vector), b.vector)


@operation("-(ivfff)")
def store_bytes(b: Builder, address, value, low, high, zero):
    """Write int8 rint(clamp(value, low, high)) + zero, where low and high are the limits less zero; of NaN, zero."""
    number = b.ir.select(b.ir.fcmp_unordered("uno", value, value), b.zero, value)
    store_rounded(b, address, [number], low, high, zero)


def store_rounded(b: Builder, address, vectors, low, high, zero):
    """Write int8 rint(clamp(x, low, high)) + zero of each x of some vectors, one behind the other.

    Limited once more as whole numbers, which costs nothing: that they fit tells LLVM to pack them by the instructions
    that saturate, and several vectors at a time need the fewest.
    """
    low, high = b.broadcast(low), b.broadcast(high)
    zeros = b.ir.fptosi(b.broadcast(zero), b.int_vector)
    for start in range(0, len(vectors), TOGETHER):
        numbers = []
        for x in vectors[start : start + TOGETHER]:
            x = b.ir.select(b.ir.fcmp_ordered("<", x, low), low, x)
            x = b.ir.select(b.ir.fcmp_ordered(">", x, high), high, x)
            numbers.append(b.ir.add(b.ir.fptosi(b.intrinsic("llvm.rint", x), b.int_vector), zeros))
        b.store_at(_saturated(b, b.joined(numbers)), b.offset(address, start * b.lanes), 1)


def _saturated(b: Builder, numbers):
    """int32 -> int8."""
    least, most = (b.types.Constant(numbers.type, [x] * numbers.type.count) for x in (-128, 127))
    numbers = b.ir.select(b.ir.icmp_signed("<", numbers, least), least, numbers)
    numbers = b.ir.select(b.ir.icmp_signed(">", numbers, most), most, numbers)
    return b.ir.trunc(numbers, b.types.VectorType(b.types.IntType(8), numbers.type.count))


@operation("t(ti)")
def tile_whole(b: Builder, t, address):
    """t[i][j], whole numbers in float32, become int32, and the j-th vector from address is added."""
    biases = [b.load_at(b.offset(address, j * b.lanes * 4), b.int_vector) for j in range(t.columns)]
    for i in range(t.rows):
        for j, bias in enumerate(biases):
            number = b.ir.add(b.ir.fptosi(t.at(i, j), b.int_vector), bias)
            t = t.put(i, j, b.ir.bitcast(number, b.vector))
    return t
