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
from typing import TYPE_CHECKING

from .builder import OPERATIONS, Builder, operation
from .dots import (  # noqa: F401 (a kernel calls them by simd's name)
    load_byte,
    shift_bytes,
    store_byte,
    store_short,
    tile_add_bytes,
    tile_add_words,
    tile_dot_bytes,
    tile_dot_pairs,
    tile_gate,
    tile_load_row,
    tile_scale,
    tile_slope,
    tile_store_bytes,
    tile_store_places,
    widen_bytes,
)
from .integer import (  # noqa: F401
    load_bytes,
    store_bytes,
    tile_divide,
    tile_less,
    tile_max_bytes,
    tile_sum_bytes,
    tile_whole,
)
from .tiles import (  # noqa: F401 (a kernel calls them by simd's name)
    tile,
    tile_add_blocks,
    tile_add_column,
    tile_add_row,
    tile_clamp,
    tile_dot,
    tile_dot_halves,
    tile_fill,
    tile_fma,
    tile_fma_halves,
    tile_fma_lanes,
    tile_fma_lanes_halves,
    tile_fma_row,
    tile_fma_row_halves,
    tile_hard_swish,
    tile_has_nan,
    tile_largest,
    tile_leaky,
    tile_load_add,
    tile_max,
    tile_sigmoid,
    tile_store,
    tile_store_blocks,
    tile_sum,
    tile_sums,
    tile_swish,
    tile_times,
    winograd_filter,
    winograd_input,
    winograd_output,
)
from .whole_winograd import (  # noqa: F401
    copy_bytes,
    fill_bytes,
    winograd_bytes,
    winograd_shorts,
    winograd_sums,
)

if TYPE_CHECKING:
    from ...engine.kernel import Call
    from .target import Target

LANES = 8  # fp32 numbers in a vector; the target's own when compiled
REGISTERS = 16  # vector registers; the target's own when compiled
SHIFT = (
    0  # what is added to each of four bytes that a lane multiplies at once; the target's own when compiled
)

# -- memory ------------------------------------------------------------------------------------------------


@operation("v(i)")
def load(b: Builder, address):
    """LANES consecutive float32; any alignment."""
    return b.load_at(address, b.vector)


@operation("v(i)")
def load_halves(b: Builder, address):
    """LANES consecutive fp16, as float32."""
    return b.load_halves(address)


@operation("-(iv)")
def store(b: Builder, address, value):
    """Write LANES consecutive float32; any alignment."""
    b.store_at(value, address)


@operation("f(i)")
def load_scalar(b: Builder, address):
    return b.load_at(address, b.f32)


@operation("f(i)")
def load_half(b: Builder, address):
    """A number that lies in memory as fp16."""
    return b.ir.fpext(b.load_at(address, b.types.HalfType(), 2), b.f32)


@operation("-(if)")
def store_scalar(b: Builder, address, value):
    b.store_at(value, address)


@operation("i(i)")
def load_word(b: Builder, address):
    return b.load_at(address, b.i64, 8)


@operation("-(ii)")
def store_word(b: Builder, address, value):
    b.store_at(value, address, 8)


@operation("-(iil)")
def copy_vector(b: Builder, to, source, itemsize):
    """Copy LANES numbers of 1, 2, 4 or 8 bytes."""
    kind = b.types.VectorType(b.types.IntType(8 * itemsize), b.lanes)
    b.store_at(b.load_at(source, kind, itemsize), to, itemsize)


@operation("-(i)")
def prefetch(b: Builder, address):
    """Ask for the cache line at address: it will be read soon."""
    b.prefetch(address)


# -- arithmetic --------------------------------------------------------------------------------------------


@operation("v(f)")
def splat(b: Builder, x):
    """The same number in every lane."""
    return b.broadcast(x)


@operation("v(vvv)")
def fma(b: Builder, x, y, z):
    """x * y + z, rounded once where the target can."""
    return b.multiply_add(x, y, z)


@operation("v(vv)")
def add(b: Builder, x, y):
    return b.ir.fadd(x, y)


@operation("v(vv)")
def subtract(b: Builder, x, y):
    return b.ir.fsub(x, y)


@operation("v(vv)")
def mul(b: Builder, x, y):
    return b.ir.fmul(x, y)


@operation("v(vv)")
def maximum(b: Builder, x, y):
    """The larger; x where either is NaN."""
    return b.maximum(x, y)


@operation("f(v)")
def sum_of(b: Builder, x):
    """The sum of a vector's numbers."""
    return b.sum_lanes(x)


@operation("v(vv)")
def divide(b: Builder, x, y):
    return b.ir.fdiv(x, y)


@operation("v(v)")
def square_root(b: Builder, x):
    return b.intrinsic("llvm.sqrt", x)


@operation("v(vv)")
def leaky(b: Builder, x, slope):
    """x, or slope * x where x is not above 0."""
    return b.ir.select(b.ir.fcmp_ordered(">", x, b.zero), x, b.ir.fmul(x, slope))


