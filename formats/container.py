"""The outside of a .fbnet file: a FlatBuffer, its seal, and aligned blobs. `fbnet.fbs` is the specification.

A file is mapped, never read: its root is decoded and checked when it is opened, a blob is looked at, and compared
with its digest, when it is first used. A file is written beside its name and then renamed, so that it appears whole
or not at all, and so that whoever has the old one mapped keeps it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import FbnetError, FileError, InputError
from ..engine.tensor import content_digest
from . import flatbuffer
from .flatbuffer import Malformed
from .schema import Schema, parse

VERSION = 1
ALIGNMENT = 64  # bytes; every blob begins at a multiple
SEAL_BYTES = 16  # the digest that follows the root
MAX_ROOT_BYTES = 64 << 20
FIXED = ("version", "file_bytes", "root_bytes")  # fields that every version has in the same place

Blob = Callable[[], memoryview]  # maps a blob and checks its digest


@cache
def schema() -> Schema:
    """The schema in fbnet.fbs."""
    return parse(Path(__file__).with_name("fbnet.fbs").read_text("utf-8"))


# -- reading -----------------------------------------------------------------------------------------------


def mapped(path: str | Path) -> mmap.mmap | bytes:
    """The bytes of a file, mapped; b'' if it is empty. Raises FileError."""
    try:
        if os.path.isfile(path):  # opening a pipe would wait for its other end
            with open(path, "rb") as file:
                empty = os.fstat(file.fileno()).st_size == 0
                return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        problem = "it is not a file" if os.path.exists(path) else "there is no such file"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        problem = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    raise FileError(f"{path}: {problem}")


class Container:
    """The bytes of a file, and the blobs found in them. `source` is what late errors call the file."""

    def __init__(self, data: bytes | mmap.mmap, source: str):
        self.data, self.source = data, source
        self.blobs: list[Blob] = []
        self._first_blob = 0
        self._spans: list[tuple[int, int, str]] = []  # where each blob begins and ends, and whose it is
        self._verified: set[tuple[int, int, str]] = set()

    def root(self, only: Sequence[str] | None = None) -> dict[str, Any]:
        """The root table, or those of its fields, everything around it checked. Raises FileError."""
        self._check_identifier()
        head = flatbuffer.decode(schema(), self.data, MAX_ROOT_BYTES, FIXED)
        version, file_bytes, root_bytes = (head[name] for name in FIXED)
        length = len(self.data)
        if version != VERSION:
            todo = "update fbnet" if version > VERSION else "it is damaged"
            raise Malformed(f"it is {version} and this fbnet reads {VERSION}: {todo}").within("version")
        if file_bytes != length:
            raise Malformed(f"the file has {length} bytes of {file_bytes}: fetch it again").within(
                "file_bytes"
            )
        if not 8 <= root_bytes <= min(MAX_ROOT_BYTES, length - SEAL_BYTES):
            raise Malformed(f"it cannot be {root_bytes} in a file of {length} bytes").within("root_bytes")
        self._first_blob = root_bytes + SEAL_BYTES
        root = flatbuffer.decode(schema(), self.data, root_bytes, only)
        if _seal(memoryview(self.data)[:root_bytes]) != self.data[root_bytes : self._first_blob]:
            raise Malformed(f"the first {root_bytes} bytes do not match their digest: the file is damaged")
        return root

    def _check_identifier(self) -> None:
        wanted, found = schema().identifier, bytes(self.data[4:8])
        if not self.data:
            raise Malformed("the file is empty")
        if found != wanted and flatbuffer.is_plausible(self.data):
            raise Malformed(f"a FlatBuffer of another kind: its identifier is {found!r}, not {wanted!r}")
        if found != wanted:
            raise Malformed(f"not a .fbnet file: bytes 4 to 7 are {found!r}, not {wanted!r}")

    def blob(self, row: Mapping[str, Any], owner: str) -> Blob:
        """What a row's offset, nbytes and digest refer to, its place checked. Raises FileError."""
        offset, nbytes, digest = row["offset"], row["nbytes"], row["digest"]
        if offset % ALIGNMENT:
            raise Malformed(f"{offset} is not a multiple of {ALIGNMENT}").within("offset")
        if offset < self._first_blob:
            raise Malformed(f"{offset} lies inside the first {self._first_blob} bytes").within("offset")
        if offset + nbytes > len(self.data):
            problem = f"{nbytes} bytes at {offset} lie past the end ({len(self.data)})"
            raise Malformed(problem).within("offset")
        self._spans.append((offset, offset + nbytes, owner))
        self.blobs.append(partial(self._verified_view, offset, nbytes, digest, owner))
        return self.blobs[-1]

    def _verified_view(self, offset: int, nbytes: int, digest: str, owner: str) -> memoryview:
        """A blob's bytes, after they were compared with its digest, once."""
        view = memoryview(self.data)[offset : offset + nbytes]
        if (offset, nbytes, digest) not in self._verified:
            found = content_digest(view)
            if found != digest:
                raise FileError(
                    f"{self.source}: {owner}: {nbytes} bytes at {offset} have the digest {found}, not {digest}: "
                    "the file is damaged; fetch or convert it again"
                )
            self._verified.add((offset, nbytes, digest))
        return view

    def check_overlap(self) -> None:
        """Refuse blobs that are neither the same nor apart. Raises FileError."""
        spans = sorted(span for span in self._spans if span[0] < span[1])
        for (start, end, one), (next_start, next_end, other) in pairwise(spans):
            if next_start < end and (start, end) != (next_start, next_end):
                raise Malformed(f"the data of {one} and of {other} overlap at {next_start}")


