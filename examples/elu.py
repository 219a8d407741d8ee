# elu.py: a layer of one's own in one file
import math

import fbnet
import numpy as np


@fbnet.layer("ShiftedELU")
class ShiftedELU(fbnet.Elementwise):
    """y = x + shift if x > 0 else alpha * (exp(x) - 1) + shift        x: (...) -> y: (...)"""

    alpha: float = 1.0
    shift: float = 0.0

    def reference(self, x):  # numpy; this is the definition
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0))) + np.float32(self.shift)


@fbnet.kernel(ShiftedELU, device="cpu")  # optional; plain loops; every thread gets its share
def shifted_elu(x, y, alpha, shift):
    for i in range(x.size):
        y[i] = (x[i] if x[i] > 0 else alpha * math.expm1(x[i])) + shift
