"""Between real numbers and int8: Quantize, Dequantize, Requantize, and Table, any function of one int8 number.

An int8 tensor stands for real numbers: real = scale * (stored - zero). What these layers do is specified to the bit:
arithmetic in IEEE float32, one operation after another, each rounded to nearest, halves to even.
"""

from __future__ import annotations

import numpy as np

from ..engine.dtype import Quantization, dtypes
from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, each_image_off_axis_0, layer
from ..engine.tensor import Spec


def _along(values: tuple, axis: int, ndim: int, kind: type) -> np.ndarray:
    """One number a slice along `axis`, so that it broadcasts; or one number for all."""
    array = np.array(values, kind)
    return array.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)]) if array.size > 1 else array[0]


class _Affine(Layer):
    """What Quantize and Dequantize share: a scale and a zero for the tensor, or for each slice along an axis.

    scale, zero  one number each, or one a slice along `axis`; a zero left out is 0
    """

    apart = each_image_off_axis_0

    scale: tuple[float, ...]
    zero: tuple[int, ...] = (0,)
    axis: int = 1

    def check(self) -> None:
        if not self.scale or not all(0 < s < np.inf for s in self.scale):
            raise AttributeValueError(f"{self}: scale is {self.scale}: give positive numbers")
        if len(self.zero) not in (1, len(self.scale)):
            raise AttributeValueError(
                f"{self}: there are {len(self.scale)} scales but {len(self.zero)} zeros"
            )

    def _check_axis(self, x: Spec) -> None:
        if len(self.scale) > 1 and x.shape[x.axis(self.axis)] != len(self.scale):
            raise ShapeError(f"x is {x} but there are {len(self.scale)} scales along axis {self.axis}")

    def _quantization(self) -> Quantization:
        zeros = self.zero if len(self.zero) == len(self.scale) else self.zero * len(self.scale)
        return Quantization(self.scale, zeros, self.axis if len(self.scale) > 1 else None)


@layer("Quantize")
class Quantize(_Affine):
    """y = clamp(rint(x / scale) + zero)        x: fp32 (...) -> y: int8 (...)

    ONNX QuantizeLinear. NaN becomes zero.

    to  "int8", or another integer dtype, whose range is what y is clamped to
    """

    to: str = "int8"

    def check(self) -> None:
        super().check()
        if self.to not in dtypes or dtypes[self.to].storage.kind not in "iu":
            raise AttributeValueError(f"{self}: to is {self.to!r}: give an integer dtype")

    def infer(self, x: Spec) -> Spec:
        self._check_axis(x)
        return Spec(x.shape, self.to, self._quantization())

    def reference(self, x):
        scale, zero = (
            _along(v, self.axis, x.ndim, k) for v, k in ((self.scale, np.float32), (self.zero, np.float64))
        )
        limits = np.iinfo(dtypes[self.to].storage)
        with np.errstate(over="ignore"):
            steps = np.rint(np.nan_to_num(x, nan=0, posinf=np.inf, neginf=-np.inf) / scale)
        return np.clip(steps + zero, limits.min, limits.max).astype(limits.dtype)


@layer("Dequantize")
class Dequantize(_Affine):
    """y = (x - zero) * scale        x: int8 or another integer (...) -> y: fp32 (...)

    ONNX DequantizeLinear.
    """

    def infer(self, x: Spec) -> Spec:
        self._check_axis(x)
        if x.dtype.storage.kind not in "iu":
            raise ShapeError(f"x is {x} but only integers are dequantized")
        return Spec(x.shape, "fp32")

    def reference(self, x):
        scale, zero = (
            _along(v, self.axis, x.ndim, k) for v, k in ((self.scale, np.float32), (self.zero, np.int64))
        )
        return (x.astype(np.int64) - zero).astype(np.float32) * scale


@layer("Requantize")
class Requantize(Layer):
    """y = clamp(rint((x - x_zero) * multiplier) + zero)        x: int8 (...) -> y: int8 (...)

    The same real numbers in other steps: multiplier is x's scale / y's scale.

    scale, zero  what y's numbers stand for
    """

    apart = each_image

    x_zero: int
    multiplier: float
    scale: float
    zero: int

    def infer(self, x: Spec) -> Spec:
        return _int8(x, self)

    def reference(self, x):
        steps = np.rint((x.astype(np.float32) - np.float32(self.x_zero)) * np.float32(self.multiplier))
        return np.clip(steps + self.zero, -128, 127).astype(np.int8)


@layer("Table")
class Table(Layer):
    """y = table[x + 128]        x: int8 (...), table: int8 (256,) -> y: int8 (...)

    Any function of one number, like a sigmoid: with 256 inputs there are 256 results.

    scale, zero  what y's numbers stand for
    """

    apart = each_image

    scale: float
    zero: int

    def infer(self, x: Spec, table: Spec) -> Spec:
        if table.shape != (256,) or table.dtype.name != "int8":
            raise ShapeError(f"table is {table} but must be int8[256]")
        return _int8(x, self)

    def reference(self, x, table):
        return table[x.astype(np.int64) + 128]


def _int8(x: Spec, layer: Requantize | Table) -> Spec:
    if x.dtype.name != "int8":
        raise ShapeError(f"x is {x} but must be int8")
    return Spec(x.shape, "int8", Quantization((layer.scale,), (layer.zero,)))
