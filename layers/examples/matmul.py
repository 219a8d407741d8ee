"""Matrix products on awkward shapes."""

from ..matmul import MatMul


def cases(case):
    return [
        case(MatMul(), (1, 1), (1, 1), batch=False),
        case(MatMul(), (2, 3, 7, 13), (2, 3, 13, 5), batch=False),
        case(MatMul(transpose_b=True), (3, 7, 13), (3, 127, 13), batch=False),
    ]
