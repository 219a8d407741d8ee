"""CTCGreedy on the cpu: threads share the lines."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, kernel
from ..ctc import CTCGreedy


def bind(call: Call) -> dict:
    return dict(blank=call.layer.blank % call.shape("x")[2])


@kernel(CTCGreedy, device="cpu", bind=bind, split=("x", "y", "score"))
def greedy(x, y, score, blank):
    lines, steps, classes = x.shape
    for n in range(lines):
        count, before = 0, -1
        for t in range(steps):
            best = 0
            for c in range(1, classes):
                if x[n, t, c] > x[n, t, best]:
                    best = c
            if best != before and best != blank:
                y[n, count] = best
                score[n, count] = x[n, t, best]
                count += 1
            before = best
        for t in range(count, steps):
            y[n, t] = -1
            score[n, t] = np.float32(0)
