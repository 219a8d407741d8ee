"""Regions of interest: parts of an image's features, all in one size. ROIPooling, PSROIPooling, RoiAlign.

A region is a row [image, left, top, right, bottom], in pixels of the image that the features were made from;
spatial_scale, features to a pixel, brings it to x.
"""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


def _check_pooled(layer: Layer) -> None:
    if len(layer.pooled) != 2 or min(layer.pooled) < 1 or not layer.spatial_scale > 0:
        raise AttributeValueError(
            f"{layer}: pooled is {layer.pooled} and spatial_scale {layer.spatial_scale}: give [h, w], and above 0"
        )


def _regions(x: Spec, rois: Spec) -> int:
    """How many regions there are. Raises ShapeError."""
    if x.ndim != 4 or rois.ndim < 2 or rois.shape[1] != 5 or rois.size != int(rois.shape[0]) * 5:
        raise ShapeError(
            f"x is {x} and rois {rois}: give (N, C, H, W) and (R, 5), [image, left, top, right, bottom]"
        )
    return rois.shape[0]


def _rounded(x: np.ndarray) -> np.ndarray:
    """To the nearest whole number, halves away from 0, as C's round does."""
    return np.trunc(x + np.copysign(np.float32(0.5), x))


@layer("ROIPooling")
class ROIPooling(Layer):
    """y = the largest x in each of PH x PW parts of each region    x: (N, C, H, W), rois: (R, 5) -> y: (R, C, PH, PW)

    A region's edges, times spatial_scale, are rounded to whole places, both ends included. Part i of PH begins at
    floor(i * height / PH) and ends before ceil((i + 1) * height / PH): parts may share rows; one without any is 0.
    Girshick 2015, arXiv:1504.08083; their Caffe's ROIPoolingParameter.
    """

    pooled: tuple[int, ...]
    spatial_scale: float = 1.0

    def check(self) -> None:
        _check_pooled(self)

    def infer(self, x: Spec, rois: Spec) -> Spec:
        return x.replace(shape=(_regions(x, rois), x.shape[1], *self.pooled))

    def reference(self, x, rois):
        rois = rois.reshape(-1, 5)
        y = np.zeros((len(rois), x.shape[1], *self.pooled), np.float32)
        edges = _rounded(rois[:, 1:] * np.float32(self.spatial_scale)).astype(int)
        for r, (left, top, right, bottom) in enumerate(edges):
            part_h = np.float32(max(bottom - top + 1, 1)) / np.float32(self.pooled[0])
            part_w = np.float32(max(right - left + 1, 1)) / np.float32(self.pooled[1])
            for i, j in np.ndindex(*self.pooled):
                rows = _within(top + np.floor(i * part_h), top + np.ceil((i + 1) * part_h), x.shape[2])
                columns = _within(left + np.floor(j * part_w), left + np.ceil((j + 1) * part_w), x.shape[3])
                part = x[int(rois[r, 0]), :, rows, columns]
                if part.size:
                    y[r, :, i, j] = part.max((1, 2))
        return y


