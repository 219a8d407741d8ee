"""The .weights of Darknet: a header, then the numbers of each layer behind each other, without names or sizes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from ...engine.errors import FileError
from ..container import mapped


class Weights:
    """The numbers that are left to be taken, in order; little-endian fp32 behind a header of 16 or 20 bytes.

    The header is the format's version (major, minor, revision: int32) and the images seen in training, 8 bytes of them
    from version 0.2 on, 4 before.
    """

    def __init__(self, path: Path):
        self.path, self.data = path, mapped(path)
        if len(self.data) < 16:
            raise FileError(f"{path}: {len(self.data)} bytes are no .weights")
        major, minor, _ = struct.unpack_from("<3i", self.data)
        if not (0 <= major < 1000 and 0 <= minor < 1000):
            raise FileError(
                f"{path}: its version is {major}.{minor}: this is no .weights file, or a damaged one"
            )
        self.at = 20 if major * 10 + minor >= 2 else 16

    def take(self, who: object, what: str, shape: Sequence[int]) -> np.ndarray:
        """The next numbers. Raises FileError if there are not so many."""
        count = prod(shape)
        if self.at + 4 * count > len(self.data):
            left = max(0, len(self.data) - self.at) // 4
            raise FileError(f"{self.path}: {who} wants {count} numbers for its {what}, but {left} are left")
        found = np.frombuffer(self.data, "<f4", count, self.at).reshape(tuple(shape))
        self.at += 4 * count
        return found

    def finish(self) -> None:
        """Raises FileError if numbers are left: they then belong to another net."""
        left = (len(self.data) - self.at) // 4
        if left > 0:
            raise FileError(
                f"{self.path}: {left} numbers are left after the last layer: it belongs to another .cfg"
            )
