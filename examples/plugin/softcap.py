"""SoftCap: keeps numbers within a range without a corner, as the attention and the logits of Gemma 2 are kept."""

import math

import fbnet
import numpy as np


@fbnet.layer("SoftCap")
class SoftCap(fbnet.Elementwise):
    """y = cap * tanh(x / cap)        x: (...) -> y: (...)

    Gemma Team 2024, "Gemma 2", arXiv:2408.00118, section 2; before it Bello et al. 2016, arXiv:1611.09940.

    cap  the number that |y| stays below
    """

    cap: float = 50.0

    def check(self):
        if not self.cap > 0:
            raise fbnet.AttributeValueError(f"{self}: cap={self.cap:g} must be above 0")

    def reference(self, x):
        return np.float32(self.cap) * np.tanh(x / np.float32(self.cap))


@fbnet.kernel(SoftCap, device="cpu")
def softcap(x, y, cap):
    for i in range(x.size):
        y[i] = cap * math.tanh(x[i] / cap)
