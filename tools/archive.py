"""Takes named files out of a zip or tar archive that may be hostile.

Nothing in the archive decides where bytes go or how many there are: members are looked up by the exact name that
the caller expects, written under the caller's own name, and read for no more than the expected size. Links,
devices, folders and every other member are left alone.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from ..engine.errors import FileError
from .packages import File

CHUNK = 1 << 20
MAX_BYTES = 4 << 30  # a tar archive that unpacks to more before it shows the wanted files is a bomb

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def extract(archive: Path, files: Iterable[File], folder: Path) -> None:
    """Write each of `files` into `folder`, which must exist.

    Raises FileError if the archive is damaged, or a file is missing, no plain file, or not what its size and
    sha256 say.
    """
    wanted = {file.member: file for file in files}
    try:
        for member, stream in _members(archive, wanted):
            _write(stream, wanted.pop(member), folder, archive)
    except FileError:
        raise
    except _BROKEN as error:
        raise FileError(f"{archive.name} is damaged or no archive: {error}") from error
    if wanted:
        raise FileError(f"{archive.name} has no plain file {', '.join(sorted(wanted))}")


def sha256_of(path: Path) -> str:
    """A file's sha256, as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _members(archive: Path, wanted: dict[str, File]) -> Iterator[tuple[str, IO[bytes]]]:
    """The wanted plain files of an archive, each once, open for reading; `wanted` shrinks as they are taken."""
    with ExitStack() as stack:
        if zipfile.is_zipfile(archive):
            zipped = stack.enter_context(zipfile.ZipFile(archive))
            for name in list(wanted):
                try:
                    info = zipped.getinfo(name)
                except KeyError:
                    continue
                if (info.external_attr >> 28) != 0xA:  # the Unix mode of a symbolic link
                    with zipped.open(info) as stream:
                        yield name, stream
            return
        tar = stack.enter_context(tarfile.open(archive, "r|*"))  # a stream: read once, front to back
        for member in tar:
            if member.offset_data + member.size > MAX_BYTES:
                raise FileError(f"{archive.name} unpacks to more than {MAX_BYTES >> 30} GB")
            if member.name in wanted and member.isreg():
                plain = tar.extractfile(member)
                assert plain is not None  # isreg() said so
                yield member.name, plain
            if not wanted:
                return


def _write(stream: IO[bytes], file: File, folder: Path, archive: Path) -> None:
    """Copy at most `file.bytes` from the stream and check them."""
    digest, size = hashlib.sha256(), 0
    with (folder / file.name).open("wb") as out:
        while chunk := stream.read(min(CHUNK, file.bytes + 1 - size)):
            size += len(chunk)
            if size > file.bytes:
                raise FileError(
                    f"{archive.name}: {file.member} is longer than the {file.bytes} bytes it must be"
                )
            digest.update(chunk)
            out.write(chunk)
    if size != file.bytes:
        raise FileError(f"{archive.name}: {file.member} has {size} bytes but must have {file.bytes}")
    if digest.hexdigest() != file.sha256:
        raise FileError(
            f"{archive.name}: {file.member} is not the file that was pinned: sha256 {digest.hexdigest()[:16]}..., "
            f"wanted {file.sha256[:16]}..."
        )
