"""builder: how a simd operation is declared, and what it emits LLVM IR with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .target import Target


OPERATIONS: dict[str, tuple[str, Callable]] = {}


def operation(signature: str) -> Callable[[Callable], Callable]:
    """Declare an operation: 'v(i)' takes an int64 and gives a vector. The body emits LLVM IR with a Builder."""

    def declare(emit: Callable) -> Callable:
        OPERATIONS[emit.__name__] = (signature, emit)
        return emit

    return declare


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

    def load_halves(self, address):
        """The vector whose numbers lie at address as fp16."""
        halves = self.load_at(address, self.types.VectorType(self.types.HalfType(), self.lanes), 2)
        return self.ir.fpext(halves, self.vector)

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

    def joined(self, vectors):
        """One vector of the lanes of all, in order."""
        first, *rest = vectors
        for vector in rest:
            before, more = first.type.count, vector.type.count
            lanes = [min(k, more - 1) for k in range(before)]  # shuffles take operands of one length
            kind = self.types.VectorType(self.i32, before)
            same = self.ir.shuffle_vector(vector, vector, self.types.Constant(kind, lanes))
            order = self.types.Constant(
                self.types.VectorType(self.i32, before + more), list(range(before + more))
            )
            first = self.ir.shuffle_vector(first, same, order)
        return first

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

    def maximum(self, x, y):
        """The larger of each lane; x where either is NaN."""
        return self.ir.select(self.ir.fcmp_ordered(">", y, x), y, x)

    def picked(self, vector, numbers):
        """The vector's lanes in the order of an int vector of numbers; anything where a number is none of a lane's."""
        if self.target.triple.startswith("x86_64") and self.lanes >= 8:
            name = {8: "avx2.permps", 16: "avx512.permvar.sf.512"}[self.lanes]
            function = self._declared(f"llvm.x86.{name}", self.vector, [self.vector, self.int_vector])
            return self.ir.call(function, [vector, numbers])
        picked = self.types.Constant(self.vector, self.types.Undefined)
        for lane in range(self.lanes):
            at = self.types.Constant(self.i32, lane)
            number = self.ir.and_(
                self.ir.extract_element(numbers, at), self.types.Constant(self.i32, self.lanes - 1)
            )
            picked = self.ir.insert_element(picked, self.ir.extract_element(vector, number), at)
        return picked

    def larger(self, x, y):
        """The larger of each lane, of whole numbers."""
        return self.ir.select(self.ir.icmp_signed(">", x, y), x, y)

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

    def prefetch(self, address) -> None:
        """To read, into the nearest cache."""
        i8 = self.types.IntType(8)
        kinds = [i8.as_pointer(), self.i32, self.i32, self.i32]
        function = self._declared("llvm.prefetch.p0", self.types.VoidType(), kinds)
        read, near, data = (self.types.Constant(self.i32, k) for k in (0, 2, 1))
        self.ir.call(function, [self.pointer(address, i8), read, near, data])

    def as_it_is(self, vector):
        """The vector, of which LLVM believes nothing: it would add up a sum's terms in another order, and for that
        keep more of them than there are registers. x86 only."""
        kind = self.types.FunctionType(vector.type, [vector.type])
        return self.ir.call(self.types.InlineAsm(kind, "", "=v,0"), [vector])

    def spin_hint(self) -> None:
        void = self.types.VoidType()
        if self.target.triple.startswith("x86_64"):
            self.ir.call(self._declared("llvm.x86.sse2.pause", void, []), [])
        elif self.target.triple.startswith("aarch64"):
            self.ir.call(
                self._declared("llvm.aarch64.hint", void, [self.i32]), [self.types.Constant(self.i32, 1)]
            )

    def call_address(self, function, result: str, *operands):
        returned = {"void": self.types.VoidType(), "int": self.i32, "word": self.i64}[result]
        kind = self.types.FunctionType(returned, [self.i64] * len(operands))
        return self.ir.call(self.ir.inttoptr(function, kind.as_pointer()), operands)

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
