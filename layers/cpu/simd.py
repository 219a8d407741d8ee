"""simd: the small vector language that kernels are written in.

A kernel says `from . import simd` and calls these names. When it is compiled for a Target, the code generator puts
that target's own copy of this module in their place (`module_for`), in which LANES is a number and every function
is an instruction or two. So one kernel text serves every width, and all that is special to a processor is here.

Kinds of values, as the signatures below write them:
    i  int64: a number, or an address      f  float32      d  float64      w  int32
    v  vector of LANES float32             t  tile: rows × columns of vectors, kept in registers

A tile is how products are blocked: `t = tile(6, 2)`, then `t = tile_fma(t, a, a_step, b)` in the loop over K.
Addresses and steps are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .transforms import multiply_input, multiply_output

if TYPE_CHECKING:
    from .target import Target

LANES = 8  # fp32 numbers in a vector; the target's own when compiled
REGISTERS = 16  # vector registers; the target's own when compiled

_OPERATIONS: dict[str, tuple[str, Callable]] = {}


def _operation(signature: str) -> Callable[[Callable], Callable]:
    """Declare an operation: 'v(i)' takes an int64 and gives a vector. The body emits LLVM IR with a Builder."""

    def declare(emit: Callable) -> Callable:
        _OPERATIONS[emit.__name__] = (signature, emit)
        return emit

    return declare


# -- memory ------------------------------------------------------------------------------------------------


@_operation("v(i)")
def load(b: Builder, address):
    """LANES consecutive float32; any alignment."""
    return b.load_at(address, b.vector)


@_operation("-(iv)")
def store(b: Builder, address, value):
    """Write LANES consecutive float32; any alignment."""
    b.store_at(value, address)


@_operation("f(i)")
def load_scalar(b: Builder, address):
    return b.load_at(address, b.f32)


@_operation("-(if)")
def store_scalar(b: Builder, address, value):
    b.store_at(value, address)


@_operation("i(i)")
def load_word(b: Builder, address):
    return b.load_at(address, b.i64, 8)


@_operation("-(ii)")
def store_word(b: Builder, address, value):
    b.store_at(value, address, 8)


# -- arithmetic --------------------------------------------------------------------------------------------


@_operation("v(f)")
def splat(b: Builder, x):
    """The same number in every lane."""
    return b.broadcast(x)


@_operation("v(vvv)")
def fma(b: Builder, x, y, z):
    """x * y + z, rounded once where the target can."""
    return b.multiply_add(x, y, z)


@_operation("v(vv)")
def add(b: Builder, x, y):
    return b.ir.fadd(x, y)


@_operation("v(vv)")
def mul(b: Builder, x, y):
    return b.ir.fmul(x, y)


@_operation("v(vv)")
def maximum(b: Builder, x, y):
    """The larger; x where either is NaN."""
    return b.ir.select(b.ir.fcmp_ordered(">", y, x), y, x)


@_operation("v(vv)")
def divide(b: Builder, x, y):
    return b.ir.fdiv(x, y)


@_operation("v(v)")
def square_root(b: Builder, x):
    return b.intrinsic("llvm.sqrt", x)


@_operation("v(vv)")
def leaky(b: Builder, x, slope):
    """x, or slope * x where x is not above 0."""
    return b.ir.select(b.ir.fcmp_ordered(">", x, b.zero), x, b.ir.fmul(x, slope))


# -- blocks of channels ------------------------------------------------------------------------------------


@_operation("-(iiiiii)")
def transpose(b: Builder, source, source_step, source_last, to, to_step, to_last):
    """LANES rows of LANES float32 become columns: row i is read at source + i * source_step, and row j of the
    transposed is written at `to` + j * to_step.

    Rows past source_last are that one again, and rows past to_last are not written: written from the last to the
    first, each over the one before, until row to_last covers them.
    """
    rows = [b.load_at(b.row(source, source_step, source_last, i), b.vector) for i in range(b.lanes)]
    half = b.lanes // 2
    while half >= 4:  # halves of ever smaller squares change places, down to squares of 4
        for i in [i for i in range(b.lanes) if not i & half]:
            lanes = range(b.lanes)
            upper = [lane - half + b.lanes if lane & half else lane for lane in lanes]
            lower = [lane + b.lanes if lane & half else lane + half for lane in lanes]
            pair = rows[i], rows[i + half]
            rows[i], rows[i + half] = b.shuffle(*pair, upper), b.shuffle(*pair, lower)
        half //= 2
    for i in range(0, b.lanes, 4):  # in each register's quarters: pairs of lanes, then pairs of pairs
        low = [b.by_four(rows[i + k], rows[i + k + 1], (0, 4, 1, 5)) for k in (0, 2)]
        high = [b.by_four(rows[i + k], rows[i + k + 1], (2, 6, 3, 7)) for k in (0, 2)]
        rows[i : i + 4] = [
            b.by_four(*pair, half) for pair in (low, high) for half in ((0, 1, 4, 5), (2, 3, 6, 7))
        ]
    for j in reversed(range(b.lanes)):
        b.store_at(rows[j], b.row(to, to_step, to_last, j))


# -- tiles -------------------------------------------------------------------------------------------------


@_operation("t(ll)")
def tile(b: Builder, rows, columns):
    """A tile of zeros; rows and columns are numbers known when the kernel is compiled."""
    return b.zero_tile(rows, columns)


@_operation("t(tf)")
def tile_fill(b: Builder, t, x):
    """A tile of the same size with x everywhere."""
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.broadcast(x))
    return t


@_operation("t(tii)")
def tile_max(b: Builder, t, address, step):
    """t[i][j] = the larger of it and the j-th vector from address + i * step; NaN there is passed over."""
    for i in range(t.rows):
        for j in range(t.columns):
            there = b.load_at(b.offset(b.offset(address, b.times(step, i)), j * b.lanes * 4), b.vector)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered(">", there, t.at(i, j)), there, t.at(i, j)))
    return t


@_operation("t(tv)")
def tile_times(b: Builder, t, x):
    """t[i][j] *= x, lane by lane."""
    for i in range(t.rows):
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fmul(t.at(i, j), x))
    return t


@_operation("v(t)")
def tile_sum(b: Builder, t):
    """The sum of all vectors."""
    return b.reduce([t.at(i, j) for i in range(t.rows) for j in range(t.columns)], b.ir.fadd)


@_operation("v(t)")
def tile_largest(b: Builder, t):
    """The largest number of each lane."""
    return b.reduce(
        [t.at(i, j) for i in range(t.rows) for j in range(t.columns)], lambda x, y: maximum(b, x, y)
    )


@_operation("t(tiii)")
def tile_fma(b: Builder, t, a, a_step, w):
    """t[i][j] += a[i] * w[j]: a[i] is the float32 at a + i * a_step, w[j] the j-th vector from w."""
    vectors = [b.load_at(b.offset(w, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        scalar = b.broadcast(b.load_at(b.offset(a, b.times(a_step, i)), b.f32))
        for j, vector in enumerate(vectors):
            t = t.put(i, j, b.multiply_add(scalar, vector, t.at(i, j)))
    return t


@_operation("t(tiii)")
def tile_fma_lanes(b: Builder, t, a, a_step, w):
    """LANES times tile_fma, for consecutive float32 of a and consecutive rows of w: a block of channels."""
    for k in range(b.lanes):
        t = tile_fma(b, t, b.offset(a, 4 * k), a_step, b.offset(w, k * t.columns * b.lanes * 4))
    return t


@_operation("t(tiilll)")
def tile_fma_row(b: Builder, t, inputs, w, taps, stride, dilation):
    """t[i][0] += sum over taps k of (vector at place i * stride + k * dilation of inputs) * (k-th vector of w).

    Every vector of inputs is loaded once, for all the sums that it is part of.
    """
    size = b.lanes * 4
    weights = [b.load_at(b.offset(w, k * size), b.vector) for k in range(taps)]
    for place in range((t.rows - 1) * stride + (taps - 1) * dilation + 1):
        uses = [(place - k * dilation, k) for k in range(taps)]
        uses = [(at // stride, k) for at, k in uses if at % stride == 0 and 0 <= at // stride < t.rows]
        if uses:
            vector = b.load_at(b.offset(inputs, place * size), b.vector)
            for i, k in uses:
                t = t.put(i, 0, b.intrinsic("llvm.fma", vector, weights[k], t.at(i, 0)))
    return t


@_operation("t(ti)")
def tile_add_row(b: Builder, t, address):
    """t[i][j] += the j-th vector from address, for every row i: a bias."""
    vectors = [b.load_at(b.offset(address, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        for j, vector in enumerate(vectors):
            t = t.put(i, j, b.ir.fadd(t.at(i, j), vector))
    return t


@_operation("t(tii)")
def tile_add_column(b: Builder, t, address, step):
    """t[i][j] += the float32 at address + i * step, in every lane: a bias."""
    for i in range(t.rows):
        scalar = b.broadcast(b.load_at(b.offset(address, b.times(step, i)), b.f32))
        for j in range(t.columns):
            t = t.put(i, j, b.ir.fadd(t.at(i, j), scalar))
    return t


@_operation("t(tff)")
def tile_clamp(b: Builder, t, low, high):
    """Every number of the tile limited to [low, high]; NaN stays."""
    low, high = b.broadcast(low), b.broadcast(high)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            x = b.ir.select(b.ir.fcmp_ordered("<", x, low), low, x)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered(">", x, high), high, x))
    return t


@_operation("t(tiii)")
def tile_dot(b: Builder, t, a, a_step, x):
    """t[i][j] += (the j-th vector from a + i * a_step) * (the j-th vector from x), lane by lane."""
    vectors = [b.load_at(b.offset(x, j * b.lanes * 4), b.vector) for j in range(t.columns)]
    for i in range(t.rows):
        row = b.offset(a, b.times(a_step, i))
        for j, vector in enumerate(vectors):
            other = b.load_at(b.offset(row, j * b.lanes * 4), b.vector)
            t = t.put(i, j, b.multiply_add(other, vector, t.at(i, j)))
    return t


@_operation("-(ti)")
def tile_sums(b: Builder, t, address):
    """Write the sum of all numbers of row i to address + 4 * i."""
    for i in range(t.rows):
        total = t.at(i, 0)
        for j in range(1, t.columns):
            total = b.ir.fadd(total, t.at(i, j))
        b.store_at(b.sum_lanes(total), b.offset(address, 4 * i))


@_operation("t(tii)")
def tile_load_add(b: Builder, t, address, step):
    """t[i][j] += the j-th vector from address + i * step."""
    for i in range(t.rows):
        for j in range(t.columns):
            there = b.offset(b.offset(address, b.times(step, i)), j * b.lanes * 4)
            t = t.put(i, j, b.ir.fadd(t.at(i, j), b.load_at(there, b.vector)))
    return t


@_operation("t(tiii)")
def tile_add_blocks(b: Builder, t, address, row_step, column_step):
    """t[i][j] += the vector at address + i * row_step + j * column_step."""
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            there = b.load_at(b.offset(block, b.times(row_step, i)), b.vector)
            t = t.put(i, j, b.ir.fadd(t.at(i, j), there))
    return t


@_operation("-(tiii)")
def tile_store_blocks(b: Builder, t, address, row_step, column_step):
    """Write vector j of row i to address + i * row_step + j * column_step."""
    for j in range(t.columns):
        block = b.offset(address, b.times(column_step, j))
        for i in range(t.rows):
            b.store_at(t.at(i, j), b.offset(block, b.times(row_step, i)))


@_operation("t(tf)")
def tile_leaky(b: Builder, t, slope):
    """x, or slope * x below 0."""
    slope, zero = b.broadcast(slope), b.zero
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            t = t.put(i, j, b.ir.select(b.ir.fcmp_ordered("<", x, zero), b.ir.fmul(x, slope), x))
    return t


@_operation("t(t)")
def tile_sigmoid(b: Builder, t):
    """1 / (1 + exp(-x)) of every number, within 3 ulp."""
    one = b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            e = _exp(b, b.ir.fneg(t.at(i, j)))
            t = t.put(i, j, b.ir.fdiv(one, b.ir.fadd(one, e)))
    return t


@_operation("t(t)")
def tile_swish(b: Builder, t):
    """x * sigmoid(x)."""
    one = b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            t = t.put(i, j, b.ir.fdiv(x, b.ir.fadd(one, _exp(b, b.ir.fneg(x)))))
    return t


@_operation("t(tff)")
def tile_hard_swish(b: Builder, t, alpha, beta):
    """x * clamp(alpha * x + beta, 0, 1)."""
    alpha, beta, one = b.broadcast(alpha), b.broadcast(beta), b.constant(1.0)
    for i in range(t.rows):
        for j in range(t.columns):
            x = t.at(i, j)
            gate = b.intrinsic("llvm.fma", x, alpha, beta)
            gate = b.ir.select(b.ir.fcmp_ordered("<", gate, b.zero), b.zero, gate)
            gate = b.ir.select(b.ir.fcmp_ordered(">", gate, one), one, gate)
            t = t.put(i, j, b.ir.fmul(x, gate))
    return t


def _exp(b: Builder, x):
    """e**x of a vector, within 2 ulp: n = rint(x / ln 2), a degree-6 polynomial of the rest, times 2**n."""
    x = b.ir.select(b.ir.fcmp_ordered(">", x, b.constant(88.3)), b.constant(88.3), x)
    x = b.ir.select(b.ir.fcmp_ordered("<", x, b.constant(-87.3)), b.constant(-87.3), x)
    shift = b.constant(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
    shifted = b.intrinsic("llvm.fma", x, b.constant(1.4426950408889634), shift)
    n = b.ir.fsub(shifted, shift)
    r = b.intrinsic("llvm.fma", n, b.constant(-0.693359375), x)
    r = b.intrinsic("llvm.fma", n, b.constant(2.12194440e-4), r)
    p = b.constant(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = b.intrinsic("llvm.fma", p, r, b.constant(coefficient))
    bits = b.ir.shl(b.ir.bitcast(shifted, b.int_vector), b.int_constant(23))
    return b.ir.bitcast(b.ir.add(b.ir.bitcast(p, b.int_vector), bits), b.vector)


@_operation("-(tii)")
def tile_store(b: Builder, t, address, step):
    """Write vector j of row i to address + i * step + j vectors."""
    for i in range(t.rows):
        row = b.offset(address, b.times(step, i))
        for j in range(t.columns):
            b.store_at(t.at(i, j), b.offset(row, j * b.lanes * 4))


# -- Winograd's transforms ---------------------------------------------------------------------------------


@_operation("-(iiiil)")
def winograd_input(b: Builder, source, source_step, target, target_step, m):
    """B' of F(m, 3) times a column of m + 2 vectors, source_step apart; written target_step apart."""
    vectors = [b.load_at(b.offset(source, b.times(source_step, i)), b.vector) for i in range(m + 2)]
    for i, vector in enumerate(multiply_input(b, m, vectors)):
        b.store_at(vector, b.offset(target, b.times(target_step, i)))


