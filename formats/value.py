"""What an importer knows of a tensor while it walks over a file's nodes; see `graph`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.dtype import dtype_of
from ..engine.tensor import Dim, Spec


class Unsupported(Exception):
    """Why a node cannot be expressed in layers."""


@dataclass(frozen=True)
class Node:
    """One node of a file: its type, its names, its attributes as Python values, the opset that it was written for."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    source: Any = None  # what the file's reader has of it

    def get(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def __getitem__(self, key: str) -> Any:
        """An attribute that must be there. Raises Unsupported."""
        if key not in self.attributes:
            raise Unsupported(f"it has no option {key!r}")
        return self.attributes[key]

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True, eq=False)
class Value:
    """What a name of the file stands for: a tensor of the net, or a constant, which has its array.

    An array of objects holds sizes: ints, and Dims where a size may change from call to call.
    """

    name: str
    spec: Spec
    array: np.ndarray | None = None

    @classmethod
    def of(cls, name: str, array: np.ndarray) -> Value:
        """A constant; every floating-point type is fp32 in the net."""
        kind = array.dtype.kind
        dtype = "int64" if kind == "O" else dtype_of(array) if kind in "iub" else "fp32"
        return cls(name, Spec(array.shape, dtype), array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def rank(self) -> int:
        return self.spec.ndim

    @property
    def is_float(self) -> bool:
        return self.spec.dtype.name == "fp32"


def spec_of(given: Value | np.ndarray | None) -> Spec | None:
    """What a layer's `infer` is told of an input."""
    if given is None:
        return None
    return given.spec if isinstance(given, Value) else Value.of("", given).spec


def as_stored(array: np.ndarray) -> np.ndarray:
    """A constant as the net holds it: every floating-point type is fp32 there."""
    if array.dtype.kind in "iub":
        return np.asarray(array, order="C")
    with np.errstate(all="ignore"):  # a double beyond fp32 is infinite there
        stored = np.asarray(array, np.float32, order="C")
    return stored


def dtype_name(value: Value) -> str:
    """The name of the dtype that a Value has in the net."""
    return value.spec.dtype.name


def is_floating(*values: Value) -> bool:
    """Whether all of them are fp32 in the net."""
    return all(v.is_float for v in values)


def is_one(size: int) -> bool:
    """True for a size that is 1 and stays 1; a symbolic size is not, whatever its usual value."""
    return not isinstance(size, Dim) and size == 1


def same_size(a: int, b: int) -> bool:
    """True if two sizes are equal whenever the net runs."""
    return str(a) == str(b)
