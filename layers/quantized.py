"""Layers on int8 tensors, specified to the bit: every device gives the same numbers.

An int8 tensor stands for real numbers: real = scale * (stored - zero). Sums of products are exact integers, however
long they are; what follows is IEEE float32, one operation after another, each rounded to nearest, halves to even.

What a window, a stride or a group is, the layers for real numbers say. A layer here has one of those inside, its twin,
and its reference gives that twin whole numbers in float64, in which sums up to 2**53 are exact.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from ..engine.dtype import Quantization
from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, each_image_off_axis_0, layer, layers
from ..engine.tensor import Spec, broadcast


class Quantized(Layer):
    """A layer from int8 to int8.

    scale, zero  what y's numbers stand for
    low, high    y's range: narrower than int8's where an activation clamps, as at zero for ReLU
    """

    apart = each_image

    twin_type: ClassVar[str] = ""  # the layer for real numbers that shares its attributes

    scale: float
    zero: int = 0
    low: int = -128
    high: int = 127

    def check(self) -> None:
        if not 0 < self.scale < np.inf:
            raise AttributeValueError(f"{self}: scale is {self.scale}: give a positive number")
        if not -128 <= self.low <= self.high <= 127 or not -128 <= self.zero <= 127:
            raise AttributeValueError(
                f"{self}: low={self.low}, zero={self.zero}, high={self.high}: low <= high, all within int8"
            )
        if self.twin_type:
            self.twin()

    def twin(self) -> Layer:
        """The layer for real numbers with the attributes that it shares with this one."""
        cls = layers[self.twin_type]
        return cls(name=self.name, **{k: v for k, v in self.attributes.items() if k in cls.declared})

    def quantized(self, shape: tuple[int, ...]) -> Spec:
        """y's spec."""
        return Spec(shape, "int8", Quantization((self.scale,), (self.zero,)))

    def requantized(self, v: np.ndarray) -> np.ndarray:
        """float32 -> int8: clamp(rint(v) + zero, low, high)."""
        return np.clip(np.rint(v) + self.zero, self.low, self.high).astype(np.int8)


class Weighted(Quantized):
    """A layer that multiplies by weights: y = clamp(rint(v) + zero, low, high), where of output channel m

        acc = sum of (x - x_zero) * w[m] + b[m]           an exact int32
        v   = float32(acc) * multiplier[m]                then, if they are there:
        v   = v + (residual - residual_zero) * residual_multiplier
        v   = v * slope[m] where v < 0                    a leaky ReLU's or PReLU's
        v   = v * clamp(v + start, 0, 1) * gain + offset  a hard swish's; start, gain, offset = gate[:, m]

    w           int8, or int16 where a zero of its own was taken off
    b           int32, in steps of x's scale * w's scale
    multiplier  fp32: x's scale * w's scale / y's scale, for each output channel; with a gate times its slope instead
                of the division, so that v is what the gate adds start to
    gate        fp32 (3, M): y in steps of its own, so that gain and offset have been divided by y's scale
    to          "int8"; "fp32": y = v, in real numbers if multiplier is x's scale * w's scale; "int32": y = acc
    """

    x_zero: int = 0
    residual_zero: int = 0
    residual_multiplier: float = 0.0
    to: str = "int8"

    def check(self) -> None:
        super().check()
        if self.to not in ("int8", "fp32", "int32"):
            raise AttributeValueError(f"{self}: to is {self.to!r}: give 'int8', 'fp32' or 'int32'")

    def infer(self, x, w, b, multiplier, slope=None, residual=None, gate=None):
        for name, spec, kinds in (("x", x, ("int8",)), ("w", w, ("int8", "int16")), ("b", b, ("int32",))):
            if spec.dtype.name not in kinds:
                raise ShapeError(f"{name} is {spec} but must be {' or '.join(kinds)}")
        for name, spec in (("multiplier", multiplier), ("slope", slope)):
            if spec is not None and (spec.shape != b.shape or spec.dtype.name != "fp32"):
                raise ShapeError(f"{name} is {spec} but must be fp32[{','.join(map(str, b.shape))}], as b is")
        if gate is not None and (gate.shape != (3, *b.shape) or gate.dtype.name != "fp32"):
            raise ShapeError(f"gate is {gate} but must be fp32[3,{','.join(map(str, b.shape))}]")
        y = self.twin().infer(x, w, b)
        if residual is not None and (residual.shape != y.shape or residual.dtype.name != "int8"):
            raise ShapeError(f"residual is {residual} but must be int8 and of y's shape, {y.shape}")
        return self.quantized(y.shape) if self.to == "int8" else Spec(y.shape, self.to)

    def reference(self, x, w, b, multiplier, slope=None, residual=None, gate=None):
        centred = x.astype(np.float64) - self.x_zero
        acc = self.twin().reference(centred, w.astype(np.float64), b.astype(np.float64)).astype(np.int32)
        if self.to == "int32":
            return acc
        each = (1, -1) + (1,) * (acc.ndim - 2) if self.channels_first else (-1,)
        v = acc.astype(np.float32) * multiplier.reshape(each)
        if residual is not None:
            v += (residual.astype(np.float32) - np.float32(self.residual_zero)) * np.float32(
                self.residual_multiplier
            )
        if slope is not None:
            v = np.where(v < 0, v * slope.reshape(each), v)
        if gate is not None:
            start, gain, offset = (numbers.reshape(each) for numbers in gate)
            v = v * np.clip(v + start, np.float32(0), np.float32(1)) * gain + offset
        return self.requantized(v) if self.to == "int8" else v

    channels_first: ClassVar[bool] = True

    def macs(self, x, w, b, multiplier, slope=None, residual=None, gate=None):
        return self.twin().macs(x, w, b)