@_operation("-(iiiil)")
def winograd_output(b: Builder, source, source_step, target, target_step, m):
    """A' of F(m, 3) times a column of m + 2 vectors, source_step apart; m vectors are written target_step apart."""
    vectors = [b.load_at(b.offset(source, b.times(source_step, i)), b.vector) for i in range(m + 2)]
    for i, vector in enumerate(multiply_output(b, m, vectors)):
        b.store_at(vector, b.offset(target, b.times(target_step, i)))


# -- bits --------------------------------------------------------------------------------------------------


@_operation("d(i)")
def float64_of_bits(b: Builder, bits):
    return b.ir.bitcast(bits, b.f64)


@_operation("i(d)")
def bits_of_float64(b: Builder, x):
    return b.ir.bitcast(x, b.i64)


@_operation("f(w)")
def float32_of_bits(b: Builder, bits):
    return b.ir.bitcast(bits, b.f32)


@_operation("w(f)")
def bits_of_float32(b: Builder, x):
    return b.ir.bitcast(x, b.i32)


# -- threads -----------------------------------------------------------------------------------------------


@_operation("i(ii)")
def atomic_add(b: Builder, address, amount):
    """Add to the int64 at address; returns what was there before."""
    return b.ir.atomic_rmw("add", b.pointer(address, b.i64), amount, "seq_cst")


