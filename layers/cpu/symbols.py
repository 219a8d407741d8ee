"""symbols: what a compiled object asks of the machine it is linked into.

Read from the object itself, since LLVM decides late: an operation that a target lacks becomes a call of a library.

ELF: System V ABI, generic part, chapter "Object Files". WebAssembly: core specification, chapter "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SYMBOL_TABLE = 2  # ELF section type
_IMPORTS = 2  # wasm section


def undefined(data: bytes) -> set[str]:
    """The names of the functions and variables that an ELF or wasm object does not define itself.

    Raises ValueError for anything else.
    """
    if data[:4] == b"\x7fELF" and data[5:6] == b"\x01":
        return set(_undefined_in_elf(data, data[4] == 2))
    if data[:4] == b"\0asm":
        return set(_imported_by_wasm(data))
    raise ValueError("neither a little-endian ELF object nor a wasm one")


def _undefined_in_elf(data: bytes, wide: bool) -> Iterator[str]:
    table = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)[0]
    count = struct.unpack_from("<H", data, 60 if wide else 48)[0]
    # name, type, flags, address, offset, size, link, info, alignment, entry size
    layout = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
    sections = [struct.unpack_from(layout, data, table + struct.calcsize(layout) * i) for i in range(count)]
    symbol = struct.Struct("<IBBHQQ" if wide else "<IIIBBH")  # the name comes first in both
    section_at = 3 if wide else 5
    for _, kind, _, _, at, size, link, *_ in sections:
        if kind != _SYMBOL_TABLE:
            continue
        strings = sections[link][4]
        for place in range(at + symbol.size, at + size, symbol.size):  # the first one is nobody
            fields = symbol.unpack_from(data, place)
            if fields[section_at] == 0:
                start = strings + fields[0]
                yield data[start : data.index(b"\0", start)].decode()


def _imported_by_wasm(data: bytes) -> Iterator[str]:
    """Functions only: memory, table and stack pointer are what the linker gives to every object."""
    at = 8
    while at < len(data):
        section = data[at]
        size, at = _number(data, at + 1)
        end = at + size
        if section == _IMPORTS:
            count, at = _number(data, at)
            for _ in range(count):
                _, at = _name(data, at)
                name, at = _name(data, at)
                kind, at = data[at], at + 1
                if kind == 0:  # function: its type
                    yield name
                    _, at = _number(data, at)
                elif kind in (1, 2):  # table: its element type first; memory: limits
                    at += kind == 1
                    bounded, at = data[at], at + 1
                    for _ in range(1 + (bounded & 1)):
                        _, at = _number(data, at)
                else:  # global: type, mutability
                    at += 2
        at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, at = _number(data, at)
    return data[at : at + size].decode(), at + size
