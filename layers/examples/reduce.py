"""Reductions along every pattern of axes, running sums, and which numbers are the largest."""

from ..order import ArgMax, TopK
from ..reduce import EXACT, REDUCTIONS, CumSum, Reduction

X = (2, 3, 7, 13)
AXES = [(1,), (3,), (-1, -2), (1, 2), (1, 3), (2,), (1, 2, 3)]
TIED = [3, 1, 3, 2, 1, 3, 0, 0, 2]


def cases(case):
    found = []
    for operation in REDUCTIONS:
        positive = operation in ("log_sum", "prod")
        found += [
            case(Reduction(operation=operation, axes=axes), X, positive=positive) for axes in ((2, 3), (1,))
        ]
        found += [
            case(Reduction(operation=operation), (5, 127), batch=False, positive=operation == "log_sum")
        ]
    found += [case(Reduction(axes=axes, keep_dims=keep), X) for axes in AXES for keep in (False, True)]
    found += [
        case(Reduction(axes=axes, keep_dims=True), X, batch=False) for axes in ((0,), (0, 2), (0, 1), ())
    ]
    found += [case(Reduction(operation="max", axes=(1, 4)), (2, 3, 5, 1, 4, 3))]
    found += [case(Reduction(coeff=-0.5, axes=(1,)), (3, 127)), case(Reduction(), (), batch=False)]
    for name, operations in (("int64", EXACT), ("int8", ("sum", "max")), ("uint8", ("sum", "min"))):
        for operation in operations:
            layer = Reduction(operation=operation, axes=(1,))
            found += [case(layer, (2, 7), dtypes={0: name}), case(layer, (2, 3, 4), dtypes={0: name})]
    found += [case(Reduction(operation=o, axes=(1,)), (3, 7), dtypes={0: "bool"}) for o in ("max", "min")]
    for flags in ({}, {"exclusive": True}, {"reverse": True}, {"exclusive": True, "reverse": True}):
        found += [case(CumSum(axis=1, **flags), (2, 7)), case(CumSum(axis=-2, **flags), (2, 3, 7, 5))]
        found += [case(CumSum(**flags), (7, 2), dtypes={0: "int64"}, batch=False)]
    for flags in ({}, {"smallest": True}, {"last": True}, {"smallest": True, "last": True}):
        found += [
            case(ArgMax(**flags), (2, 3, 13)),
            case(ArgMax(axis=1, keep_dims=False, **flags), (2, 7, 5)),
        ]
        found += [case(ArgMax(**flags), (1, 9), given={0: TIED}, batch=False)]
        found += [case(ArgMax(**flags), (3, 9), dtypes={0: "uint8"})]
    for smallest in (False, True):
        found += [
            case(TopK(k=3, smallest=smallest), (2, 13)),
            case(TopK(k=2, axis=1, smallest=smallest), (2, 5, 4)),
        ]
        found += [case(TopK(k=9, smallest=smallest), (1, 9), given={0: TIED}, batch=False)]
        found += [case(TopK(k=1, smallest=smallest), (2, 3), dtypes={0: "int64"}, below=100)]
    return found
