"""entry: the C function by which a plan calls a kernel, `void fbnet_entry(const int64 *args, int64 ith, int64 nth)`.

args are the words that a plan recorded: an array's address and sizes, a number's bits. The entry makes of them what
numba passes from function to function, cuts arrays into this thread's share, and calls the kernel. It is written as
LLVM text; through numba's front end it would take longer to make than most kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...engine.kernel import Parameter

ENTRY = "fbnet_entry"


def argument_types(parameters: Sequence[Parameter]) -> tuple[Any, ...]:
    """numba's types of a kernel's parameters."""
    from numba import types

    def of(p: Parameter) -> Any:
        if p.kind == "array":
            return types.Array(getattr(types, f"{_stored(p)}"), p.ndim, "C")
        return types.float32 if p.kind == "float" else types.int64

    given = {p.name: of(p) for p in parameters}
    return tuple(given[p.same or p.name] for p in parameters)


def entry_text(kernel: str, parameters: Sequence[Parameter]) -> str:
    """The LLVM module of an entry that calls the function `kernel`, as numba has compiled it."""
    from llvmlite import ir

    word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
    module = ir.Module()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * 3), ENTRY)
    writer = _Entry(ir.IRBuilder(entry.append_basic_block()), *entry.args)
    arguments = list(writer.arguments(parameters))
    kinds = [pointer, pointer, *(a.type for a in arguments)]  # first where numba wants a result and an error
    inner = ir.Function(module, ir.FunctionType(ir.IntType(32), kinds), kernel)
    outs = [writer.ir.alloca(pointer) for _ in range(2)]
    writer.ir.call(inner, [*(writer.ir.bitcast(out, pointer) for out in outs), *arguments])
    writer.ir.ret_void()
    return str(module)


class _Entry:
    """Writes an entry's body."""

    def __init__(self, builder: Any, args: Any, ith: Any, nth: Any):
        from llvmlite import ir

        self.ir, self.args, self.share = builder, args, {"ith": ith, "nth": nth}
        self.word, self.float, self.null = ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()(None)

    def arguments(self, parameters: Sequence[Parameter]) -> Iterator[Any]:
        """What the kernel is called with: an array is several values, every other parameter is one."""
        unit, index, made = share_unit([p for p in parameters if p.split]), 0, {}
        for p in parameters:
            words = [self.load(index + k) for k in range(p.words)]
            index += p.words
            if p.same:  # said at compile time, or LLVM would take the slow way whenever the two overlap
                made[p.name] = made[p.same]
            elif p.kind == "share":
                made[p.name] = [self.share[p.name]]
            elif p.kind == "block":
                made[p.name] = [self.args]
            elif p.kind == "float":
                made[p.name] = [self.float_of(words[0])]
            elif p.kind == "array":
                made[p.name] = self.array(p, words, unit)
            else:
                made[p.name] = words
            yield from made[p.name]

    def load(self, index: int) -> Any:
        """A word of the plan's."""
        address = self.ir.add(self.args, self.word(8 * index))
        return self.ir.load(self.ir.inttoptr(address, self.word.as_pointer()))

    def float_of(self, bits: Any) -> Any:
        """The float32 of a float64's bits."""
        from llvmlite import ir

        return self.ir.fptrunc(self.ir.bitcast(bits, ir.DoubleType()), self.float)

    def array(self, p: Parameter, words: Sequence[Any], unit: int) -> list[Any]:
        """An array as numba passes it: owner, parent, count, bytes of an element, address, sizes, strides."""
        address, *sizes = words
        itemsize = _stored(p).itemsize
        if p.split:
            address, sizes[0] = self.cut(address, sizes, itemsize, unit)
        strides, count = [self.word(itemsize)], self.word(1)
        for size in reversed(sizes):
            strides.insert(0, self.ir.mul(strides[0], size))
            count = self.ir.mul(count, size)
        start = self.ir.inttoptr(address, self.null.type)
        return [self.null, self.null, count, self.word(itemsize), start, *sizes, *strides[1:]]

    def cut(self, address: Any, sizes: Sequence[Any], itemsize: int, unit: int) -> tuple[Any, Any]:
        """The address and first size of this thread's share, in whole units of the first axis."""
        size, *rest = sizes
        units = self.ir.udiv(self.ir.add(size, self.word(unit - 1)), self.word(unit))

        def bound(share: Any) -> Any:
            before = self.ir.udiv(self.ir.mul(units, share), self.share["nth"])
            return self.ir.mul(before, self.word(unit))

        low, high = bound(self.share["ith"]), bound(self.ir.add(self.share["ith"], self.word(1)))
        high = self.ir.select(self.ir.icmp_signed("<", high, size), high, size)
        stride = self.word(itemsize)
        for other in rest:
            stride = self.ir.mul(stride, other)
        return self.ir.add(address, self.ir.mul(low, stride)), self.ir.sub(high, low)


def share_unit(split: Sequence[Parameter]) -> int:
    """How many elements of the first axis go together: whole cache lines if every array that is cut is flat."""
    if not split or any(p.ndim > 1 for p in split):
        return 1
    return max(1, 64 // min(np.dtype(p.dtype).itemsize for p in split))


def _stored(p: Parameter) -> np.dtype:
    """An array's dtype as kernels see it: numba has no float16 on CPUs, so its bits."""
    kind = np.dtype(p.dtype)
    return np.dtype(np.uint16) if kind == np.float16 else kind
