"""tiles: the operations on tiles of sums, a part of simd. A tile is rows × columns of vectors, kept in registers."""

from __future__ import annotations

from collections.abc import Callable

from .builder import Builder, operation
from .transforms import A, Reals, multiply_filter, multiply_input, multiply_output


@operation("t(ll)")
def tile(b: Builder, rows, columns):
    """A tile of zeros; rows and columns are numbers known when the kernel is compiled."""
    return b.zero_tile(rows, columns)


@operation("t(tf)")
def tile_fill(b: Builder, t, x):
    """A tile of the same size with x everywhere."""
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.broadcast(x))
    return t


@operation("t(tii)")
def tile_max(b: Builder, t, address, step):
    """t[i][j] = the larger of it and the j-th vector from address + i * step; NaN there is passed over."""
    for i in range(t.rows):
        for j in range(t.columns):
            there = b.load_at(b.offset(b.offset(address, b.times(step, i)), j * b.lanes * 4), b.vector)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered(">", there, t.at(i, j)), there, t.at(i, j)))
    return t


@operation("t(tv)")
def tile_times(b: Builder, t, x):
    """t[i][j] *= x, lane by lane."""
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fmul(t.at(i, j), x))
    return t


@operation("v(t)")
def tile_sum(b: Builder, t):
    """The sum of all vectors."""
    return b.reduce([t.at(i, j) for i in range(t.rows) for j in range(t.columns)], b.ir.fadd)


@operation("v(t)")
def tile_largest(b: Builder, t):
    """The largest number of each lane."""
    return b.reduce([t.at(i, j) for i in range(t.rows) for j in range(t.columns)], b.maximum)


@operation("t(tiii)")
def tile_fma(b: Builder, t, a, a_step, w):
    """t[i][j] += a[i] * w[j]: a[i] is the float32 at a + i * a_step, w[j] the j-th vector from w."""
    return _fma(b, t, a, a_step, _vectors(b, w, t.columns))


@operation("t(tiii)")
def tile_fma_halves(b: Builder, t, a, a_step, w):
    """tile_fma by vectors that lie in memory as fp16."""
    return _fma(b, t, a, a_step, _widened(b, w, t.columns))


def _vectors(b: Builder, address, count: int) -> list:
    """Vectors that lie one after the other."""
    return [b.load_at(b.offset(address, j * b.lanes * 4), b.vector) for j in range(count)]


def _widened(b: Builder, address, count: int) -> list:
    """Vectors that lie one after the other as fp16."""
    return [b.load_halves(b.offset(address, j * b.lanes * 2)) for j in range(count)]


def _fma(b: Builder, t, a, a_step, vectors):
    for i in range(t.rows):
        scalar = b.broadcast(b.load_at(b.offset(a, b.times(a_step, i)), b.f32))
        for j, vector in enumerate(vectors):
            t = t.put(i, j, b.multiply_add(scalar, vector, t.at(i, j)))
    return t


@operation("t(tiii)")
def tile_fma_lanes(b: Builder, t, a, a_step, w):
    """LANES times tile_fma, for consecutive float32 of a and consecutive rows of w: a block of channels."""
    for k in range(b.lanes):
        t = tile_fma(b, t, b.offset(a, 4 * k), a_step, b.offset(w, k * t.columns * b.lanes * 4))
    return t


@operation("t(tiii)")
def tile_fma_lanes_halves(b: Builder, t, a, a_step, w):
    """tile_fma_lanes by vectors that lie in memory as fp16."""
    for k in range(b.lanes):
        row = b.offset(w, k * t.columns * b.lanes * 2)
        t = tile_fma_halves(b, t, b.offset(a, 4 * k), a_step, row)
    return t


@operation("t(tiilll)")
def tile_fma_row(b: Builder, t, inputs, w, taps, stride, dilation):
    """t[i][0] += sum over taps k of (vector at place i * stride + k * dilation of inputs) * (k-th vector of w).

    Every vector of inputs is loaded once, for all the sums that it is part of.
    """
    return _fma_row(b, t, inputs, _vectors(b, w, taps), stride, dilation)


@operation("t(tiilll)")
def tile_fma_row_halves(b: Builder, t, inputs, w, taps, stride, dilation):
    """tile_fma_row by taps that lie in memory as fp16."""
    return _fma_row(b, t, inputs, _widened(b, w, taps), stride, dilation)


