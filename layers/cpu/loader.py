"""loader: native objects -> addresses that can be called.

Our objects are closed: they refer to nothing but themselves and, now and then, to memcpy. So on Linux x86-64 loading
one is copying its sections into executable memory and filling in a handful of relative addresses, which is done here
in a screenful instead of loading LLVM (0.2 s and 60 MB). Elsewhere llvmlite's JIT linker does it.

ELF: System V ABI, generic part, chapters "Object Files" and "Relocation"; x86-64 psABI, section 4.4.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ...engine.errors import DeviceError

ENTRY = "fbnet_entry"

_ALLOC = 0x2  # section flag: occupies memory at run time
_NOBITS = 8  # section type: zeros, not in the file
_SYMTAB, _RELA = 2, 4
_PC32, _PLT32, _ABS64 = 2, 4, 1  # x86-64 relocation types
_PAGE = 64  # sections are placed at cache lines
_STUB = b"\xff\x25\x00\x00\x00\x00"  # jmp *(%rip): to the 8-byte address that follows
_FOREIGN = ("memcpy", "memmove", "memset")


def load(objects: Sequence[bytes]) -> tuple[list[int], Any]:
    """Make objects executable. Returns each one's entry address, and what must be kept alive meanwhile.

    Raises DeviceError if an object is damaged or the system forbids executable memory.
    """
    if sys.platform == "linux" and platform.machine() == "x86_64":
        with suppress(PermissionError):  # a hardened system: the JIT linker knows other ways
            return _load_elf(objects)
    return _load_by_llvm(objects)


def _load_elf(objects: Sequence[bytes]) -> tuple[list[int], Any]:
    try:
        images = [_Image(data) for data in objects]
        memory = mmap.mmap(
            -1,
            max(1, sum(image.size for image in images)),
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
        )
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        entries, offset = [], 0
        for image in images:
            entries.append(image.place(memory, base, offset))
            offset += image.size
    except PermissionError:
        raise
    except (struct.error, LookupError, ValueError, OverflowError, OSError) as error:
        raise DeviceError(f"a compiled object is damaged ({error}): clear the cache folder") from None
    return entries, memory


class _Image:
    """One ELF object, laid out from offset 0 and then placed somewhere."""

    def __init__(self, data: bytes):
        self.data = data
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != 62:
            raise ValueError("not an ELF object for x86-64")
        table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
        # name, type, flags, address, offset, size, link, info, alignment, entry size
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
        self.offsets: dict[int, int] = {}
        self.size = 0
        for index, (_, kind, flags, _, at, size, _, _, _, _) in enumerate(self.sections):
            if kind != _NOBITS and at + size > len(data):
                raise ValueError("cut short")
            if flags & _ALLOC and size and not self._is_unwind(kind):
                self.offsets[index] = self.size
                self.size += -(-size // _PAGE) * _PAGE
        self.stubs = {name: self.size + 16 * i for i, name in enumerate(_FOREIGN)}
        self.size += _PAGE

    @staticmethod
    def _is_unwind(kind: int) -> bool:
        return kind == 0x70000001  # .eh_frame: kernels raise nothing, so nobody unwinds them

    def place(self, memory: mmap.mmap, base: int, start: int) -> int:
        """Copy the sections to memory[start:], fill in addresses; returns the entry's address."""
        for index, offset in self.offsets.items():
            _, kind, _, _, at, size, *_ = self.sections[index]
            if kind != _NOBITS:
                memory[start + offset : start + offset + size] = self.data[at : at + size]
        for name, offset in self.stubs.items():
            memory[start + offset : start + offset + 14] = _STUB + struct.pack("<Q", _foreign_address(name))
        symbols = self._symbols()
        for _, kind, _, _, at, size, _, into, _, _ in self.sections:
            if kind == _RELA and into in self.offsets:
                for k in range(at, at + size, 24):
                    where, info, addend = struct.unpack_from("<QQq", self.data, k)
                    place = start + self.offsets[into] + where
                    target = start + symbols[info >> 32][1] + addend
                    if info & 0xFFFFFFFF in (_PC32, _PLT32):
                        struct.pack_into("<i", memory, place, target - place)
                    elif info & 0xFFFFFFFF == _ABS64:
                        struct.pack_into("<Q", memory, place, base + target)
                    else:
                        raise ValueError(f"relocation type {info & 0xFFFFFFFF}")
        return base + start + {name: offset for name, offset in symbols.values()}[ENTRY]

    def _symbols(self) -> dict[int, tuple[str, int]]:
        """Symbol index -> name and offset in the laid out image."""
        found = {}
        for _, kind, _, _, at, size, link, _, _, _ in self.sections:
            if kind != _SYMTAB:
                continue
            strings = self.sections[link][4]
            for index in range(size // 24):
                name_at, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", self.data, at + 24 * index)
                end = self.data.index(b"\0", strings + name_at)
                name = self.data[strings + name_at : end].decode()
                if section in self.offsets:
                    found[index] = (name, self.offsets[section] + value)
                elif section == 0 and name in self.stubs:
                    found[index] = (name, self.stubs[name])
        return found


def _foreign_address(name: str) -> int:
    """The address of a C function in this process."""
    return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0


def _load_by_llvm(objects: Sequence[bytes]) -> tuple[list[int], Any]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    jit = llvm.create_lljit_compiler()
    libraries = []
    for index, data in enumerate(objects):
        builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process().export_symbol(ENTRY)
        libraries.append(builder.link(jit, f"kernel{index}"))
    return [library[ENTRY] for library in libraries], (jit, libraries)
