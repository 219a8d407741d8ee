"""Pooling: each window of an image becomes its largest element, or their average."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Pooling")
class Pooling(Layer):
    """y = max or average of x over each window        x: (N, C, H, W) -> y: (N, C, OH, OW)

    OH = (H + top + bottom - KH) // stride + 1, and OW likewise. With `ceil` the division rounds up, and a
    last window that would begin below x's last row, in the padding, is left out: Caffe's rule. caffe.proto
    PoolingParameter.

    method          "max" | "average"
    kernel, stride  [h, w]        pad  [top, left, bottom, right]: no element for max, zeros for average
    global_pooling  the window is the image, whatever kernel, stride and pad say
    count_pad       the average's divisor counts a window's cells in the image and its padding (Caffe's rule),
                    else in the image alone; cells past the padding, where `ceil` may reach, never count
    """

    apart = each_image

    method: str = "max"
    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    ceil: bool = False
    global_pooling: bool = False
    count_pad: bool = True

    def check(self) -> None:
        if self.method not in ("max", "average"):
            raise AttributeValueError(f"{self}: method is {self.method!r}: give 'max' or 'average'")
        for name, count, least in (("kernel", 2, 1), ("stride", 2, 1), ("pad", 4, 0)):
            numbers = getattr(self, name)
            if len(numbers) != count or min(numbers) < least:
                raise AttributeValueError(
                    f"{self}: {name} is {numbers}: give {count} numbers of at least {least}"
                )
        if not self.global_pooling and any(p >= k for p, k in zip(self.pad, self.kernel * 2, strict=True)):
            raise AttributeValueError(
                f"{self}: pad is {self.pad} but kernel is {self.kernel}: a window needs more than padding"
            )

    def infer(self, x: Spec) -> Spec:
        if x.ndim != 4:
            raise ShapeError(f"x is {x} but images are (N, C, H, W)")
        n, c, *size = x.shape
        if 0 in size:
            raise ShapeError(f"x is {x}: an image without pixels cannot be pooled")
        if self.global_pooling:
            return x.replace(shape=(n, c, 1, 1))
        out = [self._windows(size[axis], axis) for axis in (0, 1)]
        if min(out) < 1:
            pad, kernel = list(self.pad), list(self.kernel)
            raise ShapeError(f"x is {x}: with pad {pad} it is smaller than the kernel, {kernel}")
        return x.replace(shape=(n, c, *out))

    def _windows(self, size: int, axis: int) -> int:
        """How many windows there are along one axis of an image."""
        stride, before, after = self.stride[axis], self.pad[axis], self.pad[axis + 2]
        # == (size + before + after - kernel) // stride + 1, in the form whose text is shortest
        rest = before + after - self.kernel[axis] + stride
        if not self.ceil:
            return (size + rest) // stride
        return min((size + (rest + stride - 1)) // stride, (size + (before - 1 + stride)) // stride)

    def counts(self, size: int, axis: int) -> np.ndarray:
        """How many cells of each window count, along one axis; the average's divisor is h's times w's."""
        before, after = self.pad[axis], self.pad[axis + 2]
        start = np.arange(self._windows(size, axis)) * self.stride[axis] - before
        end = start + self.kernel[axis]
        if self.count_pad:
            return np.minimum(end, size + after) - start
        return np.minimum(end, size) - np.maximum(start, 0)

    def reference(self, x):
        if self.global_pooling:
            return x.max((2, 3), keepdims=True) if self.method == "max" else x.mean((2, 3), keepdims=True)
        h, w = x.shape[2:]
        (kh, kw), (sh, sw), (top, left, _, _) = self.kernel, self.stride, self.pad
        oh, ow = self._windows(h, 0), self._windows(w, 1)
        # all that the windows reach, which may end before the image or, with ceil, past the padding
        reach_h, reach_w = (oh - 1) * sh + kh, (ow - 1) * sw + kw
        cells = np.full((*x.shape[:2], reach_h, reach_w), -np.inf if self.method == "max" else 0, x.dtype)
        cells[:, :, top : top + h, left : left + w] = x[:, :, : reach_h - top, : reach_w - left]
        taps = (
            cells[:, :, i : i + (oh - 1) * sh + 1 : sh, j : j + (ow - 1) * sw + 1 : sw]
            for i, j in np.ndindex(kh, kw)
        )
        if self.method == "max":
            return reduce(np.maximum, taps)
        divisor = np.outer(self.counts(h, 0), self.counts(w, 1)).astype(x.dtype)
        return reduce(np.add, taps) / divisor
