"""bench/RESULTS.md, part by part: each begins with a line '# Title' and is written by its own benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..engine.cache import write_whole
from ..engine.errors import FileError


def put(path: Path, part: str) -> None:
    """Write a part into the file, in the place of the one with its title or at the end. Raises FileError."""
    title = part.split("\n", 1)[0]
    try:
        old = path.read_text("utf-8") if path.exists() else ""
        parts = ["# " + text for text in f"\n{old}".split("\n# ")[1:]]
        there = [other.split("\n", 1)[0] == title for other in parts]
        whole = [part if same else other for other, same in zip(parts, there, strict=True)]
        whole += [] if any(there) else [part]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, ["\n\n".join(text.rstrip("\n") for text in whole).encode() + b"\n"])
    except OSError as error:
        raise FileError(f"{path}: it cannot be written: {error.strerror or error}") from None


def where_from(machine: Mapping[str, Any]) -> str:
    """The line that says when a part was measured, on what machine and with which versions."""
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    about = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
    return f"{when} · {machine['cpu']}, {machine['cores']} cores, {machine['target']} · {about}"


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
