"""launch: how a step's words become the launch of a kernel: how many threads, and what they are given.

A kernel says by its parameters how it is launched:

    shared                bytes of memory for each block, beyond what the kernel declares
    ith, nth and items    one thread an item, numbered ith of nth in all: `for i in range(ith, items, nth)`
    a split               one thread a row of the arrays that are split, which sees that row alone
    blocks_x, threads     blocks_x * blocks_y * blocks_z blocks of `threads` threads, which know their own numbers

An object is a line of JSON that holds a Code, and behind it the code itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from ...engine.errors import CompileError, DeviceError
from ...engine.kernel import Parameter
from ...engine.plan import Step

BLOCKS = ("blocks_x", "blocks_y", "blocks_z")
MOST_ITEMS = (1 << 31) - 1  # kernels count them in 32 bits where that is faster
WAVES = 16  # blocks a multiprocessor, beyond which each thread does several items


@dataclass(frozen=True)
class Code:
    """What is known of an object besides its code.

    name        of the function in it
    language    'numba': arrays are given as numba's kernels take them; 'cuda': as their address, ints have 32 bits;
                'python': as numba's simulator takes them
    parameters  of the kernel function, in order
    function    what it is called here
    """

    name: str
    language: str
    parameters: tuple[Parameter, ...]
    function: str = ""

    def object(self, code: bytes) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n" + code

    @classmethod
    def read(cls, data: bytes) -> tuple[Code, bytes]:
        """(what is known, the code) of an object."""
        line, code = bytes(data).split(b"\n", 1)
        fields = json.loads(line)
        parameters = tuple(Parameter(**p) for p in fields.pop("parameters"))
        return cls(**fields, parameters=parameters), code


@dataclass(frozen=True)
class Launch:
    """A kernel, how many blocks of how many threads run it, and what it is given."""

    grid: tuple[int, int, int]
    threads: int
    values: Any
    shared: int = 0

    @property
    def empty(self) -> bool:
        """Nothing is to be done: a batch of no images."""
        return 0 in self.grid


def launch_of(code: Code, step: Step, addresses: Mapping[int, int], card: Any) -> Launch:
    """The launch of a step, with its addresses filled in."""
    words = list(step.words)
    for index, region in step.relocations:
        words[index] += addresses[region]
    values: list[Any] = []
    numbers: dict[str, int] = {}
    rows = None
    at = 0
    for p in code.parameters:
        mine, at = words[at : at + p.words], at + p.words
        if p.kind == "array":
            if p.split:
                rows = mine[1]
            values += _array(code.language, p, mine[0], mine[1:])
        elif p.kind == "int":
            numbers[p.name] = mine[0]
            values.append(mine[0])
        elif p.kind == "float":
            values.append(_float(mine[0]))
    if "threads" in numbers:
        grid = tuple(numbers.get(axis, 1) for axis in BLOCKS)
        threads = numbers["threads"]
    else:
        items = numbers.get("items", rows)
        if items is None:
            raise CompileError(
                f"kernel {step.kernel} does not say how many threads it wants: give it a parameter items"
            )
        threads = card.threads
        grid = (min(-(-items // threads), WAVES * card.multiprocessors), 1, 1)
    if numbers.get("items", 0) > MOST_ITEMS:
        raise DeviceError(
            f"{step.layer} has {numbers['items']:,} results, too many for cuda: give it a smaller batch"
        )
    if code.language == "python":
        return Launch(grid, threads, values)
    packed = [struct.pack("<fi", v, 0) if isinstance(v, np.float32) else struct.pack("<q", v) for v in values]
    return Launch(grid, threads, np.frombuffer(b"".join(packed), np.uint64), numbers.get("shared", 0))


def _float(word: int) -> np.float32:
    """A number that a plan wrote as the bits of a float64."""
    return np.float32(struct.unpack("<d", struct.pack("<q", word))[0])


def _array(language: str, p: Parameter, address: int, shape: Sequence[int]) -> list[Any]:
    """What stands for an array parameter."""
    if language == "cuda":
        return [address]
    if language == "python":
        from .simulator import array_at

        return [array_at(address, p.dtype, shape)]
    size = np.dtype(p.dtype).itemsize
    strides = [size * prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return [
        0,
        0,
        prod(shape),
        size,
        address,
        *shape,
        *strides,
    ]  # numba's own record of an array, field by field
