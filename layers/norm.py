"""Normalisation: LRN, BatchNorm, MVN, LayerNorm, GroupNorm, RMSNorm; and Scale and Bias, which in Caffe follow it."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, each_image_off_axis_0, layer
from ..engine.tensor import Spec


@layer("LRN")
class LRN(Layer):
    """y = x / (k + alpha/n * sum of x**2 over n neighbours) ** beta        x: (N, C, H, W) -> y: (N, C, H, W)

    The n neighbours are local_size channels at the same pixel ("across"), or local_size x local_size pixels
    of the same channel ("within"), x in their middle. n counts neighbours beyond the edge too; they are 0.
    Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", 3.3. caffe.proto
    LRNParameter, where "within" ignores k: it is 1.
    """

    apart = each_image

    local_size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    region: str = "across"

    def check(self) -> None:
        if self.local_size < 1 or self.local_size % 2 == 0:
            raise AttributeValueError(f"{self}: local_size is {self.local_size}: it must be odd and positive")
        if self.region not in ("across", "within"):
            raise AttributeValueError(f"{self}: region is {self.region!r}: give 'across' or 'within'")

    def infer(self, x: Spec) -> Spec:
        if x.ndim != 4:
            raise ShapeError(f"x is {x} but images are (N, C, H, W)")
        return x.replace(quantization=None)

    def reference(self, x):
        axes = (1,) if self.region == "across" else (2, 3)
        total = x * x
        for axis in axes:
            total = self._window_sums(total, axis)
        return x / (self.k + self.alpha / self.local_size ** len(axes) * total) ** self.beta

    def _window_sums(self, x: np.ndarray, axis: int) -> np.ndarray:
        """The sum of each element and its neighbours along an axis; beyond the edges are zeros."""
        padding = [(0, 0)] * x.ndim
        padding[axis] = (self.local_size // 2, self.local_size // 2)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, padding), self.local_size, axis)
        return sum(windows[..., i] for i in range(self.local_size))


@layer("BatchNorm")
class BatchNorm(Layer):
    """y = (x - mean[c]) / sqrt(var[c] + eps)        x: (N, C, ...), mean: (C,), var: (C,) -> y: (N, C, ...)

    Ioffe & Szegedy 2015, arXiv:1502.03167. caffe.proto BatchNormParameter, with its third blob, by which the
    stored mean and variance are divided, already divided in. The learned scale and shift are a Scale layer.
    """

    apart = each_image

    eps: float = 1e-5

    def check(self) -> None:
        _check_eps(self)

    def infer(self, x: Spec, mean: Spec, var: Spec) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but BatchNorm wants channels on axis 1: (N, C, ...)")
        for name, spec in (("mean", mean), ("var", var)):
            if spec.shape != x.shape[1:2]:
                raise ShapeError(f"x is {x} but {name} is {spec}: {name} needs shape [{x.shape[1]}]")
        return x.replace(quantization=None)

    def reference(self, x, mean, var):
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (x - mean.reshape(shape)) / np.sqrt(var + self.eps).reshape(shape)


@layer("Scale")
class Scale(Layer):
    """y = x * scale + bias        x: (N, C, ...), scale: (C,), bias: (C,) -> y: (N, C, ...)

    In general, scale and bias have the shape of x's axes from `axis` on, as many as they have, and are the
    same along all others: with axis=0 a scale of (N, C) weighs each image's channels (squeeze and excitation:
    Hu et al. 2017, arXiv:1709.01507). caffe.proto ScaleParameter.
    """

    apart = each_image

    axis: int = 1

    def infer(self, x: Spec, scale: Spec, bias: Spec | None = None) -> Spec:
        _check_fits(x, "scale", scale, self.axis)
        if bias is not None and bias.shape != scale.shape:
            raise ShapeError(f"scale is {scale} but bias is {bias}: they need the same shape")
        return x.replace(quantization=None)

    def reference(self, x, scale, bias=None):
        y = x * _aligned(scale, x, self.axis)
        return y if bias is None else y + _aligned(bias, x, self.axis)


@layer("Bias")
class Bias(Layer):
    """y = x + b        x: (N, C, ...), b: (C,) -> y: (N, C, ...)

    In general, b has the shape of x's axes from `axis` on, as many as it has. caffe.proto BiasParameter.
    """

    apart = each_image

    axis: int = 1

    def infer(self, x: Spec, b: Spec) -> Spec:
        _check_fits(x, "b", b, self.axis)
        return x.replace(quantization=None)

    def reference(self, x, b):
        return x + _aligned(b, x, self.axis)


@layer("MVN")
class MVN(Layer):
    """y = (x - mean(x)) / (sqrt(variance(x)) + eps)        x: (N, C, ...) -> y: (N, C, ...)

    Mean and variance of each channel of each image, or with across_channels of each image. Without
    normalize_variance, y = x - mean(x). caffe.proto MVNParameter.
    """

    apart = each_image

    normalize_variance: bool = True
    across_channels: bool = False
    eps: float = 1e-9

    def check(self) -> None:
        _check_eps(self)

    def infer(self, x: Spec) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but MVN wants channels on axis 1: (N, C, ...)")
        return x.replace(quantization=None)

    def reference(self, x):
        axes = tuple(range(1 if self.across_channels else 2, x.ndim))
        mean = x.mean(axes, dtype=np.float64, keepdims=True)
        y = x - mean
        if self.normalize_variance:
            y /= np.sqrt((y * y).mean(axes, keepdims=True)) + self.eps
        return y.astype(x.dtype)


@layer("LayerNorm")
class LayerNorm(Layer):
    """y = (x - mean(x)) / sqrt(variance(x) + eps) * scale + bias        x: (..., K), scale, bias: (K,) -> y: (..., K)

    Mean and variance of each row; in general over all axes from `axis` on, whose shape scale and bias have. With
    axis=2 and without scale it is instance normalisation. Ba et al. 2016, arXiv:1607.06450. ONNX LayerNormalization.
    """

    apart = each_image_off_axis_0

    axis: int = -1
    eps: float = 1e-5

    def check(self) -> None:
        _check_eps(self)

    def infer(self, x: Spec, scale: Spec | None = None, bias: Spec | None = None) -> Spec:
        axis = x.axis(self.axis)
        for name, spec in (("scale", scale), ("bias", bias)):
            if spec is not None and spec.shape != x.shape[axis:]:
                wanted = ",".join(map(str, x.shape[axis:]))
                raise ShapeError(f"x is {x} but {name} is {spec}: {name} needs shape [{wanted}]")
        return x.replace(quantization=None)

    def reference(self, x, scale=None, bias=None):
        axes = tuple(range(self.axis % x.ndim, x.ndim))
        y = x - x.mean(axes, dtype=np.float64, keepdims=True)
        y /= np.sqrt((y * y).mean(axes, keepdims=True) + self.eps)
        y = y if scale is None else y * scale
        return (y if bias is None else y + bias).astype(x.dtype)


@layer("GroupNorm")
class GroupNorm(Layer):
    """y = (x - mean(x)) / sqrt(variance(x) + eps) * scale[c] + bias[c]  x: (N,C,...), scale, bias: (C,) -> y: (N,C,...)

    Mean and variance of each group of C/group neighbouring channels of each image; group 0 is a group a channel, which
    is instance normalisation (Ulyanov et al. 2016, arXiv:1607.08022). Wu & He 2018, arXiv:1803.08494. ONNX
    GroupNormalization and InstanceNormalization.
    """

    apart = each_image

    group: int = 0
    eps: float = 1e-5

    def check(self) -> None:
        _check_eps(self)
        if self.group < 0:
            raise AttributeValueError(f"{self}: group is {self.group}: it must not be negative")

    def infer(self, x: Spec, scale: Spec | None = None, bias: Spec | None = None) -> Spec:
        if x.ndim < 2 or (self.group and x.shape[1] % self.group):
            raise ShapeError(f"x is {x}: its axis 1 must be channels, a multiple of group={self.group}")
        for name, spec in (("scale", scale), ("bias", bias)):
            if spec is not None:
                _check_fits(x, name, spec, 1)
                if spec.ndim != 1:
                    raise ShapeError(f"x is {x} but {name} is {spec}: a number a channel wanted")
        return x.replace(quantization=None)

    def reference(self, x, scale=None, bias=None):
        n, c = x.shape[:2]
        group = self.group or c
        grouped = x.reshape(n, group, c // group, *x.shape[2:])
        axes = tuple(range(2, grouped.ndim))
        centred = grouped - grouped.mean(axes, dtype=np.float64, keepdims=True)
        y = centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + self.eps)
        y = y.reshape(x.shape)
        y = y if scale is None else y * _aligned(scale, x, 1)
        return (y if bias is None else y + _aligned(bias, x, 1)).astype(x.dtype)


@layer("RMSNorm")
class RMSNorm(Layer):
    """y = x / sqrt(mean(x**2) + eps) * scale        x: (..., K), scale: (K,) -> y: (..., K)

    The mean is over all axes from `axis` on, whose shape scale has. Zhang & Sennrich 2019, arXiv:1910.07467. ONNX
    RMSNormalization.
    """

    apart = each_image_off_axis_0

    axis: int = -1
    eps: float = 1e-5

    def check(self) -> None:
        _check_eps(self)

    def infer(self, x: Spec, scale: Spec | None = None) -> Spec:
        if scale is not None:
            _check_fits(x, "scale", scale, self.axis)
        return x.replace(quantization=None)

    def reference(self, x, scale=None):
        axes = tuple(range(self.axis % x.ndim, x.ndim))
        squares = np.mean(x * x, axes, dtype=np.float64, keepdims=True)
        y = x / np.sqrt(squares + self.eps)
        return (y if scale is None else y * scale).astype(x.dtype)


def _check_eps(layer: BatchNorm | MVN | LayerNorm | GroupNorm | RMSNorm) -> None:
    if not layer.eps >= 0:
        raise AttributeValueError(f"{layer}: eps is {layer.eps}: it must not be negative")


def _check_fits(x: Spec, name: str, spec: Spec, axis: int) -> None:
    start = x.axis(axis)
    wanted = x.shape[start : start + max(1, spec.ndim)]
    if spec.ndim and spec.shape != wanted:
        sizes = ",".join(map(str, wanted))
        raise ShapeError(f"x is {x} but {name} is {spec}: {name} needs shape [{sizes}] at axis {start}")


def _aligned(a: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """`a` with axes of size 1 added, so that its own lie on x's from `axis` on."""
    return a.reshape(a.shape + (1,) * (x.ndim - axis % x.ndim - a.ndim))
