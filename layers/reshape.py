"""The same numbers in another shape, order or frame: Flatten, Reshape, Permute, Pad."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("Flatten")
class Flatten(Layer):
    """y = x with the axes from `axis` to `end_axis` as one        x: (N, C, H, W) -> y: (N, C*H*W)

    caffe.proto FlattenParameter.
    """

    alias = True

    axis: int = 1
    end_axis: int = -1

    def infer(self, x: Spec) -> Spec:
        first, last = x.axis(self.axis), x.axis(self.end_axis)
        if first > last:
            raise ShapeError(f"x is {x}: axis {first} lies after end_axis {last}")
        return x.replace(shape=(*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))

    def reference(self, x):
        return x.reshape(self.infer(Spec(x.shape)).shape)


@layer("Reshape")
class Reshape(Layer):
    """y = x with num_axes axes from `axis` on replaced by `shape`        x: (...) -> y: (...)

    In `shape`, 0 copies the size that x has there and one -1 is whatever is left. num_axes=-1 replaces all
    axes from `axis` on; a negative axis counts from behind the last: -1 inserts after it. caffe.proto
    ReshapeParameter.
    """

    alias = True

    shape: tuple[int, ...]
    axis: int = 0
    num_axes: int = -1

    def check(self) -> None:
        if any(size < -1 for size in self.shape) or self.shape.count(-1) > 1:
            raise AttributeValueError(
                f"{self}: shape is {self.shape}: give sizes, 0 to copy, and at most one -1"
            )
        if self.num_axes < -1:
            raise AttributeValueError(
                f"{self}: num_axes is {self.num_axes}: give how many axes, or -1 for all"
            )

    def infer(self, x: Spec) -> Spec:
        start = self.axis if self.axis >= 0 else x.ndim + self.axis + 1
        end = x.ndim if self.num_axes == -1 else start + self.num_axes
        if not 0 <= start <= end <= x.ndim:
            raise ShapeError(f"x is {x}: it has no axes {start} to {end - 1} to replace")
        copied = {i for i, size in enumerate(self.shape) if size == 0}
        if copied and start + max(copied) >= end:
            raise ShapeError(f"x is {x} but shape is {self.shape}: its last 0 has no axis to copy")
        # copied sizes cancel: leaving them out keeps symbols short, and a batch of 0 possible
        left = prod(size for i, size in enumerate(x.shape[start:end]) if i not in copied)
        given = prod(size for size in self.shape if size > 0)
        if left % given if -1 in self.shape else left != given:
            raise ShapeError(f"x is {x} but shape is {self.shape}: {left} numbers do not fill {given}")
        sizes = [
            x.shape[start + i] if size == 0 else left // given if size == -1 else size
            for i, size in enumerate(self.shape)
        ]
        return x.replace(shape=(*x.shape[:start], *sizes, *x.shape[end:]))

    def reference(self, x):
        return x.reshape(self.infer(Spec(x.shape)).shape)


@layer("Permute")
class Permute(Layer):
    """y = x with its axes reordered: y's axis i is x's axis order[i]    x: (N, C, H, W) -> y: (N, H, W, C)

    Liu et al. 2015, arXiv:1512.02325; their Caffe's PermuteParameter. ONNX Transpose.
    """

    order: tuple[int, ...]

    def check(self) -> None:
        if sorted(self.order) != list(range(len(self.order))):
            raise AttributeValueError(f"{self}: order is {self.order}: name each axis from 0 on, once")

    def infer(self, x: Spec) -> Spec:
        if x.ndim != len(self.order):
            raise ShapeError(f"x is {x} but order is {self.order}: name each of its {x.ndim} axes")
        return x.replace(shape=[x.shape[axis] for axis in self.order])

    def reference(self, x):
        return x.transpose(self.order)


@layer("Pad")
class Pad(Layer):
    """y = x framed by `value`        x: (..., H, W) -> y: (..., top + H + bottom, left + W + right)

    ONNX Pad with mode "constant".

    pads  [top, left, bottom, right]
    """

    pads: tuple[int, ...]
    value: float = 0.0

    def check(self) -> None:
        if len(self.pads) != 4 or min(self.pads) < 0:
            raise AttributeValueError(f"{self}: pads is {self.pads}: give 4 numbers of at least 0")

    def infer(self, x: Spec) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but Pad wants (..., H, W)")
        top, left, bottom, right = self.pads
        *leading, h, w = x.shape
        return x.replace(shape=(*leading, h + (top + bottom), w + (left + right)))

    def reference(self, x):
        top, left, bottom, right = self.pads
        frame = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
        return np.pad(x, frame, constant_values=self.value)
