"""Concat and Slice: tensors joined along an axis, and cut along it."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image_off_axis_0, layer
from ..engine.tensor import Spec


@layer("Concat")
class Concat(Layer):
    """y = xs joined along `axis`        xs: one or more of (N, C_i, ...) -> y: (N, sum of C_i, ...)

    caffe.proto ConcatParameter.
    """

    apart = each_image_off_axis_0

    axis: int = 1

    def infer(self, *xs: Spec) -> Spec:
        if not xs:
            raise ShapeError("got no input but takes one or more")
        first, axis = xs[0], xs[0].axis(self.axis)
        for i, x in enumerate(xs):
            same = x.ndim == first.ndim and all(
                a == b for j, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if j != axis
            )
            if not same or x.dtype is not first.dtype:
                raise ShapeError(f"xs0 is {first} but xs{i} is {x}: only axis {axis} may differ")
        joined = sum(x.shape[axis] for x in xs)
        return first.replace(shape=(*first.shape[:axis], joined, *first.shape[axis + 1 :]))

    def reference(self, *xs):
        return np.concatenate(xs, self.axis)


@layer("Slice")
class Slice(Layer):
    """y0, y1, ... = x cut along `axis`        x: (N, C, ...) -> y_i: (N, C_i, ...)

    Cut before each of `points`; without points, into as many equal parts as the layer names outputs.
    caffe.proto SliceParameter.
    """

    apart = each_image_off_axis_0

    results = ()

    axis: int = 1
    points: tuple[int, ...] = ()

    def check(self) -> None:
        if any(b <= a for a, b in zip((0, *self.points), self.points, strict=False)):
            raise AttributeValueError(f"{self}: points are {self.points}: they must be positive and rise")

    def infer(self, x: Spec) -> tuple[Spec, ...]:
        axis, parts = x.axis(self.axis), len(self.outputs)
        size = x.shape[axis]
        if self.points:
            if self.points[-1] >= size:
                raise ShapeError(f"x is {x} but points are {self.points}: axis {axis} ends at {size}")
            ends = (*self.points, size)
            sizes = [end - start for start, end in zip((0, *self.points), ends, strict=True)]
        elif not parts:
            raise ShapeError("needs points, or the names of its outputs, to know how many parts to cut")
        elif size % parts:
            raise ShapeError(f"x is {x}: axis {axis} cannot be cut into {parts} equal parts")
        else:
            sizes = [size // parts] * parts
        return tuple(x.replace(shape=(*x.shape[:axis], s, *x.shape[axis + 1 :])) for s in sizes)

    def reference(self, x):
        return np.split(x, self.points or len(self.outputs), self.axis)
