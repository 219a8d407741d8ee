"""Which numbers are the largest: ArgMax, TopK."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("ArgMax")
class ArgMax(Layer):
    """y = place of the largest x along `axis`        x: (..., K, ...) -> y: (..., 1, ...), int64

    smallest   of the smallest x instead
    last       of equal numbers the last, not the first
    keep_dims  whether the axis stays, as one of size 1

    ONNX ArgMax, ArgMin. Caffe's ArgMax is TopK.
    """

    axis: int = -1
    keep_dims: bool = True
    smallest: bool = False
    last: bool = False

    def infer(self, x: Spec) -> Spec:
        axis = x.axis(self.axis)
        if not x.shape[axis]:
            raise ShapeError(f"x is {x}: along axis {axis} there is nothing to be the largest")
        rest = [(s if a != axis else 1) for a, s in enumerate(x.shape) if a != axis or self.keep_dims]
        return Spec(rest, "int64")

    def reference(self, x):
        x = np.flip(x, self.axis) if self.last else x
        y = (np.argmin if self.smallest else np.argmax)(x, self.axis, keepdims=self.keep_dims)
        return (x.shape[self.axis] - 1 - y if self.last else y).astype(np.int64)


@layer("TopK")
class TopK(Layer):
    """y, places = the k largest of x along `axis`        x: (..., K, ...) -> y, places: (..., k, ...)

    The largest comes first, and of equal numbers the first. y is the result `values`, places (int64) is `indices`.

    smallest  the k smallest instead, the smallest first

    ONNX TopK.
    """

    results = ("values", "indices")

    k: int
    axis: int = -1
    smallest: bool = False

    def check(self) -> None:
        if self.k < 0:
            raise AttributeValueError(f"{self}: k is {self.k}: it counts from 0")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        axis = x.axis(self.axis)
        if self.k > x.shape[axis]:
            raise ShapeError(f"x is {x}: there are no {self.k} numbers along axis {axis}")
        shape = [self.k if a == axis else s for a, s in enumerate(x.shape)]
        return Spec(shape, x.dtype), Spec(shape, "int64")

    def reference(self, x):
        # sorted backwards, so that of equal numbers the first comes last, and first when that is turned round
        order = np.argsort(x if self.smallest else np.flip(x, self.axis), self.axis, kind="stable")
        if not self.smallest:
            order = x.shape[self.axis] - 1 - np.flip(order, self.axis)
        indices = np.take(order, range(self.k), self.axis).astype(np.int64)
        return np.take_along_axis(x, indices, self.axis), indices