@_operation("i(i)")
def atomic_load(b: Builder, address):
    return b.ir.load_atomic(b.pointer(address, b.i64), "seq_cst", 8)


@_operation("-()")
def pause(b: Builder):
    """Tell the processor that this is a spin loop."""
    b.spin_hint()


@_operation("-(iiii)")
def call_kernel(b: Builder, function, args, ith, nth):
    """Call the kernel at address `function`."""
    b.call_address(function, "void", args, ith, nth)


@_operation("-(i)")
def call_void(b: Builder, function):
    """Call the C function without arguments at address `function`, like sched_yield."""
    b.call_address(function, "int")


def address(array) -> int:
    """The address of an array's first element."""
    raise NotImplementedError("only inside a compiled kernel")


@dataclass(frozen=True)
class PerTarget:
    """A module-level number that depends on the target: `ROWS = PerTarget(lambda target: target.registers // 2)`."""

    choose: Callable[[Target], int]


def variant(function: Callable, **values: int | Callable) -> Callable:
    """The function with other values for some of its module's names: one text, compiled for several sizes."""
    return _variant(function, tuple(sorted(values.items())))


@cache
def _variant(function: Callable, values: tuple[tuple[str, int | Callable], ...]) -> Callable:
    scope = {**function.__globals__, **dict(values)}
    clone = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    texts = (f"{k}={getattr(v, '__name__', v)}" for k, v in values)
    clone.__qualname__ = f"{function.__qualname__}({', '.join(texts)})"
    clone.__module__ = function.__module__
    return clone


