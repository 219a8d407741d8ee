"""The normalisations of transformers and of style transfer, on awkward shapes; products that broadcast."""

from ..matmul import MatMul
from ..norm import GroupNorm, RMSNorm


def cases(case):
    return [
        case(GroupNorm(), (2, 3, 7, 13), (3,), (3,)),
        case(GroupNorm(group=2, eps=0.1), (2, 6, 5), (6,)),
        case(GroupNorm(group=1), (3, 7, 1, 127)),
        case(RMSNorm(), (2, 3, 127), (127,)),
        case(RMSNorm(axis=1, eps=0.1), (2, 7, 13)),
        case(MatMul(), (2, 3, 7, 13), (13, 5), batch=False),
        case(MatMul(transpose_b=True), (3, 1, 7, 13), (2, 5, 13), batch=False),
    ]