@layer("QuantizedConvolution")
class QuantizedConvolution(Weighted):
    """Convolution in int8    x: (N,C,H,W), w: (M,C/group,KH,KW), b: (M,), multiplier: (M,) -> y: (N,M,OH,OW)

    acc = sum of (x - x_zero) * w[m] + b[m];  y = clamp(rint(acc * multiplier[m]) + zero, low, high)

    The padding holds x_zero, which is the real number 0. See docs/integer-specification.md for residual, slope
    and gate; ONNX QLinearConv; Jacob et al. 2018, arXiv:1712.05877.
    """

    twin_type = "Convolution"

    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)
    group: int = 1


@layer("QuantizedDeconvolution")
class QuantizedDeconvolution(Weighted):
    """Deconvolution in int8    x: (N,C,H,W), w: (C,M/group,KH,KW), b: (M,), multiplier: (M,) -> y: (N,M,OH,OW)

    acc = sum of (x - x_zero) spread by w + b[m];  y = clamp(rint(acc * multiplier[m]) + zero, low, high)
    """

    twin_type = "Deconvolution"

    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)
    group: int = 1
    output_pad: tuple[int, ...] = (0, 0)


@layer("QuantizedInnerProduct")
class QuantizedInnerProduct(Weighted):
    """InnerProduct in int8        x: (N, K) or (N, ..., ...), w: (M, K), b: (M,), multiplier: (M,) -> y: (N, M)

    acc = sum of (x - x_zero) * w[m] + b[m];  y = clamp(rint(acc * multiplier[m]) + zero, low, high)
    """

    apart = each_image_off_axis_0

    twin_type = "InnerProduct"
    channels_first = False

    axis: int = 1


@layer("QuantizedMatMul")
class QuantizedMatMul(Quantized):
    """MatMul in int8        a: (..., M, K), b: (..., K, N) -> y: (..., M, N)

    acc = sum of (a - a_zero) * (b - b_zero);  y = clamp(rint(float32(acc) * multiplier) + zero, low, high)

    to  "int8"; "fp32": y = float32(acc) * multiplier; "int32": y = acc. ONNX QLinearMatMul, MatMulInteger.
    """

    twin_type = "MatMul"

    a_zero: int = 0
    b_zero: int = 0
    multiplier: float = 1.0
    to: str = "int8"

    def infer(self, a, b):
        y = self.twin().infer(a, b)
        return self.quantized(y.shape) if self.to == "int8" else Spec(y.shape, self.to)

    def reference(self, a, b):
        pair = a.astype(np.float64) - self.a_zero, b.astype(np.float64) - self.b_zero
        acc = self.twin().reference(*pair).astype(np.int32)
        if self.to == "int32":
            return acc
        v = acc.astype(np.float32) * np.float32(self.multiplier)
        return self.requantized(v) if self.to == "int8" else v

    def macs(self, a, b):
        return self.twin().macs(a, b)