class Builder:
    """What an operation emits IR with: an llvmlite IRBuilder and the target's vector type."""

    def __init__(self, ir_builder: Any, target: Target):
        from llvmlite import ir as llvm_ir

        self.ir, self.types, self.target, self.lanes = ir_builder, llvm_ir, target, target.lanes
        self.i32, self.i64 = llvm_ir.IntType(32), llvm_ir.IntType(64)
        self.f32, self.f64 = llvm_ir.FloatType(), llvm_ir.DoubleType()
        self.vector = llvm_ir.VectorType(self.f32, target.lanes)

    @property
    def zero(self):
        return self.constant(0.0)

    @property
    def int_vector(self):
        return self.types.VectorType(self.i32, self.lanes)

    def constant(self, x: float):
        """A vector of one number."""
        return self.types.Constant(self.vector, [x] * self.lanes)

    def int_constant(self, x: int):
        return self.types.Constant(self.int_vector, [x] * self.lanes)

    def pointer(self, address, kind):
        return self.ir.inttoptr(address, kind.as_pointer())

    def load_at(self, address, kind, align: int = 4):
        value = self.ir.load(self.pointer(address, kind))
        value.align = align
        return value

    def store_at(self, value, address, align: int = 4) -> None:
        self.ir.store(value, self.pointer(address, value.type)).align = align

    def offset(self, address, amount):
        """address + amount, for a Python int or an IR value."""
        if isinstance(amount, int):
            if amount == 0:
                return address
            amount = self.types.Constant(self.i64, amount)
        return self.ir.add(address, amount)

    def times(self, value, factor: int):
        return self.ir.mul(value, self.types.Constant(self.i64, factor)) if factor else 0

    def broadcast(self, x):
        undefined = self.types.Constant(self.vector, self.types.Undefined)
        one = self.ir.insert_element(undefined, x, self.types.Constant(self.i32, 0))
        lanes = self.types.Constant(self.types.VectorType(self.i32, self.lanes), [0] * self.lanes)
        return self.ir.shuffle_vector(one, undefined, lanes)

    def shuffle(self, x, y, lanes):
        """A vector of these lanes; x's count from 0, y's go on after them."""
        mask = self.types.Constant(self.types.VectorType(self.i32, self.lanes), list(lanes))
        return self.ir.shuffle_vector(x, y, mask)

    def by_four(self, x, y, four):
        """In every group of four lanes the same shuffle, where x's four count from 0 and y's from 4."""
        starts = range(0, self.lanes, 4)
        return self.shuffle(x, y, [s + (k if k < 4 else k - 4 + self.lanes) for s in starts for k in four])

    def row(self, address, step, last, i: int):
        """address + min(i, last) * step."""
        number = self.types.Constant(self.i64, i)
        inside = self.ir.icmp_signed("<", number, last)
        return self.ir.add(address, self.ir.mul(step, self.ir.select(inside, number, last)))

    def reduce(self, vectors, function):
        """function over all vectors, by pairs."""
        while len(vectors) > 1:
            pairs = [function(x, y) for x, y in zip(vectors[::2], vectors[1::2], strict=False)]
            vectors = pairs + vectors[len(pairs) * 2 :]
        return vectors[0]

    def sum_lanes(self, vector):
        """The sum of a vector's lanes, by halves."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            halves = [
                self.types.Constant(self.types.VectorType(self.i32, lanes), list(range(start, start + lanes)))
                for start in (0, lanes)
            ]
            low, high = (self.ir.shuffle_vector(vector, vector, half) for half in halves)
            vector = self.ir.fadd(low, high)
        return self.ir.extract_element(vector, self.types.Constant(self.i32, 0))

    def multiply_add(self, x, y, z):
        """x * y + z in one instruction, or in two where llvm.fma would become a call of the C library."""
        if self.target.fma:
            return self.intrinsic("llvm.fma", x, y, z)
        return self.ir.fadd(self.ir.fmul(x, y), z)

    def intrinsic(self, name: str, *operands):
        kind = operands[0].type
        function = self._declared(f"{name}.v{self.lanes}f32", kind, [o.type for o in operands])
        return self.ir.call(function, operands)

    def zero_tile(self, rows: int, columns: int) -> Tile:
        kind = self.types.ArrayType(self.vector, rows * columns)
        return Tile(self.ir, self.types.Constant(kind, None), rows, columns)

    def spin_hint(self) -> None:
        void = self.types.VoidType()
        if self.target.triple.startswith("x86_64"):
            self.ir.call(self._declared("llvm.x86.sse2.pause", void, []), [])
        elif self.target.triple.startswith("aarch64"):
            self.ir.call(
                self._declared("llvm.aarch64.hint", void, [self.i32]), [self.types.Constant(self.i32, 1)]
            )

    def call_address(self, function, result: str, *operands) -> None:
        returned = self.types.VoidType() if result == "void" else self.i32
        kind = self.types.FunctionType(returned, [self.i64] * len(operands))
        self.ir.call(self.ir.inttoptr(function, kind.as_pointer()), operands)

    def _declared(self, name: str, result, operands):
        found = self.ir.module.globals.get(name)
        kind = self.types.FunctionType(result, operands)
        return found or self.types.Function(self.ir.module, kind, name)


class Tile:
    """An LLVM array of vectors, taken apart and put together again without touching memory."""

    def __init__(self, ir_builder: Any, value: Any, rows: int, columns: int):
        self.ir, self.value, self.rows, self.columns = ir_builder, value, rows, columns

    def at(self, i: int, j: int):
        return self.ir.extract_value(self.value, i * self.columns + j)

    def put(self, i: int, j: int, vector) -> Tile:
        value = self.ir.insert_value(self.value, vector, i * self.columns + j)
        return Tile(self.ir, value, self.rows, self.columns)


@lru_cache
def module_for(target: Target) -> ModuleType:
    """This module as kernels for `target` see it: the same names, as numba intrinsics of that target's width."""
    from . import intrinsics

    module = ModuleType(f"simd for {target}")
    module.LANES = target.lanes  # type: ignore[attr-defined]
    module.REGISTERS = target.registers  # type: ignore[attr-defined]
    module.address = intrinsics.address  # type: ignore[attr-defined]
    for name, (signature, emit) in _OPERATIONS.items():
        setattr(module, name, intrinsics.make(name, signature, emit, target))
    return module
