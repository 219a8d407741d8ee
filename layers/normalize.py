"""Normalize: features brought to one length."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Normalize")
class Normalize(Layer):
    """y = x / length of x * scale[c]        x: (N, C, ...), scale: (C,) or (1,) -> y: (N, C, ...)

    The length is the root of the sum of x**2 over an image's channels, its places, or both. Liu, Rabinovich & Berg
    2015, arXiv:1506.04579; NormalizeParameter of SSD's Caffe.

    guard  what keeps the length from 0: "add" sqrt(sum + eps), Caffe's; "most" max(sqrt(sum), eps), torch's;
           "inside" sqrt(max(sum, eps)), TensorFlow's
    """

    apart = each_image

    across_channels: bool = True
    across_spatial: bool = True
    eps: float = 1e-10
    guard: str = "add"

    def check(self) -> None:
        if self.guard not in ("add", "most", "inside") or not self.eps >= 0:
            raise AttributeValueError(
                f"{self}: guard is {self.guard!r} and eps {self.eps}: give add, most or inside, and 0 or more"
            )

    def infer(self, x: Spec, scale: Spec | None = None) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but Normalize wants channels on axis 1: (N, C, ...)")
        if scale is not None and scale.shape not in ((1,), x.shape[1:2]):
            raise ShapeError(f"x is {x} but scale is {scale}: scale needs shape [{x.shape[1]}] or [1]")
        return x.replace(quantization=None)

    def reference(self, x, scale=None):
        axes = (1,) * self.across_channels + tuple(range(2, x.ndim)) * self.across_spatial
        total = np.square(x).sum(axes, keepdims=True) if axes else np.square(x)
        if self.guard == "add":
            length = np.sqrt(total + np.float32(self.eps))
        elif self.guard == "most":
            length = np.maximum(np.sqrt(total), np.float32(self.eps))
        else:
            length = np.sqrt(np.maximum(total, np.float32(self.eps)))
        y = x / length
        return y if scale is None else y * scale.reshape(1, -1, *[1] * (x.ndim - 2))
