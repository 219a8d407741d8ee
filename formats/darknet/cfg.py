"""The .cfg text of Darknet: sections in the order of the net, each with options, one `key=value` a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...engine.errors import FileError

MOST_BYTES = 4 << 20  # the largest known one has 30 KB
MOST_SECTIONS = 20_000


@dataclass(frozen=True)
class Section:
    """One section: its type, the line it begins in, its options as text. `index` counts from 0 behind [net]."""

    type: str
    line: int
    index: int
    options: dict[str, str]

    def integer(self, key: str, default: int | None = None) -> int:
        """An option that is a whole number. Raises FileError."""
        (number,) = self.integers(key, None if default is None else [default], 1)
        return number

    def integers(self, key: str, default: Sequence[int] | None = None, count: int | None = None) -> list[int]:
        """An option that is some whole numbers, `count` of them. Raises FileError."""
        numbers = self.numbers(key, default)
        if any(n != int(n) for n in numbers) or (count is not None and len(numbers) != count):
            raise FileError(
                f"{self}: {key} is {self.options.get(key)!r}: {count or 'some'} whole numbers wanted"
            )
        return [int(n) for n in numbers]

    def numbers(self, key: str, default: Sequence[float] | None = None) -> list[float]:
        """An option that is some numbers. Raises FileError."""
        if key not in self.options:
            if default is None:
                raise FileError(f"{self} needs the option {key!r}")
            return list(default)
        try:
            found = [float(n) for n in re.split(r"[,\s]+", self.options[key].strip(" ,")) if n]
        except ValueError:
            raise FileError(f"{self}: {key} is {self.options[key][:80]!r}: numbers wanted") from None
        if not all(abs(n) < 1 << 31 for n in found):
            raise FileError(f"{self}: {key} is {self.options[key][:80]!r}: smaller numbers wanted")
        return found

    @property
    def title(self) -> str:
        """What its layers and tensors are called: 'yolo_16'."""
        return f"{self.type}_{self.index}"

    def __str__(self) -> str:
        return f"layer {self.index} (line {self.line}, {self.type})" if self.index >= 0 else f"[{self.type}]"


def load(path: Path) -> list[Section]:
    """The sections of a .cfg, [net] first. Raises FileError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{path}: {path.stat().st_size} bytes are no .cfg")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"{path}: it cannot be read: {error.strerror or error}") from None
    try:
        return parse(text)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def parse(text: str) -> list[Section]:
    """The sections of a .cfg's text. Raises FileError."""
    found: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = re.split(r"[#;]", line, maxsplit=1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]") or len(found) > MOST_SECTIONS:
                raise FileError(f"line {number}: cannot read {line[:80]!r}")
            found.append(Section(line[1:-1].strip().lower(), number, len(found) - 1, {}))
            continue
        key, equals, value = line.partition("=")
        if not equals or not found:
            raise FileError(f"line {number}: cannot read {line[:80]!r}: a [section] or key=value wanted")
        found[-1].options[key.strip()] = value.strip()
    if not found or found[0].type not in ("net", "network"):
        raise FileError("it does not begin with [net]")
    return found
