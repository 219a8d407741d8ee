"""Eltwise: several tensors of one shape become one, element by element."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Eltwise")
class Eltwise(Layer):
    """y = sum of coeff[i] * xs[i], or product, or maximum of xs        xs: two or more of (...) -> y: (...)

    The sum of a residual block: He et al. 2015, arXiv:1512.03385. caffe.proto EltwiseParameter.

    operation  "sum" | "prod" | "max"
    coeff      for a sum: one factor an input; () is all 1
    """

    apart = each_image

    operation: str = "sum"
    coeff: tuple[float, ...] = ()

    def check(self) -> None:
        if self.operation not in ("sum", "prod", "max"):
            raise AttributeValueError(f"{self}: operation is {self.operation!r}: give 'sum', 'prod' or 'max'")
        if self.coeff and self.operation != "sum":
            raise AttributeValueError(f"{self}: coeff belongs to a sum, not to operation {self.operation!r}")

    def infer(self, *xs: Spec) -> Spec:
        if len(xs) < 2:
            raise ShapeError(f"got {len(xs)} input but takes two or more")
        if self.coeff and len(self.coeff) != len(xs):
            raise ShapeError(
                f"got {len(xs)} inputs but coeff has {len(self.coeff)}: give one factor an input"
            )
        for i, x in enumerate(xs):
            if (x.shape, x.dtype) != (xs[0].shape, xs[0].dtype):
                raise ShapeError(f"xs0 is {xs[0]} but xs{i} is {x}: all need one shape and dtype")
        return xs[0].replace(quantization=None)

    def reference(self, *xs):
        if self.coeff:
            xs = tuple(c * x for c, x in zip(self.coeff, xs, strict=True))
        return reduce({"sum": np.add, "prod": np.multiply, "max": np.maximum}[self.operation], xs)
