"""Two operands and one, of every dtype and in every way that shapes can meet; comparisons, choices, casts."""

import numpy as np

from ..binary import BINARY, COMPARE, Binary, Compare, Where
from ..cast import Cast
from ..unary import UNARY, Unary

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
# a on the left of b: the same shape, a row, a column, a block in the middle, each other's, one number, more axes
SHAPES = [
    ((2, 3, 7, 13), (3, 1, 1)),
    ((2, 7, 13), (13,)),
    ((2, 7, 13), (7, 1)),
    ((2, 3, 5, 7), (3, 5, 1)),
    ((2, 1, 7), (5, 1)),
    ((3, 127), ()),
    ((2, 7), (1, 1)),
    ((2, 1, 5, 1, 3), (4, 1, 6, 1)),
]
AROUND_ONE = np.linspace(-0.99, 0.99, 12)
ABOVE_ONE = np.linspace(1, 7, 12)
EDGES = [-np.inf, -3e38, -1, -1e-30, -0.0, 0, 1e-30, 2.5, 3e38, np.inf, np.nan, 1]
WHOLE = {
    "i": [-128, -100, -7, -3, -1, 0, 1, 2, 7, 11, 100, 127],
    "u": [0, 1, 2, 3, 5, 7, 8, 31, 100, 128, 200, 255],
}
DIVISORS = {"i": [-1, 3, -3, 0, 5, 7, -1, 2, -3, 2, 0, 4], "u": [0, 1, 2, 3, 5, 7, 8, 31, 1, 2, 3, 4]}


def binary_cases(case):
    alike = [(2, 3, 7, 5), (2, 3, 7, 5)]
    for operation, (_, kinds) in BINARY.items():
        if "f" in kinds:
            positive = operation == "pow"
            yield case(Binary(operation=operation), *alike, same=True, positive=positive)
            yield case(Binary(operation=operation), (2, 3, 7), (3, 1), positive=positive)
        every = operation in ("add", "div", "pow")  # the others in two dtypes: each takes its time to compile
        for names, kind in ((SIGNED, "i"), (UNSIGNED, "u")):
            for name in (names if every else names[-1:]) if kind in kinds else ():
                b = np.array(DIVISORS[kind])
                b = np.abs(b) if operation.startswith("shift") else b
                given = {0: np.array(WHOLE[kind]).reshape(3, 4), 1: b.reshape(3, 4)}
                dtypes = {0: name, 1: name}
                yield case(
                    Binary(operation=operation), (3, 4), (3, 4), dtypes=dtypes, given=given, batch=False
                )
        if "b" in kinds:
            yield case(Binary(operation=operation), *alike, same=True, dtypes={0: "bool", 1: "bool"})
    for shapes in SHAPES:
        yield case(Binary(), *shapes)
        yield case(Binary(operation="sub"), *shapes[::-1], batch=False)


def compare_cases(case):
    for operation in COMPARE:
        yield case(Compare(operation=operation), (2, 3, 7), (3, 1))
        given = {0: EDGES, 1: EDGES[::-1]}
        yield case(Compare(operation=operation), (12,), (12,), given=given, batch=False)
        for name in ("int64", "uint64", "bool") if operation == "equal" else ("int64",):
            yield case(Compare(operation=operation), (2, 7), (2, 7), dtypes={0: name, 1: name}, same=True)
    for name in ("fp32", "int64"):
        dtypes = {0: "bool", 1: name, 2: name}
        yield case(Where(), (2, 3, 7), (3, 1), (1, 7), dtypes=dtypes)
        yield case(Where(), (2, 7), (2, 7), (2, 7), dtypes=dtypes, same=True)
        yield case(Where(), (1, 7), (2, 1, 1), (), dtypes=dtypes, batch=False)


def unary_cases(case):
    domains = {"asin": AROUND_ONE, "acos": AROUND_ONE, "atanh": AROUND_ONE, "acosh": ABOVE_ONE}
    domains |= dict.fromkeys(["isnan", "isinf", "isposinf", "isneginf"], EDGES)
    for operation, (_, kinds) in UNARY.items():
        made = Unary(operation=operation)
        if operation in domains:
            yield case(made, (12,), dtypes={0: "fp32"}, given={0: domains[operation]}, batch=False)
        elif "f" in kinds:
            yield case(made, (2, 3, 7, 13), positive=operation in ("sqrt", "rsqrt", "log", "log1p"))
        for name in (*SIGNED, *UNSIGNED) if operation == "not" else ("int8", "int64", "uint64"):
            if np.dtype(name).kind in kinds:
                given = {0: WHOLE[np.dtype(name).kind]}
                yield case(made, (12,), dtypes={0: name}, given=given, batch=False)
        if "b" in kinds:
            yield case(made, (2, 7), dtypes={0: "bool"})


def cast_cases(case):
    given = {0: [0, 1, 2, 3.7, 100, 0.2]}
    for name in (*SIGNED, *UNSIGNED, "bool", "fp32"):
        yield case(Cast(to=name), (6,), given=given, batch=False)
    for source in ("int64", "uint8", "bool"):
        for name in ("fp32", "int32", "uint8", "bool"):
            yield case(Cast(to=name), (6,), dtypes={0: source}, given=given, batch=False)
    yield case(Cast(to="int32"), (2, 3, 7, 13))


def cases(case):
    return [*binary_cases(case), *compare_cases(case), *unary_cases(case), *cast_cases(case)]
