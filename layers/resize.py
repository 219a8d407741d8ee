"""Resize: an image in another size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec

COORDINATES = (
    "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn",
    "align_corners", "tf_crop_and_resize",
)  # fmt: skip
NEAR = 1e-9  # what a place may be off by rounding


@layer("Resize")
class Resize(Layer):
    """y[i, j] = x at (i * step_h, j * step_w), or near there        x: (N, C, H, W) -> y: (N, C, OH, OW)

    nearest  y[i] = x[floor(i * step)]
    linear   y[i] = between the two pixels around (i + 1/2) * step - 1/2, so that the images' edges coincide; with
             `corners` around i * (H - 1) / (OH - 1), so that the middles of their corner pixels do
    cubic    likewise, from four pixels each way (Keys 1981, "Cubic convolution interpolation", with a = `cubic`)
    Beyond the image are its edge pixels. ONNX Resize; with corners also Interp of Caffe's forks.

    scale            [h, w]: OH = floor(H * scale), step = 1 / scale
    size             [OH, OW]: step = H / OH. Give one of the two
    coordinates      ONNX's name for where y's pixels lie in x, in place of the above, see COORDINATES
    rounding         of a nearest place: "floor" | "ceil" | "round_prefer_floor" | "round_prefer_ceil"
    exclude_outside  cells beyond the image have no weight, and the others share it
    antialias        where the image becomes smaller, all the pixels of x that one of y stands for take part
    region           [top, left, bottom, right] in 0..1 of the image is resized, for "tf_crop_and_resize"
    outside          y beyond the image, for "tf_crop_and_resize"
    """

    apart = each_image

    method: str = "nearest"
    scale: tuple[float, ...] = ()
    size: tuple[int, ...] = ()
    corners: bool = False
    coordinates: str = ""
    rounding: str = "floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    region: tuple[float, ...] = ()
    outside: float = 0.0

    def check(self) -> None:
        if self.method not in ("nearest", "linear", "cubic"):
            raise AttributeValueError(
                f"{self}: method is {self.method!r}: give 'nearest', 'linear' or 'cubic'"
            )
        if self.corners and (self.method == "nearest" or self.coordinates):
            raise AttributeValueError(f"{self}: corners belongs to method 'linear', not to {self.method!r}")
        if self.coordinates not in ("", *COORDINATES):
            raise AttributeValueError(
                f"{self}: coordinates is {self.coordinates!r}: give {', '.join(COORDINATES)}"
            )
        if self.rounding not in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
            raise AttributeValueError(
                f"{self}: rounding is {self.rounding!r}: give 'floor', 'ceil' or 'round_prefer_...'"
            )
        if (len(self.region) == 4) != (self.coordinates == "tf_crop_and_resize"):
            raise AttributeValueError(
                f"{self}: region is {self.region}: four numbers for 'tf_crop_and_resize', else none"
            )
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
        kept = x.quantization if self.method == "nearest" and not self.region else None
        return x.replace(shape=(*x.shape[:2], *out), quantization=kept)

    def _resized(self, size: int, axis: int) -> int:
        """The new size along one axis of an image."""
        if self.size:
            return self.size[axis]
        exact = self._exact(axis)
        return size * exact.numerator // exact.denominator

    def _exact(self, axis: int) -> Fraction:
        """The scale along one axis; 1/3 as a float is meant as 1/3."""
        exact = Fraction(self.scale[axis]).limit_denominator(4096)
        return (
            exact if abs(exact - self.scale[axis]) <= 1e-6 * self.scale[axis] else Fraction(self.scale[axis])
        )

    def places(self, size: int, axis: int) -> np.ndarray:
        """Where along one axis of x, in pixels whose middles are whole numbers, y's pixels lie."""
        out = int(self._resized(size, axis))
        step = size / out if self.size else float(1 / self._exact(axis))
        i = np.arange(out, dtype=np.float64)
        usual = (
            "align_corners" if self.corners else "asymmetric" if self.method == "nearest" else "half_pixel"
        )
        match self.coordinates or usual:
            case "asymmetric":
                return i * step
            case "align_corners":
                return i * ((size - 1) / max(1, out - 1))
            case "pytorch_half_pixel" if out == 1:
                return np.zeros(1)
            case "tf_half_pixel_for_nn":
                return (i + 0.5) * step
            case "tf_crop_and_resize":
                first, last = self.region[axis], self.region[axis + 2]
                if out == 1:
                    return np.array([(first + last) / 2 * (size - 1)])
                return first * (size - 1) + i * ((last - first) * (size - 1) / (out - 1))
            case "half_pixel_symmetric":  # the middle of what is left over at the right is the middle again
                return size / 2 * (1 - out * step / size) + (i + 0.5) * step - 0.5
        return (i + 0.5) * step - 0.5

    def taps(self, size: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """For every place along one axis of y: the cells of x that it is made of, how much of each. Both (out, K)."""
        at = self.places(size, axis)
        if self.method == "nearest":
            cells, parts = self._rounded(at)[:, None], np.ones((len(at), 1))
        else:
            cells, parts = self._weights(at, len(at) / size if self.size else self.scale[axis])
        if self.exclude_outside and self.method != "nearest":
            parts = np.where((cells < 0) | (cells >= size), 0, parts)
            parts = parts / parts.sum(1, keepdims=True)
        return np.clip(cells, 0, size - 1).astype(np.int64), parts.astype(np.float32)

    def _rounded(self, at: np.ndarray) -> np.ndarray:
        match self.rounding:
            case "floor":
                return np.floor(at + NEAR)
            case "ceil":
                return np.ceil(at - NEAR)
            case "round_prefer_floor":
                return np.ceil(at - 0.5 - NEAR)
        return np.floor(at + 0.5 + NEAR)

    def _weights(self, at: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """The cells around each place, and the kernel's value at each of them; a wider kernel for antialias."""
        scale = min(1.0, scale) if self.antialias else 1.0
        reach = 1 if self.method == "linear" else 2
        first = int(np.floor(-reach / scale)) + 1
        cells = np.floor(at)[:, None] + np.arange(first, 2 - first)
        d = np.abs(cells - at[:, None]) * scale
        if self.method == "linear":
            parts = np.maximum(0, 1 - d)
        else:
            a = self.cubic
            near = ((a + 2) * d - (a + 3)) * d * d + 1
            parts = np.where(d <= 1, near, np.where(d < 2, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a, 0))
        return cells, parts / parts.sum(1, keepdims=True)

    def beyond(self, size: int, axis: int) -> np.ndarray:
        """Which places along one axis of y lie beyond the image and get `outside`."""
        at = self.places(size, axis)
        return ((at < 0) | (at > size - 1)) & (self.coordinates == "tf_crop_and_resize")

    def reference(self, x):
        y = x
        for axis in (0, 1):
            cells, parts = self.taps(x.shape[2 + axis], axis)
            if self.method == "nearest":
                y = y.take(cells[:, 0], 2 + axis)
            else:
                parts = parts.reshape(*parts.shape, *[1] * (1 - axis))
                y = sum(y.take(cells[:, k], 2 + axis) * parts[:, k] for k in range(cells.shape[1]))
        if self.coordinates == "tf_crop_and_resize":
            y = y.astype(x.dtype)
            y[:, :, self.beyond(x.shape[2], 0)] = self.outside
            y[..., self.beyond(x.shape[3], 1)] = self.outside
        return y
