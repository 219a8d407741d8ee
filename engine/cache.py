"""A folder of immutable files named by their content's key: compiled objects and plans.

Safe with many threads and processes at once, and where it cannot be written: a file appears whole (written aside,
then renamed) or not at all; a lock keeps two from making the same thing twice; and without a writable folder
everything still works, only slower. What `get` returns carries a digest in its file, and is made again if a disk
has damaged it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .settings import cache_folder

try:
    import fcntl
except ImportError:  # no file locks here: the same thing may be made twice, and the last rename wins
    fcntl = None  # type: ignore[assignment]

MAX_BYTES = 4 << 30  # the oldest files go when a folder outgrows this


class Cache:
    """Files below `<cache folder>/<name>`, one a key."""

    def __init__(self, name: str, suffix: str):
        self.name, self.suffix = name, suffix

    def path(self, key: str) -> Path:
        """Where the file for `key` is, or would be."""
        return cache_folder() / self.name / f"{key}{self.suffix}"

    def find(self, key: str) -> Path | None:
        """The file for `key`, if there is one."""
        path = self.path(key)
        with suppress(OSError):
            if path.is_file():
                os.utime(path)  # recently used; may be refused on a read-only install
        with suppress(OSError):
            return path if path.is_file() else None
        return None

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The bytes for `key`, made by `make` and kept if they are not there yet, or damaged."""
        data = self._read(key)
        if data is not None:
            return data
        with self.locked(key):
            data = self._read(key)  # another process may have made it while we waited
            if data is None:
                data = make()
                self.put(key, [hashlib.sha256(data).digest(), data])
            return data

    def _read(self, key: str) -> bytes | None:
        """What `get` has kept for `key`, if it is there and whole."""
        path = self.find(key)
        with suppress(OSError):
            stored = path.read_bytes() if path else b""
            if hashlib.sha256(stored[32:]).digest() == stored[:32]:
                return stored[32:]
        return None

    def put(self, key: str, chunks: list[bytes | memoryview]) -> bool:
        """Keep `chunks`, in a row, as the file for `key`; False if the folder cannot be written."""
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, chunks)
        except OSError:
            return False
        self._trim(path)
        return True

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock of `key` against other processes, where there is one to hold."""
        handle = None
        if fcntl is not None:
            with suppress(OSError):
                lock = self.path(key).with_name(f"{key[:2]}.lock")  # a few, as they are never removed
                lock.parent.mkdir(parents=True, exist_ok=True)
                handle = open(lock, "a")  # noqa: SIM115 (closed below, after the block)
                fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if handle is not None:
                handle.close()  # and so unlocks; the empty file stays, since another may wait on it

    def _trim(self, newest: Path) -> None:
        """Remove the files not used for longest until the folder is within MAX_BYTES."""
        with suppress(OSError):
            files = [(p.stat(), p) for p in newest.parent.glob(f"*{self.suffix}")]
            total = sum(s.st_size for s, _ in files)
            for status, path in sorted(files, key=lambda f: f[0].st_mtime):
                if total <= MAX_BYTES:
                    break
                if path != newest:
                    path.unlink(missing_ok=True)
                    total -= status.st_size


def write_whole(path: Path, chunks: list[bytes | memoryview]) -> None:
    """Write a file so that it is there whole or not at all. Raises OSError, with nothing left behind."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
