"""Two operands, element by element, broadcast against each other: Binary, Compare; and Where, which chooses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec, broadcast

FLOATS, INTEGERS = "f", "iu"
NUMBERS, TRUTHS = FLOATS + INTEGERS, "b"


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; of whole numbers the whole part, rounded towards 0, and 0 where b is 0."""
    if a.dtype.kind == "f":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    return quotient + ((quotient * b != a) & ((a < 0) != (b < 0)) & (b != 0)).astype(a.dtype)


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a ** b; of whole numbers the whole part, modulo the dtype's range."""
    if a.dtype.kind == "f":
        return np.power(a, b)
    positive = np.maximum(b, -b) if a.dtype.kind == "i" else b
    unit = (a == 1) | (a + a.dtype.type(1) == 0) if a.dtype.kind == "i" else False
    return np.where((b >= 0) | unit, np.power(a, positive), a.dtype.type(0))


def shift(a: np.ndarray, b: np.ndarray, left: bool) -> np.ndarray:
    """a times 2 ** b, or divided by it and rounded down; b counts from 0."""
    return np.left_shift(a, b) if left else np.right_shift(a, b)


# operation: (numpy function, kinds of dtypes it takes)
BINARY: dict[str, tuple[Callable, str]] = {
    "add": (np.add, NUMBERS),
    "sub": (np.subtract, NUMBERS),
    "mul": (np.multiply, NUMBERS),
    "div": (divide, NUMBERS),
    "pow": (power, NUMBERS),
    "max": (np.maximum, NUMBERS),
    "min": (np.minimum, NUMBERS),
    "mod": (np.mod, NUMBERS),
    "fmod": (np.fmod, NUMBERS),
    "atan2": (np.arctan2, FLOATS),
    "and": (np.bitwise_and, TRUTHS + INTEGERS),
    "or": (np.bitwise_or, TRUTHS + INTEGERS),
    "xor": (np.bitwise_xor, TRUTHS + INTEGERS),
    "shift_left": (lambda a, b: shift(a, b, True), INTEGERS),
    "shift_right": (lambda a, b: shift(a, b, False), INTEGERS),
}

COMPARE: dict[str, tuple[Callable, str]] = {
    "equal": (np.equal, NUMBERS + TRUTHS),
    "not_equal": (np.not_equal, NUMBERS + TRUTHS),
    "less": (np.less, NUMBERS),
    "less_equal": (np.less_equal, NUMBERS),
    "greater": (np.greater, NUMBERS),
    "greater_equal": (np.greater_equal, NUMBERS),
}


@layer("Binary")
class Binary(Layer):
    """y = a <operation> b        a, b: broadcast to (...), of one dtype -> y: (...), of the same

    operation  "add" | "sub" | "mul" | "div" | "pow" | "max" | "min"
               "mod" | "fmod"    the remainder, with the sign of b (Python's) or of a (C's)
               "atan2"           the angle of the point (b, a)
               "and" | "or" | "xor"    of truths, or bit by bit of whole numbers
               "shift_left" | "shift_right"    of a's bits, by b places

    Whole numbers wrap around as in C; a quotient is rounded towards 0; divided by 0 they give 0. ONNX Add, Sub, ...
    """

    apart = each_image

    operation: str = "add"

    def check(self) -> None:
        _known(self, BINARY)

    def infer(self, a: Spec, b: Spec) -> Spec:
        _check_alike(self.operation, a, b, BINARY[self.operation][1])
        return Spec(broadcast(a.shape, b.shape), a.dtype)

    def reference(self, a, b):
        with np.errstate(all="ignore"):  # 1 / 0 is infinite, 200 + 100 wraps around: both are results
            return np.asarray(BINARY[self.operation][0](a, b))


@layer("Compare")
class Compare(Layer):
    """y = a <operation> b        a, b: broadcast to (...), of one dtype -> y: (...), bool

    operation  "equal" | "not_equal" | "less" | "less_equal" | "greater" | "greater_equal"

    ONNX Equal, Less, ...
    """

    apart = each_image

    operation: str = "equal"

    def check(self) -> None:
        _known(self, COMPARE)

    def infer(self, a: Spec, b: Spec) -> Spec:
        _check_alike(self.operation, a, b, COMPARE[self.operation][1])
        return Spec(broadcast(a.shape, b.shape), "bool")

    def reference(self, a, b):
        return np.asarray(COMPARE[self.operation][0](a, b))


@layer("Where")
class Where(Layer):
    """y = a where condition, else b        condition: bool, a, b: of one dtype, broadcast to (...) -> y: (...)

    ONNX Where.
    """

    apart = each_image

    def infer(self, condition: Spec, a: Spec, b: Spec) -> Spec:
        if condition.dtype.name != "bool":
            raise ShapeError(f"condition is {condition}: it must be bool")
        _check_alike("where", a, b, NUMBERS + TRUTHS)
        return Spec(broadcast(condition.shape, a.shape, b.shape), a.dtype)

    def reference(self, condition, a, b):
        return np.where(condition, a, b)


def _known(layer: Binary | Compare, table: dict) -> None:
    if layer.operation not in table:
        known = ", ".join(map(repr, table))
        raise AttributeValueError(f"{layer}: operation is {layer.operation!r}: give one of {known}")


def _check_alike(operation: str, a: Spec, b: Spec, kinds: str) -> None:
    if a.dtype != b.dtype:
        raise ShapeError(f"a is {a} but b is {b}: both need one dtype; cast one of them")
    if a.dtype.storage.kind not in kinds:
        raise ShapeError(f"a is {a}: there is no {operation!r} of {a.dtype}")
