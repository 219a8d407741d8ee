"""Activations: functions of one element."""

from __future__ import annotations

import numpy as np

from ..engine.layer import Elementwise, layer


@layer("ReLU")
class ReLU(Elementwise):
    """y = x if x > 0 else negative_slope * x        x: (...) -> y: (...)

    Nair & Hinton 2010; with a slope: Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """

    negative_slope: float = 0.0

    def reference(self, x):
        return np.where(x > 0, x, np.float32(self.negative_slope) * x)
