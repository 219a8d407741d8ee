"""Softmax: numbers become probabilities."""

from __future__ import annotations

import numpy as np

from ..engine.layer import Layer, each_image_off_axis_0, layer
from ..engine.tensor import Spec


@layer("Softmax")
class Softmax(Layer):
    """y = exp(x) / sum of exp(x) along `axis`        x: (N, C, ...) -> y: (N, C, ...)

    Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs". caffe.proto
    SoftmaxParameter.
    """

    apart = each_image_off_axis_0

    axis: int = 1

    def infer(self, x: Spec) -> Spec:
        x.axis(self.axis)
        return x.replace(quantization=None)

    def reference(self, x):
        # the largest x is taken off first: it cancels, and exp cannot overflow
        e = np.exp(x - x.max(self.axis, keepdims=True, initial=-np.inf))
        return e / e.sum(self.axis, keepdims=True)
