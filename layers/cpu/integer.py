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
    whole = b.ir.bitcast(b.ir.fptosi(zero, b.i32), b.f32)  # one number: QEMU < 8.1 fails at riscv64's vectors
    zeros = b.ir.bitcast(b.broadcast(whole), b.int_vector)
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


@operation("t(tiilll)")
def tile_max_bytes(b: Builder, t, source, row_step, stride, rows, columns):
    """t[i][0] = the largest of it and of the int8 in a window of rows × columns vectors, at source + i * stride
    vectors; rows of windows lie row_step apart."""
    return _windows(b, t, source, row_step, stride, (rows, columns), 8, b.larger, b.maximum)


@operation("t(tiilll)")
def tile_sum_bytes(b: Builder, t, source, row_step, stride, rows, columns):
    """t[i][0] += the sum of the int8 in such a window, of at most 128 vectors."""
    return _windows(b, t, source, row_step, stride, (rows, columns), 16, b.ir.add, b.ir.fadd)


def _windows(b: Builder, t, source, row_step, stride: int, size: tuple[int, int], bits: int, join, take_in):
    """Windows that lie side by side without a gap are one long vector of bytes, or of int16."""
    together = t.rows if stride == 1 else 1
    kind, wide = (
        b.types.VectorType(b.types.IntType(k), together * b.lanes) for k in (8, bits)
    )  # what is loaded, and what is joined
    for start in range(0, t.rows, together):
        found = None
        for ky in range(size[0]):
            row = b.offset(source, b.times(row_step, ky))
            for kx in range(size[1]):
                cell = b.load_at(b.offset(row, (start * stride + kx) * b.lanes), kind, 1)
                cell = cell if bits == 8 else b.ir.sext(cell, wide)
                found = cell if found is None else join(found, cell)
        for k in range(together):
            order = b.types.Constant(b.int_vector, list(range(k * b.lanes, (k + 1) * b.lanes)))
            number = b.ir.sext(b.ir.shuffle_vector(found, found, order), b.int_vector)
            t = t.put(start + k, 0, take_in(t.at(start + k, 0), b.ir.sitofp(number, b.vector)))
    return t


@operation("t(tf)")
def tile_less(b: Builder, t, x):
    """Every number of the tile less x."""
    x = b.broadcast(x)
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fsub(t.at(i, j), x))
    return t


@operation("t(tf)")
def tile_divide(b: Builder, t, x):
    """Every number of the tile by x."""
    x = b.broadcast(x)
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fdiv(t.at(i, j), x))
    return t
