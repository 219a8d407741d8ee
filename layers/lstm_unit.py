"""LSTMUnit: one step of an LSTM, from gates that are worked out already. Caffe's LSTM is a chain of it."""

from __future__ import annotations

import numpy as np

from ..engine.errors import ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("LSTMUnit")
class LSTMUnit(Layer):
    """y: c = cont*f*c_prev + i*g, h = o*tanh(c)    c_prev: (1,N,D), gates: (1,N,4*D), cont: (1,N) -> c, h: (1,N,D)

    i, f, o = sigmoid of the first three D of gates; g = tanh of the last. cont is 0 where a sequence begins,
    and what was before is forgotten; else 1. Hochreiter & Schmidhuber 1997, "Long short-term memory"; caffe.proto's
    LSTMUnit.
    """

    results = ("c", "h")

    def infer(self, c_prev: Spec, gates: Spec, cont: Spec) -> tuple[Spec, Spec]:
        if c_prev.ndim != 3 or gates.shape != (*c_prev.shape[:2], 4 * c_prev.shape[2]):
            raise ShapeError(f"c_prev is {c_prev} and gates {gates}: give (1, N, D) and (1, N, 4*D)")
        if cont.shape != c_prev.shape[:2]:
            raise ShapeError(
                f"c_prev is {c_prev} and cont {cont}: cont needs shape {list(map(str, c_prev.shape[:2]))}"
            )
        return c_prev, c_prev

    def reference(self, c_prev, gates, cont):
        i, f, o, g = np.split(gates, 4, 2)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = cont[..., None] * f * c_prev + i * np.tanh(g)
        return c, o * np.tanh(c)
