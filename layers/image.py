"""Images become what a net reads. These layers stand first in a net, so that `net(pixels)` needs no other code.

Images are (N, H, W, C), a pixel's channels side by side, as cameras and decoders give them. `color` has their colours.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec

FITS = ("stretch", "crop", "cut", "letterbox", "multiple")
FILTERS = ("bilinear", "corners", "antialias", "antialias_cubic")
BITS = 22  # of a weight's fraction in Pillow's arithmetic of whole numbers


class Window(NamedTuple):
    """One axis of an image: stretched to `full` places, of which y has `count` from number `first` on."""

    full: int
    first: int
    count: int

    @property
    def inside(self) -> tuple[int, int]:
        """The first place of y that is on the image, and the one after the last."""
        return max(0, -self.first), min(self.count, self.full - self.first)


@layer("ImageResize")
class ImageResize(Layer):
    """y = x in another size        x: (N, H, W, C) -> y: (N, OH, OW, C)

    size is [OH, OW]. What fills it is chosen by fit:
    stretch    the whole image; a 0 in size is in proportion to the other one, rounded up
    crop       the middle of the image, scaled so that its shorter side is `shorter`; 0: so that it just covers size
    cut        the middle of the image as it is
    letterbox  the whole image scaled to fit in, and `fill` around it (below and right of it if `at_corner`)
    multiple   the whole image, each side rounded up to a multiple of size

    How pixels are made of pixels is chosen by filter, and matters: a net reads what it was trained on.
    bilinear   of the four nearest, half-pixel centres: ONNX Resize "half_pixel", OpenCV INTER_LINEAR. y is fp32
    corners    of the four nearest, corner pixels on corner pixels: "align_corners", Interp of Caffe's forks. y is fp32
    antialias, antialias_cubic  of all under a triangle or a cubic (a = -1/2) as wide as the step. x and y are uint8,
               bit for bit as Pillow's BILINEAR and BICUBIC, on which torchvision's nets are trained: first across, then
               down, as every Pillow before 13 does
    """

    apart = each_image

    size: tuple[int, ...]
    fit: str = "stretch"
    shorter: int = 0
    filter: str = "bilinear"
    fill: float = 0.0
    at_corner: bool = False

    def check(self) -> None:
        for name, value, choices in (("fit", self.fit, FITS), ("filter", self.filter, FILTERS)):
            if value not in choices:
                raise AttributeValueError(f"{self}: {name} is {value!r}; use {', '.join(choices)}")
        lowest = [0, 1] if self.fit == "stretch" else [1, 1]
        if len(self.size) != 2 or not all(
            low <= s < 2**16 for low, s in zip(lowest, sorted(self.size), strict=True)
        ):
            raise AttributeValueError(
                f"{self}: size is {list(self.size)}; give [height, width], each above 0"
            )
        if not 0 <= self.shorter < 2**16 or (self.shorter and self.fit != "crop"):
            raise AttributeValueError(
                f"{self}: shorter is {self.shorter}; give a size, with fit crop, not {self.fit}"
            )
        if not 0 <= self.fill <= 255 or (self.smooth and self.fill != int(self.fill)):
            raise AttributeValueError(f"{self}: fill is {self.fill}; give a pixel's value, from 0 to 255")

    @property
    def smooth(self) -> bool:
        """Whether the filter is one of Pillow's."""
        return self.filter.startswith("antialias")

    def infer(self, x: Spec) -> Spec:
        wanted = ("uint8",) if self.smooth else ("uint8", "fp32")
        if x.ndim != 4 or x.dtype.name not in wanted or 0 in x.shape[1:]:
            raise ShapeError(
                f"x is {x} but images to resize are {' or '.join(wanted)} (N, H, W, C), not empty"
            )
        n, h, w, c = x.shape
        rows, columns = self.windows(h, w)
        return Spec((n, rows.count, columns.count, c), x.dtype if self.smooth else "fp32")

    def windows(self, h: int, w: int) -> tuple[Window, Window]:
        """Where y's rows and columns lie on an image of this size. Raises ShapeError."""
        sides, size = (h, w), self.size
        if self.fit == "multiple":
            full: tuple[int, ...] = tuple(
                (side + (s - 1)) // s * s for side, s in zip(sides, size, strict=True)
            )
            return Window(full[0], 0, full[0]), Window(full[1], 0, full[1])
        if self.fit == "stretch":
            oh = size[0] or (h * size[1] + w - 1) // w
            ow = size[1] or (w * size[0] + h - 1) // h
            return Window(oh, 0, oh), Window(ow, 0, ow)
        shares = [s / int(side) for s, side in zip(size, sides, strict=True)]
        factor = {"cut": 1.0, "crop": max(shares), "letterbox": min(shares)}[self.fit]
        if self.shorter:
            factor = self.shorter / min(int(h), int(w))
        full = tuple(max(1, round(int(side) * factor)) for side in sides)
        if self.fit != "letterbox" and (full[0] < size[0] or full[1] < size[1]):
            raise ShapeError(
                f"an image of {int(h)}x{int(w)} (height x width), resized to {full[0]}x{full[1]}, does not cover "
                f"{size[0]}x{size[1]}: use another fit, or a larger shorter side"
            )
        if self.fit == "letterbox":
            full = tuple(min(f, s) for f, s in zip(full, size, strict=True))
            first = [0 if self.at_corner else -((s - f) // 2) for f, s in zip(full, size, strict=True)]
        else:
            first = [(f - s) // 2 for f, s in zip(full, size, strict=True)]
        return Window(full[0], first[0], size[0]), Window(full[1], first[1], size[1])

    def pairs(self, side: int, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each place of y that is on the image: the two pixels it lies between, and how far from the first."""
        place = np.arange(window.count)[slice(*window.inside)] + window.first
        if self.filter == "corners":
            at = place * ((side - 1) / max(1, window.full - 1))
        else:
            at = (place + 0.5) * (side / window.full) - 0.5
        at = at.clip(0, side - 1)
        low = np.floor(at).astype(np.int64)
        return low, np.minimum(low + 1, side - 1), (at - low).astype(np.float32)

    def weights(self, side: int, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each place of y that is on the image: its first pixel, how many there are, and their weights * 2**BITS.

        Pillow, src/libImaging/Resample.c: precompute_coeffs and normalize_coeffs_8bpc.
        """
        curve, reach = (_cubic, 2.0) if self.filter == "antialias_cubic" else (_triangle, 1.0)
        step = side / window.full
        wide = max(step, 1.0)
        place = np.arange(window.count)[slice(*window.inside)] + window.first
        center = (place + 0.5) * step
        first = np.maximum((center - reach * wide + 0.5).astype(np.int64), 0)
        count = np.minimum((center + reach * wide + 0.5).astype(np.int64), side) - first
        tap = np.arange(ceil(reach * wide) * 2 + 1)
        w = curve((tap + first[:, None] - center[:, None] + 0.5) * (1.0 / wide)) * (tap < count[:, None])
        total = np.zeros(len(place))
        for column in w.T:  # in Pillow's order, as sums of doubles depend on it
            total += column
        w = w / np.where(total == 0, 1, total)[:, None]
        return first, count, np.trunc(w * (1 << BITS) + np.copysign(0.5, w)).astype(np.int64)

    def reference(self, x):
        n, h, w, c = x.shape
        rows, columns = self.windows(h, w)
        (top, bottom), (left, right) = rows.inside, columns.inside
        y = np.full((n, rows.count, columns.count, c), self.fill, x.dtype if self.smooth else np.float32)
        part = x
        for axis, window in ((2, columns), (1, rows)) if self.smooth else ((1, rows), (2, columns)):
            sample = self._smoothed if self.smooth else self._between
            part = sample(part, axis, window)
        y[:, top:bottom, left:right] = part
        return y

    def _between(self, x, axis, window):
        low, high, share = self.pairs(x.shape[axis], window)
        share = share.reshape((-1,) + (1,) * (x.ndim - axis - 1))
        return x.take(low, axis) * (1 - share) + x.take(high, axis) * share

    def _smoothed(self, x, axis, window):
        first, count, weights = self.weights(x.shape[axis], window)
        x = np.moveaxis(x, axis, -1).astype(np.int64)
        y = np.empty((*x.shape[:-1], len(first)), np.uint8)
        for i, (at, k) in enumerate(zip(first, count, strict=True)):
            total = x[..., at : at + k] @ weights[i, :k]
            y[..., i] = ((total + (1 << (BITS - 1))) >> BITS).clip(0, 255)
        return np.moveaxis(y, -1, axis)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981, "Cubic convolution interpolation for digital image processing", a = -1/2."""
    a, x = -0.5, np.abs(x)
    near, far = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@layer("ImageToTensor")
class ImageToTensor(Layer):
    """y[n, c, i, j] = (x[n, i, j, order[c]] - mean[c]) * scale[c]        x: (N, H, W, K) -> y: fp32 (N, C, H, W)

    x is uint8 or fp32, in 0 ... 255. order () is 0, 1, ... K - 1; (2, 1, 0) makes BGR of RGB. mean and scale have one
    number for all channels, or one for each of y's. Caffe's TransformationParameter, ncnn's substract_mean_normalize.
    """

    apart = each_image

    order: tuple[int, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def check(self) -> None:
        if any(c < 0 for c in self.order):
            raise AttributeValueError(f"{self}: order is {list(self.order)}; channels count from 0")
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in {1, len(self.order) or len(values)} or not np.isfinite(values).all():
                raise AttributeValueError(
                    f"{self}: {name} is {list(values)}; give one number, or one for each channel"
                )

    def channels(self, x: Spec) -> tuple[int, ...]:
        """Which channel of x each channel of y is. Raises ShapeError."""
        if x.ndim != 4 or x.dtype.name not in ("uint8", "fp32"):
            raise ShapeError(f"x is {x} but pixels are uint8 or fp32 (N, H, W, C)")
        order = self.order or tuple(range(int(x.shape[3])))
        if not order or max(order) >= x.shape[3]:
            raise ShapeError(f"x is {x}, but order {list(order)} asks for channel {max(order, default=0)}")
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in (1, len(order)):
                raise ShapeError(f"{name} has {len(values)} numbers, but there are {len(order)} channels")
        return order

    def infer(self, x: Spec) -> Spec:
        n, h, w, _ = x.shape if x.ndim == 4 else (0, 0, 0, 0)
        return Spec((n, len(self.channels(x)), h, w))

    def reference(self, x):
        order = list(self.order) or range(x.shape[3])
        pixels = x[..., order].astype(np.float32)
        y = (pixels - np.asarray(self.mean, np.float32)) * np.asarray(self.scale, np.float32)
        return y.transpose(0, 3, 1, 2)


@layer("BoxesToImage")
class BoxesToImage(Layer):
    """y = x, its boxes in pixels of the image        x: (N, ..., K), image: (N, H, W, C) -> y: (N, ..., K)

    The last four numbers of each row of x are a box, [left, top, right, bottom], in pixels of what an ImageResize with
    these attributes made of the image, or, if `relative`, in shares of its size, from 0 to 1. y's are in pixels of the
    image itself, and cut at its edges. Of the image only the shape is read; a camera's frame is (N, 3 H / 2, W).
    """

    size: tuple[int, ...] = ()
    fit: str = "stretch"
    shorter: int = 0
    at_corner: bool = False
    relative: bool = False

    def check(self) -> None:
        if self.size:
            self.resize.check()
        elif self.fit != "stretch" or self.shorter:
            raise AttributeValueError(f"{self}: fit is {self.fit!r}, which needs a size")

    @property
    def resize(self) -> ImageResize:
        """The layer whose work is undone."""
        return ImageResize(size=self.size, fit=self.fit, shorter=self.shorter, at_corner=self.at_corner)

    def infer(self, x: Spec, image: Spec) -> Spec:
        if x.ndim < 2 or x.shape[-1] < 4 or x.dtype.name != "fp32":
            raise ShapeError(f"x is {x}, but its rows have to end in [left, top, right, bottom]")
        if image.ndim not in (3, 4) or 0 in image.shape[1:3]:
            raise ShapeError(f"image is {image}, but images are (N, H, W, C), not empty")
        if self.size:
            self.resize.windows(*self.sides(image.shape))
        return x

    def sides(self, image: tuple[int, ...]) -> tuple[int, int]:
        """H and W of an image of this shape."""
        return (image[1], image[2]) if len(image) == 4 else (image[1] // 3 * 2, image[2])

    def steps(
        self, image: tuple[int, ...]
    ) -> tuple[tuple[float, float], tuple[float, float], tuple[int, int]]:
        """(what is added to y and x, what they are multiplied with then, H and W): from a box to the image's pixels."""
        h, w = map(int, self.sides(image))
        windows = self.resize.windows(h, w) if self.size else (Window(h, 0, h), Window(w, 0, w))
        added = tuple(float(window.first) for window in windows)
        times = tuple(side / window.full for side, window in zip((h, w), windows, strict=True))
        if self.relative:
            added = tuple(a / window.count for a, window in zip(added, windows, strict=True))
            times = tuple(t * window.count for t, window in zip(times, windows, strict=True))
        return added, times, (h, w)

    def reference(self, x, image):
        (down, across), (high, wide), (h, w) = self.steps(image.shape)
        y = x.copy()
        y[..., -4::2] = ((x[..., -4::2] + np.float32(across)) * np.float32(wide)).clip(0, w)
        y[..., -3::2] = ((x[..., -3::2] + np.float32(down)) * np.float32(high)).clip(0, h)
        return y