def _fma_row(b: Builder, t, inputs, weights: list, stride: int, dilation: int):
    for place in range((t.rows - 1) * stride + (len(weights) - 1) * dilation + 1):
        uses = [(place - k * dilation, k) for k in range(len(weights))]
        uses = [(at // stride, k) for at, k in uses if at % stride == 0 and 0 <= at // stride < t.rows]
        if uses:
            vector = b.load_at(b.offset(inputs, place * b.lanes * 4), b.vector)
            for i, k in uses:
                t = t.put(i, 0, b.multiply_add(vector, weights[k], t.at(i, 0)))
    return t


@operation("i(t)")
def tile_has_nan(b: Builder, t):
    """1 if a number of the tile is NaN, else 0."""
    vectors = [t.at(i, j) for i in range(t.rows) for j in range(t.columns)]
    odd = b.reduce([b.ir.fcmp_unordered("uno", vector, vector) for vector in vectors], b.ir.or_)
    bits = b.ir.bitcast(odd, b.types.IntType(b.lanes))
    return b.ir.zext(b.ir.icmp_unsigned("!=", bits, b.types.Constant(bits.type, 0)), b.i64)


@operation("t(ti)")
def tile_add_row(b: Builder, t, address):
    """t[i][j] += the j-th vector from address, for every row i: a bias."""
    vectors = _vectors(b, address, t.columns)
    for i in range(t.rows):
        for j, vector in enumerate(vectors):
            t = t.put(i, j, b.ir.fadd(t.at(i, j), vector))
    return t


@operation("t(tii)")
def tile_add_column(b: Builder, t, address, step):
    """t[i][j] += the float32 at address + i * step, in every lane: a bias."""
    for i in range(t.rows):
        scalar = b.broadcast(b.load_at(b.offset(address, b.times(step, i)), b.f32))
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fadd(t.at(i, j), scalar))
    return t


@operation("t(tff)")
def tile_clamp(b: Builder, t, low, high):
    """Every number of the tile limited to [low, high]; NaN stays."""
    low, high = b.broadcast(low), b.broadcast(high)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            x = b.ir.select(b.ir.fcmp_ordered("<", x, low), low, x)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered(">", x, high), high, x))
    return t


@operation("t(tiii)")
def tile_dot(b: Builder, t, a, a_step, x):
    """t[i][j] += (the j-th vector from a + i * a_step) * (the j-th vector from x), lane by lane."""
    return _dot(b, t, a, a_step, x, _vectors)


@operation("t(tiii)")
def tile_dot_halves(b: Builder, t, a, a_step, x):
    """tile_dot of vectors from a that lie in memory as fp16, a_step bytes from one row to the next."""
    return _dot(b, t, a, a_step, x, _widened)


def _dot(b: Builder, t, a, a_step, x, loaded: Callable):
    vectors = _vectors(b, x, t.columns)
    for i in range(t.rows):
        row = loaded(b, b.offset(a, b.times(a_step, i)), t.columns)
        for j, vector in enumerate(vectors):
            t = t.put(i, j, b.multiply_add(row[j], vector, t.at(i, j)))
    return t


@operation("-(ti)")
def tile_sums(b: Builder, t, address):
    """Write the sum of all numbers of row i to address + 4 * i."""
    for i in range(t.rows):
        total = t.at(i, 0)
        for j in range(1, t.columns):
            total = b.ir.fadd(total, t.at(i, j))
        b.store_at(b.sum_lanes(total), b.offset(address, 4 * i))


@operation("t(tii)")
def tile_load_add(b: Builder, t, address, step):
    """t[i][j] += the j-th vector from address + i * step."""
    for i in range(t.rows):
        for j in range(t.columns):
            there = b.offset(b.offset(address, b.times(step, i)), j * b.lanes * 4)
            t = t.put(i, j, b.ir.fadd(t.at(i, j), b.load_at(there, b.vector)))
    return t


@operation("t(tiii)")
def tile_add_blocks(b: Builder, t, address, row_step, column_step):
    """t[i][j] += the vector at address + i * row_step + j * column_step."""
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            there = b.load_at(b.offset(block, b.times(row_step, i)), b.vector)
            t = t.put(i, j, b.ir.fadd(t.at(i, j), there))
    return t


@operation("-(tiii)")
def tile_store_blocks(b: Builder, t, address, row_step, column_step):
    """Write vector j of row i to address + i * row_step + j * column_step."""
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            b.store_at(t.at(i, j), b.offset(block, b.times(row_step, i)))


@operation("t(tf)")
def tile_leaky(b: Builder, t, slope):
    """x, or slope * x below 0."""
    slope, zero = b.broadcast(slope), b.zero
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered("<", x, zero), b.ir.fmul(x, slope), x))
    return t