# -- blocks of channels ------------------------------------------------------------------------------------


@operation("v(vvv)")
def pick(b: Builder, x, y, numbers):
    """x, but in lane i number numbers[i] of y. The numbers are int32, as they lie in memory; negative ones keep x."""
    numbers = b.ir.bitcast(numbers, b.int_vector)
    return b.ir.select(b.ir.icmp_signed("<", numbers, b.int_constant(0)), x, b.picked(y, numbers))


@operation("-(iiiiiil)")
def transpose(b: Builder, source, source_step, source_last, to, to_step, to_last, itemsize):
    """LANES rows of LANES numbers become columns: row i is read at source + i * source_step, and row j of the
    transposed is written at `to` + j * to_step. A number has 1, 2, 4 or 8 bytes.

    Rows past source_last are that one again, and rows past to_last are not written: written from the last to the
    first, each over the one before, until row to_last covers them.
    """
    kind = b.vector if itemsize == 4 else b.types.VectorType(b.types.IntType(8 * itemsize), b.lanes)
    rows = [b.load_at(b.row(source, source_step, source_last, i), kind, itemsize) for i in range(b.lanes)]
    rows = _turned_by_squares(b, rows) if itemsize == 4 else _turned_by_pairs(b, rows)
    for j in reversed(range(b.lanes)):
        b.store_at(rows[j], b.row(to, to_step, to_last, j), itemsize)


def _turned_by_squares(b: Builder, rows):
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
    return rows


def _turned_by_pairs(b: Builder, rows):
    """Each round mixes the upper half's rows with the lower half's, number by number."""
    lanes, half = b.lanes, b.lanes // 2
    mixed = [k // 2 + k % 2 * lanes for k in range(2 * lanes)]
    for _ in range(lanes.bit_length() - 1):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [b.shuffle(*pair, part) for pair in pairs for part in (mixed[:lanes], mixed[lanes:])]
    return rows


# -- bits --------------------------------------------------------------------------------------------------


@operation("d(i)")
def float64_of_bits(b: Builder, bits):
    return b.ir.bitcast(bits, b.f64)


@operation("i(d)")
def bits_of_float64(b: Builder, x):
    return b.ir.bitcast(x, b.i64)


@operation("f(w)")
def float32_of_bits(b: Builder, bits):
    return b.ir.bitcast(bits, b.f32)


@operation("w(f)")
def bits_of_float32(b: Builder, x):
    return b.ir.bitcast(x, b.i32)


# -- threads -----------------------------------------------------------------------------------------------


@operation("i(ii)")
def atomic_add(b: Builder, address, amount):
    """Add to the int64 at address; returns what was there before."""
    return b.ir.atomic_rmw("add", b.pointer(address, b.i64), amount, "seq_cst")


@operation("-(ii)")
def atomic_store(b: Builder, address, value):
    b.ir.store_atomic(value, b.pointer(address, b.i64), "seq_cst", 8)


@operation("i(iii)")
def compare_exchange(b: Builder, address, wanted, value):
    """Put `value` where `wanted` is, at once; returns what was there before."""
    pair = b.ir.cmpxchg(b.pointer(address, b.i64), wanted, value, "seq_cst", "seq_cst")
    return b.ir.extract_value(pair, 0)


@operation("i(i)")
def atomic_load(b: Builder, address):
    return b.ir.load_atomic(b.pointer(address, b.i64), "seq_cst", 8)


@operation("-()")
def pause(b: Builder):
    """Tell the processor that this is a spin loop."""
    b.spin_hint()


@operation("-(iiii)")
def call_kernel(b: Builder, function, args, ith, nth):
    """Call the kernel at address `function`."""
    b.call_address(function, "void", args, ith, nth)


@operation("-(i)")
def call_void(b: Builder, function):
    """Call the C function without arguments at address `function`, like sched_yield."""
    b.call_address(function, "int")


@operation("i(i)")
def call_word(b: Builder, function):
    """Call the C function without arguments at address `function` for a 64-bit word, like pthread_self."""
    return b.call_address(function, "word")


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


def of_items(function: Callable, call: Call) -> Callable:
    """The function for numbers of x's size, ITEMSIZE bytes."""
    return variant(function, ITEMSIZE=call.specs["x"].dtype.itemsize)  # type: ignore[union-attr]


@lru_cache
def module_for(target: Target) -> ModuleType:
    """This module as kernels for `target` see it: the same names, as numba intrinsics of that target's width."""
    from . import intrinsics

    module = ModuleType(f"simd for {target}")
    module.LANES = target.lanes  # type: ignore[attr-defined]
    module.REGISTERS = target.registers  # type: ignore[attr-defined]
    module.SHIFT = target.shift  # type: ignore[attr-defined]
    module.address = intrinsics.address  # type: ignore[attr-defined]
    for name, (signature, emit) in OPERATIONS.items():
        setattr(module, name, intrinsics.make(name, signature, emit, target))
    return module
