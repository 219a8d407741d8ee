"""Where the weights of an ncnn net come from: a .bin, or a seed.

A .bin is nothing but numbers, one layer's after the other, so they are asked for in the order of the .param. A tagged
blob begins with 32 bits that say how it is stored: 0 fp32, 0x01306B47 fp16, 0x000D4B38 int8, 0x0002C056 fp32 with
scales elsewhere, anything else a table of 256 fp32 and a byte a number. Every blob ends on a multiple of 4 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from ...engine.errors import ConversionError, FileError
from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from ..random_weights import Dice
from .param import Node

FP16, INT8, SCALED = 0x01306B47, 0x000D4B38, 0x0002C056
TABLE_BYTES = 4 * 256


class Weights:
    """Tensors for a node's constants, called `<layer>.<name>`, in the order in which a .bin has them."""

    def __init__(self) -> None:
        self.lost = False  # a node was not understood: nobody knows where the next one's numbers begin

    def get(
        self,
        node: Node,
        name: str,
        shape: Sequence[int],
        fan_in: int = 1,
        source: str = "",
        tagged: bool = False,
    ) -> Tensor:
        """The next blob. `fan_in`: how many products a filter sums up. `source`: the tensor that the layer reads."""
        raise NotImplementedError

    def is_int8(self, blob: Tensor) -> bool:
        """Whether a blob's numbers are integers, to be divided by a scale."""
        return False

    def step(self, scale: Tensor | None) -> float | None:
        """The size of one integer step, for a scale that the file has; None if there is no file."""
        return None

    def follow(self, layer: Layer) -> None:
        """Hear of a layer that was made, in the order of the net."""

    def finish(self) -> None:
        """Hear that all layers were made."""

    def missing(self) -> str:
        """'' if there are weights, else that there are none."""
        return ""


def _zeros(node: Node, name: str, shape: Sequence[int]) -> Tensor:
    """A constant to go on with after a problem; its data is never asked for."""
    return Tensor(f"{node.name}.{name}", Spec(shape), data=partial(np.zeros, tuple(shape), np.float32))


class MissingWeights(Weights):
    """Neither a .bin nor a seed was given, which is fine for a net that needs none."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: dict[str, None] = {}

    def get(
        self,
        node: Node,
        name: str,
        shape: Sequence[int],
        fan_in: int = 1,
        source: str = "",
        tagged: bool = False,
    ) -> Tensor:
        self._wanted[node.name] = None
        return _zeros(node, name, shape)

    def missing(self) -> str:
        if not self._wanted:
            return ""
        return (
            "its .bin is missing: give it too, or random_weights=SEED to go without;"
            f" {len(self._wanted)} layers need weights: {', '.join(self._wanted)}"
        )


class RandomWeights(Weights):
    """Every blob drawn from a seed."""

    def __init__(self, seed: int):
        super().__init__()
        self._dice = Dice(seed)

    def get(
        self,
        node: Node,
        name: str,
        shape: Sequence[int],
        fan_in: int = 1,
        source: str = "",
        tagged: bool = False,
    ) -> Tensor:
        kind = name.rpartition("_")[2]  # q_w is a w
        drawn = self._dice.draw(f"{node.name}.{name}", kind, Spec(shape), fan_in, source)
        if self._dice.too_many:
            raise ConversionError(f"{name} is {drawn.spec}: too many random weights for one net")
        return drawn

    def follow(self, layer: Layer) -> None:
        self._dice.follow(layer)


class BinWeights(Weights):
    """The numbers of a .bin, mapped, and widened to fp32 when they are first used. Raises FileError."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        try:
            size = path.stat().st_size
            self._bytes = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
        self._at = 0
        self._int8: set[str] = set()

    def get(
        self,
        node: Node,
        name: str,
        shape: Sequence[int],
        fan_in: int = 1,
        source: str = "",
        tagged: bool = False,
    ) -> Tensor:
        if self.lost:
            return _zeros(node, name, shape)
        count, what = prod(shape), f"{node}: its {name}, {Spec(shape)}"
        tag = int(self._take(4, what).view("<u4")[0]) if tagged else 0
        stored: np.ndarray | tuple[np.ndarray, np.ndarray]
        if tag == INT8:
            if not node.integer(8):
                self.lost = True
                raise ConversionError(f"its {name} is int8, but the .param does not say where its scales are")
            self._int8.add(f"{node.name}.{name}")
            stored = self._take((count + 3) // 4 * 4, what).view(np.int8)[:count]
        elif tag in (0, SCALED):
            stored = self._take(4 * count, what).view("<f4")
        elif tag == FP16:
            stored = self._take((2 * count + 3) // 4 * 4, what).view("<f2")[:count]
        else:
            table = self._take(TABLE_BYTES, what).view("<f4")
            stored = (table, self._take((count + 3) // 4 * 4, what)[:count])
        return Tensor(f"{node.name}.{name}", Spec(shape), data=partial(_widened, stored, tuple(shape)))

    def is_int8(self, blob: Tensor) -> bool:
        return blob.name in self._int8

    def step(self, scale: Tensor | None) -> float | None:
        value = 0.0 if scale is None or self.lost else float(np.asarray(scale.data)[0])
        return 1 / value if np.isfinite(value) and value > 0 else None

    def _take(self, count: int, what: str) -> np.ndarray:
        if self._at + count > len(self._bytes):
            raise FileError(
                f"{self.path}: {what}, needs {count} bytes at {self._at}, but the file ends at {len(self._bytes)}:"
                " truncated, or of another net"
            )
        self._at += count
        return self._bytes[self._at - count : self._at]

    def finish(self) -> None:
        if not self.lost and self._at != len(self._bytes):
            more = len(self._bytes) - self._at
            raise FileError(f"{self.path}: has {more} bytes more than the net needs: it is of another net")


def _widened(stored: np.ndarray | tuple[np.ndarray, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Stored numbers as an fp32 array; a pair is a table and places in it."""
    numbers = stored[0][stored[1]] if isinstance(stored, tuple) else stored
    return np.ascontiguousarray(numbers, np.float32).reshape(shape)
