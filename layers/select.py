"""Parts of a tensor that another one tells: Crop, by its shape; Filter, by its numbers."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("Crop")
class Crop(Layer):
    """y = x from offset on, as large as `like`        x: (N, C, H, W), like: (..., OH, OW) -> y: (N, C, OH, OW)

    The axes from `axis` on are cut; `like` lends their sizes, not its numbers. As fully convolutional networks bring
    their results back onto the image: Long et al. 2014, arXiv:1411.4038. caffe.proto CropParameter.

    offset  where y begins in x: one number for all cut axes, or one for each
    """

    axis: int = 2
    offset: tuple[int, ...] = (0,)

    def check(self) -> None:
        if not self.offset or min(self.offset) < 0:
            raise AttributeValueError(
                f"{self}: offset is {self.offset}: give one number for each axis, at least 0"
            )

    def ranges(self, x: Spec, like: Spec) -> list[tuple[int, int]]:
        """(first, how many) along each axis of x. Raises ShapeError."""
        axis = x.axis(self.axis)
        cut = x.ndim - axis
        offsets = self.offset * cut if len(self.offset) == 1 else self.offset
        if like.ndim != x.ndim or len(offsets) != cut:
            raise ShapeError(f"x is {x}, like is {like} and offset {list(self.offset)}: {cut} axes are cut")
        ranges = [(0, size) for size in x.shape[:axis]]
        ranges += zip(offsets, like.shape[axis:], strict=True)
        for (first, count), size in zip(ranges, x.shape, strict=True):
            if first + count > size:
                raise ShapeError(
                    f"x is {x}, but like is {like} at offset {list(self.offset)}: it reaches past x's end"
                )
        return ranges

    def infer(self, x: Spec, like: Spec) -> Spec:
        return x.replace(shape=[count for _, count in self.ranges(x, like)])

    def reference(self, x, like):
        ranges = self.ranges(Spec(x.shape), Spec(like.shape))
        return x[tuple(slice(first, first + count) for first, count in ranges)]


@layer("Filter")
class Filter(Layer):
    """y0, y1, ... = the selected images of each x, then zeros    xs: (N, ...), at last selector (N,) -> y_i: as xs_i

    An image is selected where the selector is not 0. y has N images, for a tensor's shape does not depend on numbers:
    the selected ones come first, in their order. caffe.proto's Filter, whose tops end there.
    """

    results = ()

    def infer(self, *xs: Spec) -> tuple[Spec, ...]:
        if len(xs) < 2:
            raise ShapeError("needs one tensor or more, and at last the selector")
        *data, selector = xs
        for i, x in enumerate(data):
            if not x.ndim or x.shape[0] != selector.shape[0] or selector.size != int(selector.shape[0]):
                raise ShapeError(
                    f"xs{i} is {x} but the selector is {selector}: one number for each image is wanted"
                )
        return tuple(data)

    def reference(self, *xs):
        *data, selector = xs
        chosen = selector.reshape(-1) != 0
        results = []
        for x in data:
            y = np.zeros_like(x)
            y[: chosen.sum()] = x[chosen]
            results.append(y)
        return tuple(results)
