"""program: a .npu file. docs/npu.md has it byte by byte.

    header, 64 bytes | inputs and outputs | commands, 80 bytes each | weights image

Everything little-endian. What is read is believed only after it was checked: lengths, checksum, every address.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from ...engine.errors import FileError
from .commands import FP32, INT8, INT32
from .fields import SIZE, Command, decode
from .machine import CHIP, DRAM_MOST, Machine
from .touch import CHIP as CHIP_MEMORY
from .touch import DRAM, IMAGE, WEIGHTS
from .verify import verify

MAGIC = b"FBNETNPU"
VERSION = 1
DTYPES = {"int8": INT8, "fp32": FP32, "int32": INT32}
_HEADER = struct.Struct("<8sHHIIIIIHHIIIII4x4x")  # see header()
_MOST_AXES = 8


@dataclass(frozen=True)
class End:
    """An input or output: one image of it, in DRAM."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    dram: int

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * (1 if self.dtype == "int8" else 4)


@dataclass(frozen=True)
class Program:
    """What the chip runs.

    dram   bytes of DRAM for inputs, outputs and what lies between
    image  the weights image: weights, biases, multipliers, tables
    names  of the layer that each command is for; only where it was assembled, not in the file
    """

    inputs: Sequence[End]
    outputs: Sequence[End]
    commands: Sequence[Command]
    image: bytes
    dram: int
    machine: Machine = CHIP
    names: Sequence[str] = field(default=(), compare=False)

    def check(self) -> Program:
        """Itself. Raises FileError if a command or a tensor leaves its memory."""
        if self.dram > DRAM_MOST:
            raise FileError(f"the program asks for {self.dram:,} bytes of DRAM, but there are {DRAM_MOST:,}")
        for end in (*self.inputs, *self.outputs):
            if end.dram + end.nbytes > self.dram:
                raise FileError(
                    f"tensor {end.name!r} ends at byte {end.dram + end.nbytes} of DRAM, which has {self.dram}"
                )
        m = self.machine
        verify(
            self.commands,
            {DRAM: self.dram, IMAGE: len(self.image), CHIP_MEMORY: m.activations, WEIGHTS: m.weights},
        )
        return self

    def write(self) -> bytes:
        """The file."""
        ends = b"".join(map(_end_bytes, (*self.inputs, *self.outputs)))
        ends += bytes(-len(ends) % 16)
        code = b"".join(command.encode() for command in self.commands)
        body = ends + code + self.image
        numbers = len(self.inputs), len(self.outputs), len(ends), len(self.commands), len(self.image)
        return self._header(body, *numbers) + body

    def _header(self, body: bytes, inputs: int, outputs: int, ends: int, commands: int, image: int) -> bytes:
        sizes = self.machine.activations, self.machine.weights, self.dram
        return _HEADER.pack(
            MAGIC, VERSION, SIZE, zlib.crc32(body), _HEADER.size + len(body), *sizes,
            inputs, outputs, ends, commands, image, 0, 0,
        )  # fmt: skip

    @classmethod
    def read(cls, data: bytes, machine: Machine = CHIP, where: str = "program") -> Program:
        """The program in a file's bytes. Raises FileError if it is damaged, hostile, or for another chip."""
        if len(data) < _HEADER.size or data[:8] != MAGIC:
            raise FileError(f"{where}: no .npu file: it begins with {data[:8]!r}, not {MAGIC!r}")
        (_, version, size, checksum, length, activations, weights, dram,
         inputs, outputs, ends, count, image, *zero) = _HEADER.unpack_from(data)  # fmt: skip
        if version != VERSION or size != SIZE or any(zero):
            raise FileError(f"{where}: it is of version {version}; this chip runs version {VERSION}")
        if (activations, weights) != (machine.activations, machine.weights):
            raise FileError(
                f"{where}: it was assembled for buffers of {activations:,} and {weights:,} bytes; "
                f"this chip has {machine.activations:,} and {machine.weights:,}"
            )
        if length != len(data) or length != _HEADER.size + ends + count * SIZE + image:
            raise FileError(f"{where}: it has {len(data):,} bytes, but its header says {length:,}")
        body = memoryview(data)[_HEADER.size :]
        if zlib.crc32(body) != checksum:
            raise FileError(f"{where}: its checksum is wrong: it is damaged")
        found = _read_ends(bytes(body[:ends]), inputs + outputs, where)
        starts = range(ends, ends + count * SIZE, SIZE)
        commands = [
            decode(bytes(body[at : at + SIZE]), f"{where}: command {n}") for n, at in enumerate(starts)
        ]
        tail = bytes(body[ends + count * SIZE :])
        return cls(found[:inputs], found[inputs:], commands, tail, dram, machine).check()


def _end_bytes(end: End) -> bytes:
    name = end.name.encode()
    head = struct.pack("<IHBB", end.dram, len(name), DTYPES[end.dtype], len(end.shape))
    return head + struct.pack(f"<{len(end.shape)}I", *end.shape) + name


def _read_ends(data: bytes, count: int, where: str) -> list[End]:
    kinds, found, at = {code: name for name, code in DTYPES.items()}, [], 0
    try:
        for _ in range(count):
            dram, length, kind, axes = struct.unpack_from("<IHBB", data, at)
            shape = struct.unpack_from(f"<{axes}I", data, at + 8)
            at += 8 + 4 * axes + length
            name = data[at - length : at].decode()
            if at > len(data) or axes > _MOST_AXES or kind not in kinds:
                raise ValueError
            found.append(End(name, kinds[kind], shape, dram))
    except (struct.error, ValueError):
        raise FileError(f"{where}: its tensor {len(found)} makes no sense") from None
    return found