# -- writing -----------------------------------------------------------------------------------------------


class Contents:
    """The blobs of a file that is being written, each content once, and the rows that refer to them."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}  # digest -> bytes
        self._rows: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, row: dict[str, Any]) -> dict[str, Any]:
        """`row`, with fields that refer to `array`'s bytes; the offset becomes true in `chunks`."""
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        # Not a digest that somebody remembers: the array may have been written to since.
        row |= {"offset": ALIGNMENT, "nbytes": content.nbytes, "digest": content_digest(content)}
        self._arrays.setdefault(row["digest"], content)
        self._rows.append(row)
        return row

    def chunks(self, root: Mapping[str, Any]) -> Iterator[bytes | np.ndarray]:
        """The bytes of a file with this root table, whose FIXED fields are set here. Raises InputError."""
        # The root holds offsets that follow from its length, which they do not change: encode it twice.
        root_bytes = len(flatbuffer.encode(schema(), {**root, **dict.fromkeys(FIXED, 1)}))
        if root_bytes > MAX_ROOT_BYTES:
            raise InputError(f"all but the constants takes {root_bytes} bytes, of {MAX_ROOT_BYTES} at most")
        file_bytes = self._place(root_bytes + SEAL_BYTES)
        fixed = {"version": VERSION, "file_bytes": file_bytes, "root_bytes": root_bytes}
        head = flatbuffer.encode(schema(), {**root, **fixed})
        yield head + _seal(head)
        end = root_bytes + SEAL_BYTES
        for array in self._arrays.values():
            yield bytes(-end % ALIGNMENT)
            yield array
            end += -end % ALIGNMENT + array.nbytes

    def _place(self, end: int) -> int:
        """Give every row its offset, the first at or after `end`; return where the last blob ends."""
        offsets = {}
        for digest, array in self._arrays.items():
            offsets[digest] = end + -end % ALIGNMENT
            end = offsets[digest] + array.nbytes
        for row in self._rows:
            row["offset"] = offsets[row["digest"]]
        return end


def write_whole(path: str | Path, chunks: Iterable[Any]) -> None:
    """Write a file that is there whole, and on the disk, or not at all. Raises FileError; leaves nothing behind."""
    try:
        target = os.path.realpath(path)  # a link stays one
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, f".{os.urandom(8).hex()}.fbnet.tmp")
        try:
            with open(temporary, "xb") as out:
                for chunk in chunks:
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except FbnetError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(f"it cannot be written: {getattr(error, 'strerror', None) or error}") from None
    with suppress(OSError):  # the new name, too, outlives a power cut, where a folder can be synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _seal(root: bytes | memoryview) -> bytes:
    return hashlib.sha256(root).digest()[:SEAL_BYTES]
