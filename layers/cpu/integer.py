"""integer: operations on bytes and on small whole numbers in float32, a part of simd.

Whole numbers up to 2**24 are exact in float32, and so are sums of them that stay below it: a vector of int8 becomes one
of float32, and multiply-adds do the rest.
"""

from __future__ import annotations

from .builder import Builder, operation

MAGIC = 12582912.0  # 1.5 * 2**23: added to a small number, it leaves the nearest integer in the low bits


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
    store_rounded(b, address, number, *(b.broadcast(x) for x in (low, high, zero)))


def store_rounded(b: Builder, address, x, low, high, zero):
    """Write int8 rint(clamp(x, low, high)) + zero, all of them vectors of float32.

    Rounding is to the nearest whole number, halves to even, as float32 rounds the sum with MAGIC."""
    x = b.ir.select(b.ir.fcmp_ordered("<", x, low), low, x)
    x = b.ir.select(b.ir.fcmp_ordered(">", x, high), high, x)
    whole = b.ir.fsub(b.ir.fadd(x, b.constant(MAGIC)), b.constant(MAGIC))
    number = b.ir.fptosi(b.ir.fadd(whole, zero), b.int_vector)
    b.store_at(b.ir.trunc(number, b.types.VectorType(b.types.IntType(8), b.lanes)), address, 1)
