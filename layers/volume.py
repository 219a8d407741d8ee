"""Convolution, its transpose, and pooling, over volumes: three axes, D depth, H height, W width.

What images have and `conv` and `pool` leave out is here too, as an image is a volume of depth 1: pooling with holes in
its window, by another norm, and with the place of each maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec

AXES = ("depth", "height", "width")


@layer("Convolution3D")
class Convolution3D(Layer):
    """y[m] = sum of x[c] * w[m,c] + b[m]     x: (N,C,D,H,W), w: (M,C/group,KD,KH,KW), b: (M,) -> y: (N,M,OD,OH,OW)

    Convolution over volumes. Tran et al. 2015, arXiv:1412.0767. ONNX Conv; ncnn's Convolution3D.

    stride, dilation  [d, h, w]        pad  [front, top, left, back, bottom, right], with zeros
    """

    stride: tuple[int, ...] = (1, 1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1, 1)
    group: int = 1

    def check(self) -> None:
        _check_numbers(self, stride=(3, 1), dilation=(3, 1), pad=(6, 0))
        _check_group(self)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        _check_ranks(x, w)
        n, c, m = x.shape[0], x.shape[1], int(w.shape[0])
        if w.shape[1] * self.group != c or m % self.group:
            raise ShapeError(
                f"x is {x} but w is {w}: with group={self.group} w needs C/group={c}/{self.group}"
            )
        _check_bias(b, m)
        out = _convolved(self, x, _extents(w.shape[2:], self.dilation))
        return Spec((n, m, *out), x.dtype)

    def reference(self, x, w, b=None):
        n, c = x.shape[:2]
        m, _, *kernel = w.shape
        g = self.group
        padded = np.pad(x, ((0, 0), (0, 0), *zip(self.pad[:3], self.pad[3:], strict=True)))
        seen = _seen(padded, _extents(kernel, self.dilation), self.stride, self.dilation)
        seen = seen.reshape(n, g, c // g, *seen.shape[2:])
        filters = w.reshape(g, m // g, c // g, *kernel)
        y = np.einsum("ngcdhwijk,gmcijk->ngmdhw", seen, filters, optimize=True)
        y = y.reshape(n, m, *y.shape[3:]).astype(x.dtype)
        return y if b is None else y + b[:, None, None, None]

    def macs(self, x: Spec, w: Spec, b: Spec | None = None) -> int:
        y = self.infer(x, w, b).concrete.shape
        return y[0] * y[2] * y[3] * y[4] * w.size


@layer("Deconvolution3D")
class Deconvolution3D(Layer):
    """y[m] = sum of x[c] spread by w[c,m] + b[m]  x: (N,C,D,H,W), w: (C,M/group,KD,KH,KW), b: (M,) -> y: (N,M,OD,OH,OW)

    Convolution3D's transpose; OD = (D - 1) * stride + dilation * (KD - 1) + 1 + output_pad - front - back, and OH and
    OW likewise. ONNX ConvTranspose; ncnn's Deconvolution3D.

    stride, dilation, output_pad  [d, h, w]        pad  [front, top, left, back, bottom, right], cut off y
    """

    stride: tuple[int, ...] = (1, 1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1, 1)
    group: int = 1
    output_pad: tuple[int, ...] = (0, 0, 0)

    def check(self) -> None:
        _check_numbers(self, stride=(3, 1), dilation=(3, 1), pad=(6, 0), output_pad=(3, 0))
        _check_group(self)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        _check_ranks(x, w)
        if w.shape[0] != x.shape[1] or int(x.shape[1]) % self.group:
            raise ShapeError(
                f"x is {x} but w is {w}: w needs C={x.shape[1]}, a multiple of group={self.group}"
            )
        m = int(w.shape[1]) * self.group
        _check_bias(b, m)
        out = []
        for axis, extent in enumerate(_extents(w.shape[2:], self.dilation)):
            cut = self.pad[axis] + self.pad[axis + 3] - self.output_pad[axis]
            size = x.shape[2 + axis] * self.stride[axis] + (extent - self.stride[axis] - cut)
            if x.shape[2 + axis] < 1 or size < 1:
                raise ShapeError(f"x is {x} and w is {w}: nothing is left of y's {AXES[axis]}")
            out.append(size)
        return Spec((x.shape[0], m, *out), x.dtype)

    def reference(self, x, w, b=None):
        (n, c, *size), g, m = x.shape, self.group, w.shape[1]
        out = self.infer(Spec(x.shape), Spec(w.shape)).shape[2:]
        images, filters = x.reshape(n, g, c // g, *size), w.reshape(g, c // g, *w.shape[1:])
        taps = np.einsum("ngcdhw,gcmijk->ngmijkdhw", images, filters, optimize=True)
        taps = taps.reshape(n, g * m, *taps.shape[3:])
        room = [o + a + b for o, a, b in zip(out, self.pad[:3], self.pad[3:], strict=True)]
        y = np.zeros((n, g * m, *room), x.dtype)
        for place in np.ndindex(*w.shape[2:]):
            where = tuple(
                slice(i * d, i * d + (s - 1) * t + 1, t)
                for i, d, s, t in zip(place, self.dilation, size, self.stride, strict=True)
            )
            y[(slice(None), slice(None), *where)] += taps[(slice(None), slice(None), *place)]
        y = y[(..., *(slice(a, a + o) for a, o in zip(self.pad[:3], out, strict=True)))]
        return y if b is None else y + b[:, None, None, None]

    def macs(self, x: Spec, w: Spec, b: Spec | None = None) -> int:
        n, _, *size = x.concrete.shape
        return n * prod(size) * w.size


class Windows3D(Layer):
    """A window that moves over a volume: what poolings have in common. Not a layer itself.

    OD = (D + front + back - dilation * (KD - 1) - 1) // stride + 1, and OH and OW likewise. With `ceil` the division
    rounds up, and a last window that would begin past the volume, in its padding, is left out.

    kernel, stride, dilation  [d, h, w]        pad  [front, top, left, back, bottom, right]
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1, 1)
    ceil: bool = False

    def check(self) -> None:
        _check_numbers(self, kernel=(3, 1), stride=(3, 1), dilation=(3, 1), pad=(6, 0))
        extents = _extents(self.kernel, self.dilation)
        if any(p >= k for p, k in zip(self.pad, extents * 2, strict=True)):
            raise AttributeValueError(
                f"{self}: pad is {self.pad} but the window spans {extents}: it needs more than padding"
            )

    def pooled(self, x: Spec) -> Spec:
        """The Spec of y."""
        if x.ndim != 5 or 0 in x.shape[2:]:
            raise ShapeError(f"x is {x} but volumes are (N, C, D, H, W), none of them empty")
        out = [self.windows(size, axis) for axis, size in enumerate(x.shape[2:])]
        if min(out) < 1:
            raise ShapeError(f"x is {x}: with pad {list(self.pad)} it is smaller than the window")
        return x.replace(shape=(*x.shape[:2], *out))

    def cells(self, x: np.ndarray, fill: float) -> np.ndarray:
        """What each window holds, `fill` where it looks past the volume: (N, C, OD, OH, OW, KD, KH, KW)."""
        out, extents = self.pooled(Spec(x.shape)).shape[2:], _extents(self.kernel, self.dilation)
        frame = [(0, 0), (0, 0)]
        for axis, size in enumerate(x.shape[2:]):
            reach = (out[axis] - 1) * self.stride[axis] + extents[axis]
            frame.append((self.pad[axis], max(0, reach - self.pad[axis] - size)))
        padded = np.pad(x, frame, constant_values=fill)
        seen = _seen(padded, extents, self.stride, self.dilation)
        return seen[:, :, : out[0], : out[1], : out[2]]

    def counts(self, size: int, axis: int, padding: bool) -> np.ndarray:
        """How many cells of each window lie along one axis in the volume, or in its padding too; never past that."""
        before, after = (self.pad[axis], self.pad[axis + 3]) if padding else (0, 0)
        starts = np.arange(self.windows(size, axis)) * self.stride[axis] - self.pad[axis]
        cells = starts[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
        return ((cells >= -before) & (cells < size + after)).sum(1)

    def windows(self, size: int, axis: int) -> int:
        """How many windows there are along one axis."""
        stride, before, after = self.stride[axis], self.pad[axis], self.pad[axis + 3]
        rest = before + after - _extents(self.kernel, self.dilation)[axis] + stride
        if not self.ceil:
            return (size + rest) // stride
        return min((size + (rest + stride - 1)) // stride, (size + (before - 1 + stride)) // stride)


@layer("MaxPooling3D")
class MaxPooling3D(Windows3D):
    """y = x's largest element in each window, place = where it is      x: (N,C,D,H,W) -> y, place: (N,C,OD,OH,OW)

    A place counts the elements of one channel's volume from 0, d * H * W + h * W + w, of the first that is largest.
    Padding holds no element. See Windows3D for its attributes. ONNX MaxPool, whose places count through the whole of x.
    """

    results = ("y", "place")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        y = self.pooled(x)
        return y, y.replace(dtype="int64")

    def reference(self, x):
        cells = self.cells(x, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
        numbers = np.arange(prod(x.shape[2:])).reshape(1, 1, *x.shape[2:])
        places = np.broadcast_to(self.cells(numbers, -1), cells.shape)
        cells, places = (a.reshape(*a.shape[:5], prod(self.kernel)) for a in (cells, places))
        chosen = cells.argmax(-1)[..., None]
        y, place = (np.take_along_axis(a, chosen, -1)[..., 0] for a in (cells, places))
        return y, place.astype(np.int64)


@layer("AveragePooling3D")
class AveragePooling3D(Windows3D):
    """y = mean of x over each window, or (sum of |x|**power) ** (1/power)      x: (N,C,D,H,W) -> y: (N,C,OD,OH,OW)

    power      0: the mean; p: the p-norm
    count_pad  the average counts a window's cells in the volume and its padding, else in the volume alone
    See Windows3D for the others. ONNX AveragePool and LpPool.
    """

    power: int = 0
    count_pad: bool = False

    def infer(self, x: Spec) -> Spec:
        return self.pooled(x)

    def reference(self, x):
        cells = self.cells(x, 0)
        if self.power:
            return ((np.abs(cells) ** self.power).sum((5, 6, 7)) ** (1 / self.power)).astype(x.dtype)
        d, h, w = (self.counts(size, axis, self.count_pad) for axis, size in enumerate(x.shape[2:]))
        return cells.sum((5, 6, 7)) / (d[:, None, None] * h[:, None] * w).astype(x.dtype)


def _seen(
    x: np.ndarray, extents: tuple[int, ...], stride: Sequence[int], dilation: Sequence[int]
) -> np.ndarray:
    """What a window sees at each place, without a copy: (N, C, OD, OH, OW, KD, KH, KW)."""
    (sd, sh, sw), (dd, dh, dw) = stride, dilation
    windows = np.lib.stride_tricks.sliding_window_view(x, extents, (2, 3, 4))
    return windows[:, :, ::sd, ::sh, ::sw, ::dd, ::dh, ::dw]


def _convolved(layer: Convolution3D, x: Spec, extents: Sequence[int]) -> list[int]:
    """How many places a filter has along each axis."""
    out = []
    for axis, extent in enumerate(extents):
        size, stride = x.shape[2 + axis], layer.stride[axis]
        padding = layer.pad[axis] + layer.pad[axis + 3]
        if size + padding < extent:
            raise ShapeError(
                f"x is {x}: its {AXES[axis]} with padding is {size + padding} but the filter needs {extent}"
            )
        out.append((size + (padding - extent + stride)) // stride)
    return out


def _extents(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How many cells a dilated window spans on each axis."""
    return tuple(d * (int(k) - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def _check_ranks(x: Spec, w: Spec) -> None:
    if x.ndim != 5:
        raise ShapeError(f"x is {x} but volumes are (N, C, D, H, W)")
    if w.ndim != 5 or 0 in w.shape:
        raise ShapeError(f"w is {w} but filters have 5 axes, each at least 1")


def _check_bias(b: Spec | None, m: int) -> None:
    if b is not None and b.shape != (m,):
        raise ShapeError(f"b is {b} but there are M={m} filters: b needs shape [{m}]")


def _check_group(layer: Convolution3D | Deconvolution3D) -> None:
    if layer.group < 1:
        raise AttributeValueError(f"{layer}: group is {layer.group}: it must be at least 1")


def _check_numbers(layer: Layer, **wanted: tuple[int, int]) -> None:
    for name, (count, least) in wanted.items():
        numbers = getattr(layer, name)
        if len(numbers) != count or min(numbers) < least:
            raise AttributeValueError(
                f"{layer}: {name} is {numbers}: give {count} numbers of at least {least}"
            )
