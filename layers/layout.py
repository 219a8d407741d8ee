"""Reorder: the same numbers in another order of memory. Plans put it in where two kernels differ; no model has one."""

from __future__ import annotations

from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Reorder")
class Reorder(Layer):
    """y = x        x: (N, C, ...) -> y: (N, C, ...), stored in another layout."""

    apart = each_image

    def infer(self, x: Spec) -> Spec:
        return x

    def reference(self, x):
        return x
