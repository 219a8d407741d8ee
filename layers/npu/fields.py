"""fields: a command's parts, declared once: the dataclass, its bytes, and the tables of docs/npu.md come from here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import MISSING, Field, field, fields
from typing import Any, ClassVar, TypeVar

from ...engine.errors import CompileError, FileError

SIZE = 80  # bytes of a command
_KINDS = {"B": "u8", "b": "i8", "H": "u16", "I": "u32", "f": "f32"}


def _part(format: str, meaning: str, default: Any = MISSING) -> Any:
    metadata = {"format": format, "meaning": meaning}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def u8(meaning: str, default: Any = MISSING) -> Any:
    return _part("B", meaning, default)


def i8(meaning: str, default: Any = MISSING) -> Any:
    return _part("b", meaning, default)


def u16(meaning: str, default: Any = MISSING) -> Any:
    return _part("H", meaning, default)


def u32(meaning: str, default: Any = MISSING, count: int = 1) -> Any:
    return _part(f"{count}I" if count > 1 else "I", meaning, default)


def f32(meaning: str, default: Any = MISSING) -> Any:
    return _part("f", meaning, default)


def several(format: str, count: int, meaning: str, default: Any = MISSING) -> Any:
    """`count` numbers in a row, of one format: a tuple."""
    return _part(f"{count}{format}", meaning, default)


class Command:
    """What all commands share: 80 bytes, little-endian, unaligned: the code, then the fields; the rest is zero."""

    code: ClassVar[int]
    does: ClassVar[str] = ""

    def encode(self) -> bytes:
        """Its 80 bytes. Raises CompileError if a number does not fit into its field."""
        packed = struct.pack("B", self.code)
        for part in fields(self):  # type: ignore[arg-type]
            value = getattr(self, part.name)
            try:
                packed += struct.pack("<" + part.metadata["format"], *_numbers(value))
            except struct.error:
                kind = kind_of(part)
                raise CompileError(f"{self.name}: {part.name} is {value}, which no {kind} holds") from None
        return packed.ljust(SIZE, b"\0")

    @property
    def name(self) -> str:
        return type(self).__name__.upper()


C = TypeVar("C", bound="type[Command]")
COMMANDS: dict[int, type[Command]] = {}


def command(code: int) -> Any:
    """Register a dataclass of fields as the command with this code."""

    def register(cls: C) -> C:
        cls.code = code
        COMMANDS[code] = cls
        return cls

    return register


def decode(data: bytes, where: str) -> Command:
    """80 bytes -> a command. Raises FileError for an unknown code, or if the rest is not zero."""
    cls = COMMANDS.get(data[0])
    if cls is None:
        raise FileError(f"{where}: there is no command with code {data[0]}")
    values, at = {}, 1
    for part, size in parts(cls):
        numbers = struct.unpack_from("<" + part.metadata["format"], data, at)
        values[part.name] = numbers if part.metadata["format"][0].isdigit() else numbers[0]
        at += size
    if any(data[at:]):
        raise FileError(f"{where}: the bytes behind {cls.__name__.upper()}'s fields are not zero")
    return cls(**values)


def parts(cls: type[Command]) -> Iterator[tuple[Field, int]]:
    """The fields of a command in order, and how many bytes each takes."""
    for part in fields(cls):  # type: ignore[arg-type]
        yield part, struct.calcsize("<" + part.metadata["format"])


def kind_of(part: Field) -> str:
    """'u16', 'u32 × 3'"""
    format = part.metadata["format"]
    return _KINDS[format[-1]] + (f" × {format[:-1]}" if format[:-1] else "")


def _numbers(value: Any) -> tuple:
    return tuple(value) if isinstance(value, tuple) else (value,)
