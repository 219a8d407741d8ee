"""dots: exact products of small integers, and their way back to int8; a part of simd.

A tile's vectors hold LANES numbers of 32 bits; here they are int32 until `tile_scale` makes float32 of them. A word is
32 bits of operand: four bytes where the target multiplies four at a time (`vpdpbusd`, which reads the first four
unsigned, and `sdot`), else two int16 (`pmaddwd` and what LLVM finds for other targets). None saturates.
"""

from __future__ import annotations

from .builder import Builder, operation
from .integer import bytes_at, store_rounded


@operation("t(ti)")
def tile_load_row(b: Builder, t, address):
    """t[i][j] = the j-th vector from address, for every row i."""
    vectors = [b.load_at(b.offset(address, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        for j, vector in enumerate(vectors):
            t = t.put(i, j, vector)
    return t


@operation("t(tiiil)")
def tile_dot_bytes(b: Builder, t, a, a_step, w, words):
    """t[i][j] += for each of `words` words: four bytes at a + i * a_step, as shift_bytes makes them, times four signed
    bytes of w's vector j."""
    return _dots(b, t, a, a_step, w, words, _four_bytes)


@operation("t(tiiil)")
def tile_dot_pairs(b: Builder, t, a, a_step, w, words):
    """t[i][j] += for each of `words` words: two int16 at a + i * a_step times two int16 of w's vector j."""
    return _dots(b, t, a, a_step, w, words, _two_shorts)


def _dots(b: Builder, t, a, a_step, w, words: int, dot):
    """The word at a + i * a_step + 4 * k, broadcast, times the vectors of w's row k; for every word k."""
    kind = b.int_vector
    sums = [[b.ir.bitcast(t.at(i, j), kind) for j in range(t.columns)] for i in range(t.rows)]
    for k in range(words):
        row = b.offset(w, k * t.columns * b.lanes * 4)
        vectors = [b.load_at(b.offset(row, j * b.lanes * 4), kind) for j in range(t.columns)]
        for i in range(t.rows):
            word = b.load_at(b.offset(b.offset(a, b.times(a_step, i)), 4 * k), b.f32)
            operand = b.ir.bitcast(b.broadcast(word), kind)
            sums[i] = [dot(b, s, operand, vector) for s, vector in zip(sums[i], vectors, strict=True)]
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.ir.bitcast(sums[i][j], b.vector))
    return t


def _four_bytes(b: Builder, total, x, y):
    """total + the sum of four products in each lane, in one instruction."""
    if b.target.triple.startswith("aarch64"):
        quarters = b.types.VectorType(b.types.IntType(8), 4 * b.lanes)
        function = b._declared(
            "llvm.aarch64.neon.sdot.v4i32.v16i8", b.int_vector, [b.int_vector, quarters, quarters]
        )
        return b.ir.call(function, [total, b.ir.bitcast(x, quarters), b.ir.bitcast(y, quarters)])
    function = b._declared(f"llvm.x86.avx512.vpdpbusd.{b.lanes * 32}", b.int_vector, [b.int_vector] * 3)
    return b.ir.call(function, [total, x, y])


def _two_shorts(b: Builder, total, x, y):
    """total + the sum of two products in each lane."""
    if b.target.triple.startswith("x86_64") and b.target.dots == 4:
        function = b._declared(f"llvm.x86.avx512.vpdpwssd.{b.lanes * 32}", b.int_vector, [b.int_vector] * 3)
        return b.ir.call(function, [total, x, y])
    shorts = b.types.VectorType(b.types.IntType(16), 2 * b.lanes)
    x, y = b.ir.bitcast(x, shorts), b.ir.bitcast(y, shorts)
    if b.target.triple.startswith("x86_64"):
        name = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[b.lanes]
        function = b._declared(f"llvm.x86.{name}", b.int_vector, [shorts, shorts])
        return b.as_it_is(b.ir.add(total, b.ir.call(function, [x, y])))
    wide = b.types.VectorType(b.i32, 2 * b.lanes)
    products = b.ir.mul(b.ir.sext(x, wide), b.ir.sext(y, wide))
    even, odd = (
        b.ir.shuffle_vector(
            products, products, b.types.Constant(b.int_vector, [2 * lane + part for lane in range(b.lanes)])
        )
        for part in (0, 1)
    )
    return b.ir.add(total, b.ir.add(even, odd))


@operation("t(tii)")
def tile_add_words(b: Builder, t, address, row_step):
    """t[i][j] += the j-th vector from address + i * row_step, of int32."""
    for i in range(t.rows):
        for j in range(t.columns):
            more = b.load_at(b.offset(b.offset(address, b.times(row_step, i)), j * b.lanes * 4), b.int_vector)
            t = t.put(i, j, b.ir.bitcast(b.ir.add(b.ir.bitcast(t.at(i, j), b.int_vector), more), b.vector))
    return t


@operation("t(ti)")
def tile_scale(b: Builder, t, address):
    """t[i][j], an int32, becomes float32(t[i][j]) * the j-th vector from address."""
    vectors = [b.load_at(b.offset(address, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        for j, vector in enumerate(vectors):
            number = b.ir.sitofp(b.ir.bitcast(t.at(i, j), b.int_vector), b.vector)
            t = t.put(i, j, b.ir.fmul(number, vector))
    return t


@operation("t(ti)")
def tile_slope(b: Builder, t, address):
    """t[i][j] is multiplied by the j-th vector from address where it is below 0."""
    vectors = [b.load_at(b.offset(address, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        for j, vector in enumerate(vectors):
            x = t.at(i, j)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered("<", x, b.zero), b.ir.fmul(x, vector), x))
    return t


@operation("t(ti)")
def tile_gate(b: Builder, t, address):
    """t[i][j] *= clamp(t[i][j] + start, 0, 1) * gain, and offset is added: three vectors a column from address."""
    one, step = b.constant(1.0), b.lanes * 4
    for j in range(t.columns):
        start, gain, offset = (b.load_at(b.offset(address, (3 * j + k) * step), b.vector) for k in range(3))
        for i in range(t.rows):
            x = t.at(i, j)
            share = b.ir.fadd(x, start)
            share = b.ir.select(b.ir.fcmp_ordered("<", share, b.zero), b.zero, share)
            share = b.ir.select(b.ir.fcmp_ordered(">", share, one), one, share)
            t = t.put(i, j, b.ir.fadd(b.ir.fmul(b.ir.fmul(x, share), gain), offset))
    return t


@operation("t(tiiiff)")
def tile_add_bytes(b: Builder, t, address, row_step, column_step, zero, multiplier):
    """t[i][j] += (the LANES int8 at address + i * row_step + j * column_step - zero) * multiplier."""
    zero, multiplier = b.broadcast(zero), b.broadcast(multiplier)
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            number = b.ir.fsub(bytes_at(b, b.offset(block, b.times(row_step, i))), zero)
            t = t.put(i, j, b.ir.fadd(t.at(i, j), b.ir.fmul(number, multiplier)))
    return t


@operation("-(tiiifff)")
def tile_store_bytes(b: Builder, t, address, row_step, column_step, low, high, zero):
    """Write int8 rint(clamp(t[i][j], low, high)) + zero to address + i * row_step + j * column_step.

    low and high are the limits less zero.
    """
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            store_rounded(b, b.offset(block, b.times(row_step, i)), [t.at(i, j)], low, high, zero)


@operation("-(tiifff)")
def tile_store_places(b: Builder, t, address, column_step, low, high, zero):
    """tile_store_bytes where each row's bytes lie behind those of the row before."""
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        store_rounded(b, block, [t.at(i, j) for i in range(t.rows)], low, high, zero)


@operation("i(i)")
def load_byte(b: Builder, address):
    """The int8 at address."""
    return b.ir.sext(b.load_at(address, b.types.IntType(8), 1), b.i64)


@operation("-(ii)")
def store_byte(b: Builder, address, value):
    """Write value, modulo 256."""
    b.store_at(b.ir.trunc(value, b.types.IntType(8)), address, 1)


@operation("-(ii)")
def store_short(b: Builder, address, value):
    """Write value as int16, modulo 65,536."""
    b.store_at(b.ir.trunc(value, b.types.IntType(16)), address, 2)


@operation("-(iii)")
def shift_bytes(b: Builder, source, to, count):
    """`count` (a multiple of LANES) int8 become bytes that are SHIFT more: 128 turns the highest bit."""
    shift = b.target.shift and -128
    _each(b, source, to, count, 1, lambda v: b.ir.xor(v, b.types.Constant(v.type, [shift] * v.type.count)))


@operation("-(iii)")
def widen_bytes(b: Builder, source, to, count):
    """`count` (a multiple of LANES) int8 become int16."""
    short = b.types.IntType(16)
    _each(b, source, to, count, 2, lambda v: b.ir.sext(v, b.types.VectorType(short, v.type.count)))


def _each(b: Builder, source, to, count, factor: int, change) -> None:
    """Two loops: over four vectors of LANES bytes at a time, then over what is left. Results are `factor` as long."""
    done = b.types.Constant(b.i64, 0)
    for size in (4 * b.lanes, b.lanes):
        kind = b.types.VectorType(b.types.IntType(8), size)
        last = b.ir.sub(count, b.types.Constant(b.i64, size))
        before, loop, after = b.ir.block, b.ir.append_basic_block("bytes"), b.ir.append_basic_block("after")
        b.ir.cbranch(b.ir.icmp_signed("<=", done, last), loop, after)
        b.ir.position_at_end(loop)
        at = b.ir.phi(b.i64)
        at.add_incoming(done, before)
        changed = change(b.load_at(b.ir.add(source, at), kind, 1))
        b.store_at(changed, b.ir.add(to, b.times(at, factor)), 1)
        following = b.ir.add(at, b.types.Constant(b.i64, size))
        at.add_incoming(following, loop)
        b.ir.cbranch(b.ir.icmp_signed("<=", following, last), loop, after)
        b.ir.position_at_end(after)
        reached = b.ir.phi(b.i64)
        reached.add_incoming(done, before)
        reached.add_incoming(following, loop)
        done = reached
