"""Boxes that a detector tries, and where its features say they are: PriorBox, YoloBox.

A box is [left, top, right, bottom], in parts of the image's width and height.
"""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("PriorBox")
class PriorBox(Layer):
    """y = the boxes tried at each place of x, and their variances        x: (N, C, H, W) -> y: (1, 2, P*4)

    y[0, 0] are boxes, y[0, 1] variances. Around place (i, j), at ((j + offset) * step_w, (i + offset) * step_h) of an
    image of image_h x image_w pixels, and divided by these: for each min_size s a square of s, one of sqrt(s *
    max_size), and for each aspect ratio r a box of s*sqrt(r) by s/sqrt(r). P counts all boxes of all places; the
    places come row by row. Only shapes are read. Liu et al. 2015, arXiv:1512.02325; their Caffe's PriorBoxParameter,
    whose `flip` has added 1/r to the ratios here.

    image       (N, C, image_h, image_w), unless image_size says it
    max_size    as many as min_size, or none        variance    one number, or four
    image_size  [h, w]        step  [h, w]; without it, the image's size over x's
    """

    min_size: tuple[float, ...]
    max_size: tuple[float, ...] = ()
    aspect_ratio: tuple[float, ...] = ()
    clip: bool = False
    variance: tuple[float, ...] = (0.1,)
    image_size: tuple[int, ...] = ()
    step: tuple[float, ...] = ()
    offset: float = 0.5

    def check(self) -> None:
        positive = (*self.min_size, *self.max_size, *self.aspect_ratio, *self.step, *self.image_size)
        if not self.min_size or not all(0 < p < 2**31 for p in positive):
            raise AttributeValueError(f"{self}: needs a min_size, and sizes, ratios and steps above 0")
        if len(self.max_size) not in (0, len(self.min_size)):
            raise AttributeValueError(
                f"{self}: max_size is {self.max_size}: give as many as there are of min_size, or none"
            )
        if (
            len(self.variance) not in (1, 4)
            or len(self.image_size) not in (0, 2)
            or len(self.step) not in (0, 2)
        ):
            raise AttributeValueError(
                f"{self}: give one or four of variance, and of image_size and step two, [h, w], or none"
            )

    @property
    def at_a_place(self) -> int:
        """How many boxes there are around one place."""
        return len(self.min_size) * (1 + len(self.aspect_ratio)) + len(self.max_size)

    def infer(self, x: Spec, image: Spec | None = None) -> Spec:
        if x.ndim != 4 or (image is not None and image.ndim != 4):
            raise ShapeError(f"x is {x} and image {image}, but images are (N, C, H, W)")
        if not self.image_size and image is None:
            raise ShapeError("needs an image, or image_size, to know what the boxes are parts of")
        return x.replace(shape=(1, 2, x.shape[2] * x.shape[3] * (self.at_a_place * 4)), quantization=None)

    def boxes(self, x: tuple[int, ...], image: tuple[int, ...]) -> np.ndarray:
        """y, for the shapes of x and the image."""
        (h, w), (image_h, image_w) = x[2:], self.image_size or image[2:]
        step_h, step_w = self.step or (image_h / max(1, h), image_w / max(1, w))
        sizes = []
        for i, size in enumerate(self.min_size):
            sizes.append((size, size))
            sizes += [(np.sqrt(size * most),) * 2 for most in self.max_size[i : i + 1]]
            sizes += [(size * np.sqrt(r), size / np.sqrt(r)) for r in self.aspect_ratio]
        half = np.array(sizes) / 2
        y, x_ = np.meshgrid(
            (np.arange(h) + self.offset) * step_h, (np.arange(w) + self.offset) * step_w, indexing="ij"
        )
        center = np.stack([x_, y], -1)[:, :, None]
        boxes = np.concatenate([center - half, center + half], -1) / [image_w, image_h, image_w, image_h]
        if self.clip:
            boxes = boxes.clip(0, 1)
        variance = np.broadcast_to(np.array(self.variance), boxes.shape)
        return np.stack([boxes, variance]).reshape(1, 2, -1).astype(np.float32)

    def reference(self, x, image=None):
        return self.boxes(x.shape, () if image is None else image.shape)


@layer("YoloBox")
class YoloBox(Layer):
    """y = rows [label, score, left, top, right, bottom]        x: (N, A*(5+C), H, W) -> y: (N, A*H*W, 6)

    Of anchor a, channels 5+C on from a*(5+C) are [tx, ty, tw, th, objectness, a score for each of C classes]. At
    place (i, j): centre ((j + sigmoid(tx)) / W, (i + sigmoid(ty)) / H), size (exp(tw) * anchor_w, exp(th) *
    anchor_h), label 1 + the best class. Without a stride, anchors are in cells, size over (W, H), and score =
    sigmoid(objectness) * softmax(classes)[best]: Redmon & Farhadi 2016, arXiv:1612.08242. With one, anchors are in
    pixels of an image of stride * W by stride * H, and score = 1 / (1 + exp(-objectness) * (1 + exp(-best class))):
    ncnn's Yolov3DetectionOutput, close to sigmoid * sigmoid of Redmon & Farhadi 2018, arXiv:1804.02767.

    anchors  width and height of each        stride  pixels of the image to a cell; 0 for none
    """

    anchors: tuple[float, ...]
    stride: float = 0.0

    def check(self) -> None:
        if not self.anchors or len(self.anchors) % 2 or self.stride < 0:
            raise AttributeValueError(
                f"{self}: anchors are {self.anchors} and stride {self.stride}: give pairs, and 0 or more"
            )

    def infer(self, x: Spec) -> Spec:
        count = len(self.anchors) // 2
        if x.ndim != 4 or x.shape[1] % count or x.shape[1] < 6 * count:
            raise ShapeError(f"x is {x}, but with {count} anchors it has to be (N, {count}*(5+C), H, W)")
        return x.replace(shape=(x.shape[0], count * x.shape[2] * x.shape[3], 6), quantization=None)

    def units(self, h: int, w: int) -> tuple[float, float]:
        """(width, height) of the image in units of the anchors."""
        return (int(self.stride * w), int(self.stride * h)) if self.stride else (w, h)

    def reference(self, x):
        n, c, h, w = x.shape
        count = len(self.anchors) // 2
        x = x.reshape(n, count, c // count, h, w)
        anchor = np.float32(self.anchors).reshape(-1, 2) / np.float32(self.units(h, w))
        center_x = (_sigmoid(x[:, :, 0]) + np.arange(w, dtype=np.float32)) / np.float32(w)
        center_y = (_sigmoid(x[:, :, 1]) + np.arange(h, dtype=np.float32)[:, None]) / np.float32(h)
        half_w = np.exp(x[:, :, 2]) * anchor[:, 0, None, None] / 2
        half_h = np.exp(x[:, :, 3]) * anchor[:, 1, None, None] / 2
        classes = x[:, :, 5:]
        best = classes.max(2)
        if self.stride:
            score = 1 / (1 + np.exp(-x[:, :, 4]) * (1 + np.exp(-best)))
        else:
            score = _sigmoid(x[:, :, 4]) / np.exp(classes - best[:, :, None]).sum(2)
        rows = [
            classes.argmax(2) + 1,
            score,
            center_x - half_w,
            center_y - half_h,
            center_x + half_w,
            center_y + half_h,
        ]
        return np.stack(rows, -1).reshape(n, count * h * w, 6).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
