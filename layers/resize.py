"""Resize: an image in another size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("Resize")
class Resize(Layer):
    """y[i, j] = x at (i * step_h, j * step_w), or near there        x: (N, C, H, W) -> y: (N, C, OH, OW)

    nearest  y[i] = x[floor(i * step)]
    linear   y[i] = between the two pixels around (i + 1/2) * step - 1/2, so that the images' edges coincide; with
             `corners` around i * (H - 1) / (OH - 1), so that the middles of their corner pixels do
    Beyond the image are its edge pixels. ONNX Resize, with "asymmetric" and "floor", "half_pixel", or
    "align_corners"; the last is also Interp of Caffe's forks.

    scale  [h, w]: OH = floor(H * scale), step = 1 / scale        size  [OH, OW]: step = H / OH. Give one of the two
    """

    method: str = "nearest"
    scale: tuple[float, ...] = ()
    size: tuple[int, ...] = ()
    corners: bool = False

    def check(self) -> None:
        if self.method not in ("nearest", "linear"):
            raise AttributeValueError(f"{self}: method is {self.method!r}: give 'nearest' or 'linear'")
        if self.corners and self.method != "linear":
            raise AttributeValueError(f"{self}: corners belongs to method 'linear', not to {self.method!r}")
        given = self.scale or self.size
        if (self.scale and self.size) or len(given) != 2 or not all(0 < g < 2**31 for g in given):
            raise AttributeValueError(
                f"{self}: scale is {self.scale} and size is {self.size}: give one of them, [h, w], above 0"
            )

    def infer(self, x: Spec) -> Spec:
        if x.ndim != 4:
            raise ShapeError(f"x is {x} but images are (N, C, H, W)")
        if 0 in x.shape[2:]:
            raise ShapeError(f"x is {x}: an image without pixels cannot be resized")
        out = [self._resized(size, axis) for axis, size in enumerate(x.shape[2:])]
        if min(out) < 1:
            raise ShapeError(f"x is {x}: nothing is left of it at scale {list(self.scale)}")
        return x.replace(shape=(*x.shape[:2], *out), quantization=None)

    def _resized(self, size: int, axis: int) -> int:
        """The new size along one axis of an image."""
        if self.size:
            return self.size[axis]
        exact = Fraction(self.scale[axis]).limit_denominator(4096)  # 1/3 as a float is meant as 1/3
        if abs(exact - self.scale[axis]) > 1e-6 * self.scale[axis]:
            exact = Fraction(self.scale[axis])
        return size * exact.numerator // exact.denominator

    def taps(self, size: int, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every place along one axis of y: the two places of x it lies between, and how far from the first."""
        out = int(self._resized(size, axis))
        step = size / out if self.size else 1 / self.scale[axis]
        places = np.arange(out, dtype=np.float64)
        if self.method == "nearest":
            near = np.minimum(np.floor(places * step + 1e-9), size - 1).astype(np.int64)
            return near, near, np.zeros(out, np.float32)
        at = places * ((size - 1) / max(1, out - 1)) if self.corners else (places + 0.5) * step - 0.5
        at = np.clip(at, 0, size - 1)
        first = np.floor(at).astype(np.int64)
        return first, np.minimum(first + 1, size - 1), (at - first).astype(np.float32)

    def reference(self, x):
        for axis in (0, 1):
            first, second, part = self.taps(x.shape[2 + axis], axis)
            y = x.take(first, 2 + axis)
            if self.method == "linear":
                part = part.reshape(-1, *[1] * (1 - axis))
                y = y * (1 - part) + x.take(second, 2 + axis) * part
            x = y
        return x
