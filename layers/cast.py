"""Cast: the same numbers in another dtype."""

from __future__ import annotations

import numpy as np

from ..engine.dtype import dtypes
from ..engine.errors import AttributeValueError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Cast")
class Cast(Layer):
    """y = x as dtype `to`        x: (...) -> y: (...)

    to  a dtype's name: "fp32", "int64", "bool", ...

    A float becomes a whole number by dropping what follows the point; NaN and what does not fit become anything.
    To bool, everything but 0 is true. ONNX Cast.
    """

    apart = each_image

    to: str

    def check(self) -> None:
        if self.to not in dtypes:
            raise AttributeValueError(f"{self}: to is {self.to!r}: give one of {', '.join(dtypes)}")

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, self.to)

    def reference(self, x):
        with np.errstate(all="ignore"):  # what does not fit
            return x.astype(dtypes[self.to].storage)
