"""divergence: how far what a net decides is from what fp32 decides, smoothly: before a class or a letter changes.

d = mean over decisions of min(sum_k p_k log(p_k / q_k), MOST)    p, q: softmax of fp32's scores, and of the other net's

A decision is a sample, where outputs are scores of classes (N, C), or a step of a text, (N, T, C). In nats; Kullback
and Leibler 1951. Errors of scores that are far from deciding anything count for little; in a square error for as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .samples import Arrays

MOST = 0.1  # nats: what is as good as lost counts no more if it is lost by far; else a few such decide everything


def divergence(exact: Sequence[Arrays], got: Sequence[Arrays]) -> float:
    """Of two nets' answers, the first of their outputs that are numbers."""
    name = next(name for name, first in exact[0].items() if first.dtype.kind == "f")
    pairs = [(_log_shares(e[name]), _log_shares(g[name])) for e, g in zip(exact, got, strict=True)]
    each = [np.minimum((np.exp(p) * (p - q)).sum(-1), MOST).ravel() for p, q in pairs]
    return max(0.0, float(np.concatenate(each).mean()))


def _log_shares(scores: np.ndarray) -> np.ndarray:
    """log softmax over classes, (N, C) or (N, T, C)."""
    scores = scores.reshape(len(scores), -1) if scores.ndim != 3 or 1 in scores.shape[1:] else scores
    scores = scores.astype(np.float64) - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))
