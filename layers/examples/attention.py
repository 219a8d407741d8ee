"""Attention, which devices compute as two products and a softmax."""

from ..attention import Attention


def cases(case):
    return [
        case(Attention(scale=0.5), (2, 3, 7, 5), (2, 3, 13, 5), (2, 3, 13, 4), batch=False, kernel=False),
        case(Attention(heads=3), (2, 7, 12), (2, 5, 12), (2, 5, 9), (7, 5), batch=False, kernel=False),
    ]