@layer("QuantizedPooling")
class QuantizedPooling(Quantized):
    """Pooling in int8        x: (N, C, H, W) -> y: (N, C, OH, OW)

    max      v = (the largest of the window - x_zero) * multiplier
    average  v = sum of (x - x_zero) / count * multiplier, the sum an exact integer
    y = clamp(rint(v) + zero, low, high);  multiplier is x's scale / y's scale. Attributes as Pooling's.
    """

    twin_type = "Pooling"

    method: str = "max"
    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    ceil: bool = False
    global_pooling: bool = False
    count_pad: bool = True
    x_zero: int = 0
    multiplier: float = 1.0

    def infer(self, x):
        y = self.twin().infer(x)
        cells = prod(map(int, x.shape[2:])) if self.global_pooling else prod(self.kernel)
        if cells * 255 >= 1 << 24:
            raise ShapeError(f"x is {x}: the sum of {cells} cells may not be exact in float32")
        return self.quantized(y.shape)

    def reference(self, x):
        # of whole numbers below 2**24, the float64 quotient rounded to float32 is the float32 quotient
        pooled = self.twin().reference(x.astype(np.float64) - self.x_zero).astype(np.float32)
        return self.requantized(pooled * np.float32(self.multiplier))


@layer("QuantizedEltwise")
class QuantizedEltwise(Quantized):
    """Eltwise in int8        xs: two or more of (...), of one shape -> y: (...)

    sum   v = sum of (xs[i] - x_zero[i]) * multiplier[i], from the first to the last
    prod  v = float32((xs[0] - x_zero[0]) * (xs[1] - x_zero[1])) * multiplier[0], and so on;
          two inputs may be broadcast, as a gate (N, C, 1, 1) over an image
    max   v = the largest of (xs[i] - x_zero[i]) * multiplier[i]
    y = clamp(rint(v) + zero, low, high)
    """

    operation: str = "sum"
    x_zero: tuple[int, ...] = ()
    multiplier: tuple[float, ...] = ()

    def check(self) -> None:
        super().check()
        if self.operation not in ("sum", "prod", "max"):
            raise AttributeValueError(f"{self}: operation is {self.operation!r}: give 'sum', 'prod' or 'max'")

    def infer(self, *xs):
        wanted = 1 if self.operation == "prod" else len(xs)
        if len(xs) < 2 or (self.operation == "prod" and len(xs) != 2):
            raise ShapeError(
                f"got {len(xs)} inputs but {self.operation} takes two{' or more' * (wanted > 1)}"
            )
        if (len(self.x_zero), len(self.multiplier)) != (len(xs), wanted):
            raise ShapeError(f"{len(xs)} inputs need {len(xs)} x_zero and {wanted} multiplier")
        shapes = {x.shape for x in xs}
        if any(x.dtype.name != "int8" for x in xs) or (len(shapes) > 1 and self.operation != "prod"):
            raise ShapeError(f"inputs are {', '.join(map(str, xs))}: all need one shape, in int8")
        return self.quantized(broadcast(*shapes))

    def reference(self, *xs):
        centred = [x.astype(np.float32) - np.float32(z) for x, z in zip(xs, self.x_zero, strict=True)]
        factors = [np.float32(m) for m in self.multiplier]
        if self.operation == "prod":
            return self.requantized(centred[0] * centred[1] * factors[0])
        v = centred[0] * factors[0]
        for x, m in zip(centred[1:], factors[1:], strict=True):
            v = v + x * m if self.operation == "sum" else np.maximum(v, x * m)
        return self.requantized(v)
