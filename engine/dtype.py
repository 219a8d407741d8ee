"""Data types are objects in a registry: how numbers are stored, and how they become real numbers.

A tensor has a dtype; a net has none. A new dtype is one class with the decorator `@dtype("name")`: kernels are
keyed by its name, the file stores its name, and `quantize`/`dequantize` connect it to fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .registry import Registry


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero), per tensor, or per slice along `axis`.

    scale: one fp32 number, or one for each slice; zero: as many integers; axis: None for per tensor.
    """

    scale: tuple[float, ...]
    zero: tuple[int, ...]
    axis: int | None = None


class DType:
    """How a tensor's numbers are stored.

    name        what files and messages call it: 'fp32'
    storage     the numpy dtype of the stored array
    arithmetic  for a dtype that only stores constants: the dtype that layers see, like 'fp32'; '' is this one itself
    """

    name: ClassVar[str] = ""
    storage: ClassVar[np.dtype]
    arithmetic: ClassVar[str] = ""

    @property
    def itemsize(self) -> int:
        """Bytes of one stored number."""
        return self.storage.itemsize

    def quantize(self, real: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        """fp32 array -> stored array of the same shape."""
        return real.astype(self.storage)

    def dequantize(self, stored: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        """Stored array -> fp32 array of the same shape."""
        return stored.astype(np.float32)

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


dtypes: Registry[DType] = Registry("dtype")


def dtype(name: str) -> Callable[[type[DType]], type[DType]]:
    """Register a DType class under `name`: `@dtype("bf16") class BF16(DType): ...`"""

    def register(cls: type[DType]) -> type[DType]:
        cls.name = name
        cls.storage = np.dtype(cls.storage)
        dtypes.add(name, cls(), cls.__module__)
        return cls

    return register


def dtype_of(array: np.ndarray) -> DType:
    """The registered dtype whose storage is the array's, first of all the one of its name: uint16 is not bf16's bits.

    Raises RegistryError if there is none.
    """
    if str(array.dtype) in dtypes:
        return dtypes[str(array.dtype)]
    for entry in dtypes.values():
        if entry.storage == array.dtype:
            return entry
    return dtypes[str(array.dtype)]  # raises, with the list's closest name


@dtype("fp32")
class FP32(DType):
    storage = np.dtype(np.float32)


@dtype("fp16")
class FP16(DType):
    """IEEE 754 binary16: 11 bits of precision, up to 65,504. Weights are stored so, and computed with in fp32."""

    storage = np.dtype(np.float16)
    arithmetic = "fp32"

    def quantize(self, real: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        with np.errstate(over="ignore"):
            return real.astype(np.float16)


@dtype("bf16")
class BF16(DType):
    """bfloat16: the upper half of an fp32, so its range with 8 bits of precision. Rounded to nearest, halves to even.

    numpy has no such numbers: their bits are stored as uint16.
    """

    storage = np.dtype(np.uint16)
    arithmetic = "fp32"

    def quantize(self, real: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        bits = real.astype(np.float32).view(np.uint32)
        rounded = bits + 0x7FFF + (bits >> 16 & 1)
        return (np.where(np.isnan(real), bits | 0x400000, rounded) >> 16).astype(np.uint16)

    def dequantize(self, stored: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        return (stored.astype(np.uint32) << 16).view(np.float32)


@dtype("int8")
class Int8(DType):
    """Affine int8: stored = clamp(rint(real / scale) + zero, -128, 127), round half to even."""

    storage = np.dtype(np.int8)

    def quantize(self, real: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        if quantization is None:
            return real.astype(np.int8)
        scale, zero = _per_axis(quantization, real.ndim)
        return np.clip(np.rint(real / scale) + zero, -128, 127).astype(np.int8)

    def dequantize(self, stored: np.ndarray, quantization: Quantization | None) -> np.ndarray:
        if quantization is None:
            return stored.astype(np.float32)
        scale, zero = _per_axis(quantization, stored.ndim)
        return (stored.astype(np.float32) - zero) * scale


def _per_axis(q: Quantization, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero as fp32 arrays that broadcast against a tensor of `ndim` dimensions."""
    shape = [1] * ndim
    if q.axis is not None:
        shape[q.axis] = len(q.scale)
    elif ndim == 0:
        shape = []
    return np.array(q.scale, np.float32).reshape(shape), np.array(q.zero, np.float32).reshape(shape)


@dtype("uint8")
class UInt8(DType):
    storage = np.dtype(np.uint8)


@dtype("int16")
class Int16(DType):
    storage = np.dtype(np.int16)


@dtype("uint16")
class UInt16(DType):
    storage = np.dtype(np.uint16)


@dtype("uint32")
class UInt32(DType):
    storage = np.dtype(np.uint32)


@dtype("uint64")
class UInt64(DType):
    storage = np.dtype(np.uint64)


@dtype("int32")
class Int32(DType):
    storage = np.dtype(np.int32)


@dtype("int64")
class Int64(DType):
    storage = np.dtype(np.int64)


@dtype("bool")
class Bool(DType):
    storage = np.dtype(np.bool_)