@layer("PSROIPooling")
class PSROIPooling(Layer):
    """y = the mean of x in PH x PW parts of each region    x: (N, C*PH*PW, H, W), rois: (R, 5) -> y: (R, C, PH, PW)

    Each part looks at channels of its own: part (i, j) of y's channel c at x's channel c*PH*PW + i*PW + j. Edges are
    rounded before they are scaled, right and bottom ones are included; part i of PH covers the places from floor(i *
    height / PH) to before ceil((i + 1) * height / PH). Dai et al. 2016, arXiv:1605.06409; their Caffe's
    PSROIPoolingParameter.
    """

    pooled: tuple[int, ...]
    spatial_scale: float = 1.0

    def check(self) -> None:
        _check_pooled(self)

    def infer(self, x: Spec, rois: Spec) -> Spec:
        count, parts = _regions(x, rois), self.pooled[0] * self.pooled[1]
        if x.shape[1] % parts:
            raise ShapeError(f"x is {x}: its channels must be a multiple of {parts}, one for each part")
        return x.replace(shape=(count, x.shape[1] // parts, *self.pooled))

    def reference(self, x, rois):
        rois = rois.reshape(-1, 5)
        n, _, h, w = x.shape
        x = x.reshape(n, -1, *self.pooled, h, w)
        y = np.zeros((len(rois), *x.shape[1:4]), np.float32)
        ends = np.float32([0, 0, 1, 1])
        edges = _rounded(rois[:, 1:] + ends) * np.float32(self.spatial_scale)
        for r, (left, top, right, bottom) in enumerate(edges):
            part_h = np.maximum(bottom - top, np.float32(0.1)) / np.float32(self.pooled[0])
            part_w = np.maximum(right - left, np.float32(0.1)) / np.float32(self.pooled[1])
            for i, j in np.ndindex(*self.pooled):
                rows = _within(np.floor(top + i * part_h), np.ceil(top + (i + 1) * part_h), h)
                columns = _within(np.floor(left + j * part_w), np.ceil(left + (j + 1) * part_w), w)
                part = x[int(rois[r, 0]), :, i, j, rows, columns]
                if part.size:
                    y[r, :, i, j] = part.mean((1, 2))
        return y


def _within(start: float, end: float, size: int) -> slice:
    """From start to before end, inside 0..size."""
    return slice(min(max(int(start), 0), size), min(max(int(end), 0), size))


@layer("RoiAlign")
class RoiAlign(Layer):
    """y = samples' mean or maximum in parts of each region    x: (N, C, H, W), rois: (R, 5) -> y: (R, C, PH, PW)

    A part of a region is sampled at the middles of a grid, between the four places around each; nothing is rounded. A
    sample more than one place outside x is 0. He et al. 2017, arXiv:1703.06870. ONNX RoiAlign.

    images    (R,) whole numbers: the image of each region, when rois is (R, 4)
    sampling  how many samples a part has each way; 0: as many as it has places, rounded up
    aligned   places are counted from their middles, half a place to the left and up; else regions have at least size 1
    method    "average" | "max": of the samples, each of which is, for "max", the largest of its four weighed places
    """

    pooled: tuple[int, ...] = (1, 1)
    spatial_scale: float = 1.0
    sampling: int = 0
    aligned: bool = True
    method: str = "average"

    def check(self) -> None:
        _check_pooled(self)
        if self.method not in ("average", "max") or self.sampling < 0:
            raise AttributeValueError(
                f"{self}: method is {self.method!r} and sampling {self.sampling}: give average or max, and 0 or more"
            )

    def infer(self, x: Spec, rois: Spec, images: Spec | None = None) -> Spec:
        if images is None:
            count = _regions(x, rois)
        elif x.ndim != 4 or rois.ndim != 2 or rois.shape[1] != 4 or images.shape != rois.shape[:1]:
            raise ShapeError(f"x is {x}, rois {rois} and images {images}: give (N, C, H, W), (R, 4) and (R,)")
        else:
            count = rois.shape[0]
        return x.replace(shape=(count, x.shape[1], *self.pooled), quantization=None)

    def grid(self, height: float, width: float) -> tuple[int, int]:
        """How many samples a part has each way in a region of this size."""
        if self.sampling:
            return self.sampling, self.sampling
        return int(np.ceil(height / self.pooled[0])), int(np.ceil(width / self.pooled[1]))

    def reference(self, x, rois, images=None):
        if images is None:
            rois = rois.reshape(-1, 5)
            images, rois = rois[:, 0].astype(int), rois[:, 1:]
        ph, pw = self.pooled
        y = np.zeros((len(rois), x.shape[1], ph, pw), np.float32)
        edges = rois * np.float32(self.spatial_scale) - np.float32(0.5 if self.aligned else 0)
        for r, (left, top, right, bottom) in enumerate(edges):
            height, width = bottom - top, right - left
            if not self.aligned:
                height, width = np.maximum(height, np.float32(1)), np.maximum(width, np.float32(1))
            grid_h, grid_w = self.grid(height, width)
            if grid_h < 1 or grid_w < 1:
                continue
            at_y = top + (np.arange(ph * grid_h, dtype=np.float32) + 0.5) * (height / np.float32(ph * grid_h))
            at_x = left + (np.arange(pw * grid_w, dtype=np.float32) + 0.5) * (width / np.float32(pw * grid_w))
            four = self._four(x[int(images[r])], at_y, at_x)
            if self.method == "max":
                parts = four.max(0).reshape(-1, ph, grid_h, pw, grid_w)
                y[r] = parts.max((2, 4))
            else:
                parts = four.sum(0).reshape(-1, ph, grid_h, pw, grid_w)
                y[r] = parts.mean((2, 4))
        return y

    @staticmethod
    def _four(image: np.ndarray, at_y: np.ndarray, at_x: np.ndarray) -> np.ndarray:
        """The four weighed places around each sample: (4, C, samples down, samples across)."""
        first, second, part, inside = zip(
            *(_between(at, size) for at, size in zip((at_y, at_x), image.shape[1:], strict=True)), strict=True
        )
        seen = inside[0][:, None] & inside[1]
        four = []
        for row, weight_y in ((first[0], 1 - part[0]), (second[0], part[0])):
            for column, weight_x in ((first[1], 1 - part[1]), (second[1], part[1])):
                four.append(image[:, row][:, :, column] * (weight_y[:, None] * weight_x * seen))
        return np.stack(four)


def _between(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of samples along an axis: the places before and behind, how far from the first, and whether x reaches there."""
    inside = (at >= -1) & (at <= size)
    at = np.clip(at, 0, size - 1).astype(np.float32)
    first = np.floor(at).astype(int)
    return first, np.minimum(first + 1, size - 1), at - first, inside
