"""CTCGreedy: what a net reads in a line of text or speech, step by step."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("CTCGreedy")
class CTCGreedy(Layer):
    """y, score = the best class of each step, no repeats, no blanks        x: (N, T, C) -> y: (N, T), score: (N, T)

    y is int64 and ends where it becomes -1. score is x at the step that the class was first seen at, 0 after the end.
    A class that comes twice in a row is one, unless a blank is between: "aa-a" is "aa". Of equals the first counts.

    blank  the class that says nothing; -1 is the last one

    Graves et al. 2006, "Connectionist temporal classification", best path decoding.
    """

    results = ("y", "score")

    blank: int = 0

    def check(self) -> None:
        if self.blank < -1:
            raise AttributeValueError(f"{self}: blank is {self.blank}; give a class, or -1 for the last one")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        if x.ndim != 3 or self.blank >= x.shape[2] or not x.shape[2]:
            raise ShapeError(f"x is {x} but must be (N, T, C), with blank {self.blank} among its C classes")
        return Spec(x.shape[:2], "int64"), Spec(x.shape[:2])

    def reference(self, x):
        best = x.argmax(2) if x.size else np.zeros(x.shape[:2], np.int64)
        before = np.concatenate([np.full((len(x), 1), -1), best[:, :-1]], 1)[:, : x.shape[1]]
        said = (best != before) & (best != self.blank % x.shape[2])
        y = np.full(x.shape[:2], -1, np.int64)
        score = np.zeros(x.shape[:2], np.float32)
        for n, steps in enumerate(said):
            count = steps.sum()
            y[n, :count] = best[n, steps]
            score[n, :count] = x[n].max(1)[steps] if count else 0
        return y, score
