"""Convolution and its transpose, over images in groups of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, activated, each_image, layer
from ..engine.tensor import Spec

AXES = ("height", "width")


@layer("Convolution")
class Convolution(Layer):
    """y[m] = sum of x[c] * w[m,c] + b[m]    x: (N,C,H,W), w: (M,C/group,KH,KW), b: (M,) -> y: (N,M,OH,OW)

    With a residual of y's shape, that is added before the activation.

    OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1, and OW likewise. `*` is correlation: the
    filter is not turned round. Group g's outputs see only group g's inputs. LeCun et al. 1989; dilation: Yu &
    Koltun 2015, arXiv:1511.07122. caffe.proto ConvolutionParameter.

    stride, dilation  [h, w]        pad  [top, left, bottom, right], with zeros
    activation        type of an Elementwise layer applied to y, with its attributes in declared order
    """

    apart = each_image

    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)
    group: int = 1
    activation: str = ""
    activation_args: tuple[float, ...] = ()

    def check(self) -> None:
        _check_geometry(self)
        activated(np.empty(0, np.float32), self.activation, self.activation_args)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None, residual: Spec | None = None) -> Spec:
        _check_ranks(x, w, "(M, C/group, KH, KW)")
        (n, c, *size), (m, channels, *kernel) = x.shape, w.shape
        if c % self.group or m % self.group:
            raise ShapeError(
                f"x is {x} and w is {w}: C={c} and M={m} must be multiples of group={self.group}"
            )
        if channels * self.group != c:
            needs = f"C={c}" if self.group == 1 else f"C/group={c}/{self.group}={c // self.group}"
            raise ShapeError(f"x is {x} but w is {w}: w needs {needs}")
        _check_bias(b, m)
        out = []
        for axis, extent in enumerate(_extents(kernel, self.dilation)):
            padding, stride = self.pad[axis] + self.pad[axis + 2], self.stride[axis]
            if size[axis] + padding < extent:
                raise ShapeError(
                    f"x is {x}: its {AXES[axis]} with padding is {size[axis] + padding}"
                    f" but the filter needs {extent}"
                )
            # == (size + padding - extent) // stride + 1, in the form whose text is shortest
            out.append((size[axis] + (padding - extent + stride)) // stride)
        y = Spec((n, m, *out), x.dtype)
        if residual is not None and residual.shape != y.shape:
            raise ShapeError(f"residual is {residual} but y is {y}: they need the same shape")
        return y

    def reference(self, x, w, b=None, residual=None):
        n, c = x.shape[:2]
        m, _, kh, kw = w.shape
        windows = self.windows(x, (kh, kw))
        oh, ow = windows.shape[2:4]
        filters = w.reshape(self.group, m // self.group, c // self.group * kh * kw)
        y = np.empty((n, m, oh, ow), x.dtype)
        for image, out in zip(
            windows, y, strict=True
        ):  # one image at a time: its columns are KH*KW times as large
            columns = image.transpose(0, 3, 4, 1, 2).reshape(self.group, c // self.group * kh * kw, oh * ow)
            out[...] = (filters @ columns).reshape(m, oh, ow)
        if b is not None:
            y += b[:, None, None]
        if residual is not None:
            y += residual
        return activated(y, self.activation, self.activation_args)

    def windows(self, x: np.ndarray, kernel: tuple[int, int]) -> np.ndarray:
        """What the filter sees at each place, without a copy: (N, C, OH, OW, KH, KW)."""
        (sh, sw), (dh, dw), (top, left, bottom, right) = self.stride, self.dilation, self.pad
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, _extents(kernel, self.dilation), (2, 3))
        return windows[:, :, ::sh, ::sw, ::dh, ::dw]

    def macs(self, x: Spec, w: Spec, b: Spec | None = None, residual: Spec | None = None) -> int:
        n, _, oh, ow = self.infer(x, w, b).shape
        return int(n) * int(oh) * int(ow) * w.size


@layer("Deconvolution")
class Deconvolution(Layer):
    """y[m] = sum of x[c] spread by w[c,m] + b[m]    x: (N,C,H,W), w: (C,M/group,KH,KW) -> y: (N,M,OH,OW)

    Convolution's transpose, with b: (M,). Every x[c,i,j] adds x[c,i,j] * w[c,m] to the window of y[m] that
    begins at (i * stride - top, j * stride - left).
    OH = (H - 1) * stride + dilation * (KH - 1) + 1 + output_pad - top - bottom, and OW likewise.
    Zeiler et al. 2010, "Deconvolutional networks"; Long et al. 2014, arXiv:1411.4038. caffe.proto
    ConvolutionParameter; output_pad, more rows below and columns to the right, is ONNX ConvTranspose's.

    stride, dilation, output_pad  [h, w]        pad  [top, left, bottom, right], cut off y
    """

    apart = each_image

    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)
    group: int = 1
    output_pad: tuple[int, ...] = (0, 0)

    def check(self) -> None:
        _check_geometry(self)
        _check_numbers(self, "output_pad", 2, 0)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        _check_ranks(x, w, "(C, M/group, KH, KW)")
        (n, c, *size), (channels, m, *kernel) = x.shape, w.shape
        if channels != c:
            raise ShapeError(f"x is {x} but w is {w}: w needs C={c}")
        if c % self.group:
            raise ShapeError(f"x is {x}: C={c} must be a multiple of group={self.group}")
        _check_bias(b, m * self.group)
        out = []
        for axis, extent in enumerate(_extents(kernel, self.dilation)):
            stride = self.stride[axis]
            rest = extent + self.output_pad[axis] - self.pad[axis] - self.pad[axis + 2] - stride
            if size[axis] < 1 or size[axis] * stride + rest < 1:
                raise ShapeError(
                    f"x is {x} and w is {w}: nothing is left of y's {AXES[axis]},"
                    f" which is {size[axis]} * {stride} + {rest}"
                )
            out.append(size[axis] * stride + rest)
        return Spec((n, m * self.group, *out), x.dtype)

    def reference(self, x, w, b=None):
        n, c, h, width = x.shape
        g, (sh, sw), (dh, dw) = self.group, self.stride, self.dilation
        m, (kh, kw) = w.shape[1] * g, w.shape[2:]
        filters = w.reshape(g, c // g, m // g * kh * kw).transpose(0, 2, 1)
        taps = (filters @ x.reshape(n, g, c // g, h * width)).reshape(n, m, kh, kw, h, width)
        top, left, bottom, right = self.pad
        oh, ow = self.infer(Spec(x.shape), Spec(w.shape)).shape[2:]
        y = np.zeros((n, m, top + oh + bottom, left + ow + right), x.dtype)
        for i, j in np.ndindex(kh, kw):
            rows = slice(i * dh, i * dh + (h - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
            y[:, :, rows, columns] += taps[:, :, i, j]
        y = y[:, :, top : top + oh, left : left + ow]
        return y if b is None else y + b[:, None, None]

    def macs(self, x: Spec, w: Spec, b: Spec | None = None) -> int:
        n, _, h, width = map(int, x.shape)
        return n * h * width * w.size


def _check_geometry(layer: Convolution | Deconvolution) -> None:
    _check_numbers(layer, "stride", 2, 1)
    _check_numbers(layer, "dilation", 2, 1)
    _check_numbers(layer, "pad", 4, 0)
    if layer.group < 1:
        raise AttributeValueError(f"{layer}: group is {layer.group}: it must be at least 1")


def _check_numbers(layer: Layer, name: str, count: int, least: int) -> None:
    numbers: Sequence[int] = getattr(layer, name)
    if len(numbers) != count or min(numbers) < least:
        raise AttributeValueError(f"{layer}: {name} is {numbers}: give {count} numbers of at least {least}")


def _check_ranks(x: Spec, w: Spec, filters: str) -> None:
    if x.ndim != 4:
        raise ShapeError(f"x is {x} but images are (N, C, H, W)")
    if w.ndim != 4 or 0 in w.shape:
        raise ShapeError(f"w is {w} but filters are {filters}, each at least 1")


def _check_bias(b: Spec | None, m: int) -> None:
    if b is not None and b.shape != (m,):
        raise ShapeError(f"b is {b} but there are M={m} filters: b needs shape [{m}]")


def _extents(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How many cells a dilated filter spans on each axis."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
