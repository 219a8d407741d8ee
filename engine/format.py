"""Formats: how models come in and go out. One registry, keyed by the file name's ending."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from .errors import InputError
from .net import Net
from .registry import Registry


@dataclass(frozen=True)
class Format:
    """read(*paths, **options) -> Net, and write(net, path, **options) for formats that can also be written."""

    read: Callable[..., Net]
    write: Callable[..., None] | None = None


importers: Registry[Format] = Registry("file format")


def importer(*suffixes: str, write: Callable[..., None] | None = None) -> Callable[[Callable], Callable]:
    """Register a function (*paths, **options) -> Net for files with these endings: `@importer(".onnx")`."""

    def register(function: Callable[..., Net]) -> Callable[..., Net]:
        for suffix in suffixes:
            importers.add(suffix, Format(function, write), function.__module__)
        return function

    return register


def format_of(path: str | Path) -> Format:
    """The format of a path, by its ending. Raises InputError if no importer claims it."""
    suffix = Path(path).suffix.lower()
    if suffix not in importers:
        known = ", ".join(sorted(importers))
        raise InputError(
            f"{path}: no importer for {suffix or 'a file without an ending'!r}; there are: {known}"
        )
    return importers[suffix]


def read(*paths: str | Path, **options: Any) -> Net:
    """Read a net from one file, or several that belong together, in the first one's format."""
    return format_of(paths[0]).read(*map(Path, paths), **options)


def write(net: Net, path: str | Path, **options: Any) -> None:
    """Write a net in the format that the path's ending names. Raises InputError if it cannot be written."""
    chosen = format_of(path)
    if chosen.write is None:
        raise InputError(f"{path}: this format can be read but not written; use .fbnet")
    if unknown := options.keys() - signature(chosen.write).parameters.keys():
        raise InputError(f"{path}: this format does not take {', '.join(sorted(unknown))}")
    chosen.write(net, Path(path), **options)
