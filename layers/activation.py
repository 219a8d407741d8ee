"""Activations: functions of one element. And Dropout, which at inference is none."""

from __future__ import annotations

import math

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Elementwise, Layer, each_image, layer
from ..engine.tensor import Spec

FLOAT_MAX = 3.4028234663852886e38  # the largest fp32


@layer("ReLU")
class ReLU(Elementwise):
    """y = x if x > 0 else negative_slope * x        x: (...) -> y: (...)

    Without a slope y is 0 at -inf too, and NaN stays NaN.
    Nair & Hinton 2010, "Rectified linear units improve restricted Boltzmann machines"; with a slope: Maas et
    al. 2013, "Rectifier nonlinearities improve neural network acoustic models". caffe.proto ReLUParameter.
    """

    negative_slope: float = 0.0

    def reference(self, x):
        if not self.negative_slope:
            return np.maximum(x, x.dtype.type(0))  # 0 * -inf would be NaN
        return np.where(x > 0, x, self.negative_slope * x)


@layer("PReLU")
class PReLU(Layer):
    """y = x if x > 0 else slope[c] * x        x: (N, C, ...), slope: (C,) or (1,) -> y: (N, C, ...)

    He et al. 2015, arXiv:1502.01852. caffe.proto PReLUParameter; one slope is its `channel_shared`.
    """

    apart = each_image

    def infer(self, x: Spec, slope: Spec) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but PReLU wants channels on axis 1: (N, C, ...)")
        if slope.ndim > 1 or slope.size not in (1, x.shape[1]):
            raise ShapeError(f"x is {x} but slope is {slope}: slope needs shape [{x.shape[1]}] or [1]")
        return x

    def reference(self, x, slope):
        return np.where(x > 0, x, slope.reshape(1, -1, *[1] * (x.ndim - 2)) * x)


@layer("Sigmoid")
class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x))        x: (...) -> y: (...)

    caffe.proto SigmoidParameter.
    """

    def reference(self, x):
        return sigmoid(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))"""
    e = np.exp(-np.abs(x))  # never above 1, so neither form below overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


@layer("TanH")
class TanH(Elementwise):
    """y = tanh(x)        x: (...) -> y: (...)

    caffe.proto TanHParameter.
    """

    def reference(self, x):
        return np.tanh(x)


@layer("ELU")
class ELU(Elementwise):
    """y = x if x > 0 else alpha * (exp(x) - 1)        x: (...) -> y: (...)

    Clevert et al. 2015, arXiv:1511.07289. caffe.proto ELUParameter.
    """

    alpha: float = 1.0

    def reference(self, x):
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))


@layer("Clip")
class Clip(Elementwise):
    """y = max(min, x) if x < max else max        x: (...) -> y: (...)

    With 0 and 6 it is ReLU6: Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10".
    caffe.proto ClipParameter; the defaults clip nothing, as in ONNX Clip.
    """

    min: float = -FLOAT_MAX
    max: float = FLOAT_MAX

    def check(self) -> None:
        if not self.min <= self.max:
            raise AttributeValueError(f"{self}: min {self.min} must not be above max {self.max}")

    def reference(self, x):
        return np.clip(x, self.min, self.max)


@layer("Power")
class Power(Elementwise):
    """y = (shift + scale * x) ** power        x: (...) -> y: (...)

    caffe.proto PowerParameter.
    """

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def reference(self, x):
        y = self.shift + self.scale * x
        return y if self.power == 1 else np.power(y, self.power)


@layer("Exp")
class Exp(Elementwise):
    """y = base ** (shift + scale * x)        x: (...) -> y: (...)

    base -1 stands for e. caffe.proto ExpParameter.
    """

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def check(self) -> None:
        _check_base(self)

    def reference(self, x):
        return np.exp(log_base(self) * self.shift + log_base(self) * self.scale * x)


@layer("Log")
class Log(Elementwise):
    """y = log(shift + scale * x) / log(base)        x: (...) -> y: (...)

    base -1 stands for e. caffe.proto LogParameter.
    """

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def check(self) -> None:
        _check_base(self)

    def reference(self, x):
        return np.log(self.shift + self.scale * x) / log_base(self)


def log_base(layer: Exp | Log) -> float:
    """The natural logarithm of an Exp's or Log's base."""
    return 1.0 if layer.base == -1 else math.log(layer.base)


def _check_base(layer: Exp | Log) -> None:
    if layer.base != -1 and (not 0 < layer.base < math.inf or layer.base == 1):
        raise AttributeValueError(f"{layer}: base is {layer.base}: give a positive number but 1, or -1 for e")


@layer("AbsVal")
class AbsVal(Elementwise):
    """y = |x|        x: (...) -> y: (...)

    Caffe's AbsValLayer.
    """

    def reference(self, x):
        return np.abs(x)


@layer("BNLL")
class BNLL(Elementwise):
    """y = log(1 + exp(x))        x: (...) -> y: (...)

    Binomial normal log likelihood: Caffe's BNLLLayer; elsewhere called softplus.
    """

    def reference(self, x):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@layer("HardSigmoid")
class HardSigmoid(Elementwise):
    """y = alpha * x + beta, but not below 0 and not above 1        x: (...) -> y: (...)

    Courbariaux et al. 2015, arXiv:1511.00363. ONNX HardSigmoid, whose alpha is 0.2; 1/6 is MobileNetV3's.
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def reference(self, x):
        return np.clip(self.alpha * x + self.beta, 0, 1)


@layer("HardSwish")
class HardSwish(Elementwise):
    """y = x * (alpha * x + beta), the factor not below 0 and not above 1        x: (...) -> y: (...)

    Howard et al. 2019, arXiv:1905.02244, "Searching for MobileNetV3". ONNX HardSwish.
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def reference(self, x):
        return x * np.clip(self.alpha * x + self.beta, 0, 1)


@layer("Swish")
class Swish(Elementwise):
    """y = x / (1 + exp(-beta * x))        x: (...) -> y: (...)

    Ramachandran et al. 2017, arXiv:1710.05941; with beta 1 it is SiLU. caffe.proto SwishParameter.
    """

    beta: float = 1.0

    def reference(self, x):
        return x * sigmoid(self.beta * x)


@layer("Mish")
class Mish(Elementwise):
    """y = x * tanh(log(1 + exp(x)))        x: (...) -> y: (...)

    Misra 2019, arXiv:1908.08681. ONNX Mish.
    """

    def reference(self, x):
        return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@layer("GELU")
class GELU(Elementwise):
    """y = x/2 * (1 + erf(x / sqrt(2)))        x: (...) -> y: (...)

    With `approximate`, y = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))). Hendrycks & Gimpel 2016,
    arXiv:1606.08415. ONNX Gelu.
    """

    approximate: bool = False

    def reference(self, x):
        if self.approximate:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(x.dtype))


_erf = np.vectorize(math.erf, otypes=[np.float64])  # numpy has none


@layer("Threshold")
class Threshold(Elementwise):
    """y = 1 if x > threshold else 0        x: (...) -> y: (...)

    caffe.proto ThresholdParameter.
    """

    threshold: float = 0.0

    def reference(self, x):
        return (x > self.threshold).astype(x.dtype)


@layer("Dropout")
class Dropout(Elementwise):
    """y = x        x: (...) -> y: (...)

    In training it drops a part `ratio` of the elements and scales up the rest, so that nothing is left to do
    here. Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    caffe.proto DropoutParameter.
    """

    alias = True

    ratio: float = 0.5

    def check(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise AttributeValueError(f"{self}: ratio is {self.ratio}: it is a part, from 0 to 1")

    def reference(self, x):
        return x
