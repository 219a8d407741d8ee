"""CTCGreedy: the paper's own example, torch's reading of the same steps, messages."""

from itertools import groupby

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Spec
from fbnet.layers.ctc import CTCGreedy


def spoken(text: str) -> np.ndarray:
    """One-hot steps of '-', 'a', 'b': (1, T, 3)."""
    return np.eye(3, dtype=np.float32)[["-ab".index(c) for c in text]][None]


@pytest.mark.parametrize(
    ("steps", "read"), [("a-ab-", "aab"), ("-aa--abb", "aab"), ("---", ""), ("aab", "ab")]
)
def test_the_papers_rule(steps, read):
    """Graves et al. 2006, section 3.1: B(a-ab-) = B(-aa--abb) = aab."""
    y, score = CTCGreedy().reference(spoken(steps))
    assert "".join("-ab"[i] for i in y[0] if i >= 0) == read
    assert (score[0] == (y[0] >= 0)).all() and y.dtype == np.int64


def test_repeats_are_merged_before_blanks_are_dropped():
    x = np.random.default_rng(0).standard_normal((20, 50, 4)).astype(np.float32)
    y, score = CTCGreedy(blank=-1).reference(x)
    for line, found, sure in zip(x, y, score, strict=True):
        runs = [(c, next(steps)[0]) for c, steps in groupby(enumerate(line.argmax(1)), key=lambda s: s[1])]
        wanted = [(c, line[t, c]) for c, t in runs if c != 3]
        assert list(zip(found, sure, strict=True))[: len(wanted)] == wanted
        assert (found[len(wanted) :] == -1).all() and not sure[len(wanted) :].any()


def test_messages():
    with pytest.raises(AttributeValueError, match=r"blank is -2; give a class, or -1"):
        CTCGreedy(blank=-2)
    with pytest.raises(ShapeError, match=r"x is fp32\[1,5\] but must be \(N, T, C\), with blank 0"):
        CTCGreedy().infer(Spec((1, 5)))
    with pytest.raises(ShapeError, match=r"with blank 7 among its C classes"):
        CTCGreedy(blank=7).infer(Spec((1, 5, 7)))