@operation("t(t)")
def tile_sigmoid(b: Builder, t):
    """1 / (1 + exp(-x)) of every number, within 3 ulp."""
    one = b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            e = _exp(b, b.ir.fneg(t.at(i, j)))
            t = t.put(i, j, b.ir.fdiv(one, b.ir.fadd(one, e)))
    return t


@operation("t(t)")
def tile_swish(b: Builder, t):
    """x * sigmoid(x)."""
    one = b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            t = t.put(i, j, b.ir.fdiv(x, b.ir.fadd(one, _exp(b, b.ir.fneg(x)))))
    return t


@operation("t(tff)")
def tile_hard_swish(b: Builder, t, alpha, beta):
    """x * clamp(alpha * x + beta, 0, 1)."""
    alpha, beta, one = b.broadcast(alpha), b.broadcast(beta), b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            gate = b.multiply_add(x, alpha, beta)
            gate = b.ir.select(b.ir.fcmp_ordered("<", gate, b.zero), b.zero, gate)
            gate = b.ir.select(b.ir.fcmp_ordered(">", gate, one), one, gate)
            t = t.put(i, j, b.ir.fmul(x, gate))
    return t


def _exp(b: Builder, x):
    """e**x of a vector, within 2 ulp: n = rint(x / ln 2), a degree-6 polynomial of the rest, times 2**n."""
    x = b.ir.select(b.ir.fcmp_ordered(">", x, b.constant(88.3)), b.constant(88.3), x)
    x = b.ir.select(b.ir.fcmp_ordered("<", x, b.constant(-87.3)), b.constant(-87.3), x)
    shift = b.constant(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
    shifted = b.multiply_add(x, b.constant(1.4426950408889634), shift)
    n = b.ir.fsub(shifted, shift)
    r = b.multiply_add(n, b.constant(-0.693359375), x)
    r = b.multiply_add(n, b.constant(2.12194440e-4), r)
    p = b.constant(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = b.multiply_add(p, r, b.constant(coefficient))
    bits = b.ir.shl(b.ir.bitcast(shifted, b.int_vector), b.int_constant(23))
    return b.ir.bitcast(b.ir.add(b.ir.bitcast(p, b.int_vector), bits), b.vector)


@operation("-(tii)")
def tile_store(b: Builder, t, address, step):
    """Write vector j of row i to address + i * step + j vectors."""
    for i in range(t.rows):
        row = b.offset(address, b.times(step, i))
        for j in range(t.columns):
            b.store_at(t.at(i, j), b.offset(row, j * b.lanes * 4))


# -- Winograd's transforms ---------------------------------------------------------------------------------


@operation("-(iiiil)")
def winograd_input(b: Builder, source, source_step, target, target_step, m):
    """B' of F(m, 3) times a column of m + 2 vectors, source_step apart; written target_step apart."""
    vectors = [b.load_at(b.offset(source, b.times(source_step, i)), b.vector) for i in range(m + 2)]
    for i, vector in enumerate(multiply_input(Reals(b), m, vectors)):
        b.store_at(vector, b.offset(target, b.times(target_step, i)))


@operation("-(iiiiil)")
def winograd_filter(b: Builder, source, source_step, row, target, target_step, m):
    """A row of G g G' of F(m, 3) for LANES filters g of fp16: its m + 2 vectors are written target_step apart.

    The nine weights are vectors source_step apart. `row` is the address of that row of G, three float32.
    """
    factors = [b.broadcast(b.load_at(b.offset(row, 4 * i), b.f32)) for i in range(3)]
    nine = [b.load_halves(b.offset(source, b.times(source_step, i))) for i in range(9)]
    sums = [b.ir.fmul(nine[j], factors[0]) for j in range(3)]
    for i in (1, 2):
        sums = [b.multiply_add(nine[3 * i + j], factors[i], sums[j]) for j in range(3)]
    for i, vector in enumerate(multiply_filter(Reals(b), m, sums)):
        b.store_at(vector, b.offset(target, b.times(target_step, i)))


@operation("-(iiiil)")
def winograd_output(b: Builder, source, source_step, target, target_step, m):
    """A' of F(m, 3) times a column of m + 2 vectors, source_step apart; m vectors are written target_step apart."""
    vectors = [b.load_at(b.offset(source, b.times(source_step, i)), b.vector) for i in range(m + 2)]
    for i, vector in enumerate(multiply_output(Reals(b), A[m], vectors)):
        b.store_at(vector, b.offset(target, b.times(target_step, i)))
