"""Binary, Compare and Where on the cpu: one expression an operation, in the loops of broadcast.

Of two whole numbers numba makes int64, or uint64 of two unsigned ones; a literal beside a uint64 would make it a float,
so the unsigned forms have none.
"""

from __future__ import annotations

import math

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ..binary import Binary, Compare, Where
from .broadcast import meet, pairs, triples


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def larger(a, b):
    return a if a > b or a != a else b  # NaN stays


def smaller(a, b):
    return a if a < b or a != a else b


def both(a, b):
    return a & b


def either(a, b):
    return a | b


def one_of(a, b):
    return a ^ b


def divide_floats(a, b):
    return a / b


def divide(a, b):
    """Towards 0. -1 is apart, since the smallest number divided by it is no number, and traps."""
    if b == 0:
        return 0
    if b == -1:
        return -a
    quotient = a // b
    return quotient + 1 if quotient * b != a and (a < 0) != (b < 0) else quotient


def divide_unsigned(a, b):
    return a // b if b else a ^ a


def modulo(a, b):
    return a % b if b != 0 and b != -1 else 0


def remainder(a, b):
    return a - b * divide(a, b) if b != 0 else 0


def modulo_unsigned(a, b):
    return a % b if b else a ^ a


def remainder_of_floats(a, b):
    """a - b * trunc(a / b) in float64, which is exact as long as the quotient has less than 30 bits."""
    a, b = np.float64(a), np.float64(b)
    rest = a - b * np.trunc(a / b)
    rest = rest + abs(b) if rest < 0.0 and a > 0.0 else rest  # a / b was rounded up to a whole number
    rest = rest - abs(b) if rest > 0.0 and a < 0.0 else rest
    return np.float32(a if abs(b) == np.inf and abs(a) < np.inf else rest)


def modulo_of_floats(a, b):
    rest = remainder_of_floats(a, b)
    return rest + b if rest != 0 and (rest < 0) != (b < 0) else rest


def power_of_floats(a, b):
    return math.pow(a, b)


def power(a, b):
    """By squaring. Of a negative power only 1's and -1's are whole numbers that are not 0."""
    if b < 0 and a != 1 and a != -1:
        return 0
    result, factor, left = 1, np.int64(a), np.int64(b)
    left = left if left >= 0 else -left
    while left > 0:
        if left & 1:
            result *= factor
        factor *= factor
        left >>= 1
    return result


def power_unsigned(a, b):
    one = np.uint64(1)
    result, factor, left = one, np.uint64(a), np.uint64(b)
    while left:
        if left & one:
            result *= factor
        factor *= factor
        left >>= one
    return result


def angle(a, b):
    return math.atan2(a, b)


def shift_left(a, b):
    return a << b if b < 64 else a ^ a


def shift_right(a, b):
    return a >> (b if b < 63 else 63)


def shift_right_unsigned(a, b):
    return a >> b if b < 64 else a ^ a


def equal(a, b):
    return a == b


def different(a, b):
    return a != b


def less(a, b):
    return a < b


def less_or_equal(a, b):
    return a <= b


def greater(a, b):
    return a > b


def greater_or_equal(a, b):
    return a >= b


def chosen(condition, a, b):
    return a if condition else b


# operation: its expression for floats, for signed and for unsigned numbers
EXPRESSIONS = {
    "add": (add, add, add),
    "sub": (subtract, subtract, subtract),
    "mul": (multiply, multiply, multiply),
    "div": (divide_floats, divide, divide_unsigned),
    "pow": (power_of_floats, power, power_unsigned),
    "max": (larger, larger, larger),
    "min": (smaller, smaller, smaller),
    "mod": (modulo_of_floats, modulo, modulo_unsigned),
    "fmod": (remainder_of_floats, remainder, modulo_unsigned),
    "atan2": (angle, None, None),
    "and": (None, both, both),
    "or": (None, either, either),
    "xor": (None, one_of, one_of),
    "shift_left": (None, shift_left, shift_left),
    "shift_right": (None, shift_right, shift_right_unsigned),
}
COMPARISONS = {
    "equal": equal, "not_equal": different, "less": less, "less_equal": less_or_equal,
    "greater": greater, "greater_equal": greater_or_equal,
}  # fmt: skip


def no_halves(call: Call) -> bool | str:
    """numba has no float16 on CPUs."""
    return all(s is None or s.dtype.name != "fp16" for s in call.specs.values()) or "fp16 numbers"


def bind_binary(call: Call) -> Stage:
    kind = call.specs["a"].dtype.storage.kind
    floats, signed, unsigned = EXPRESSIONS[call.layer.operation]
    params, (step_a, step_b) = meet(call, "ab")
    return Stage(params, function=pairs({"f": floats, "i": signed}.get(kind, unsigned), step_a, step_b))


def bind_compare(call: Call) -> Stage:
    params, (step_a, step_b) = meet(call, "ab")
    return Stage(params, function=pairs(COMPARISONS[call.layer.operation], step_a, step_b))


def bind_where(call: Call) -> Stage:
    params, steps = meet(call, ("condition", "a", "b"))
    return Stage(params, function=triples(chosen, *steps))


kernel(Binary, device="cpu", bind=bind_binary, when=no_halves, inplace=("a", "b"))(pairs(add, 1, 1))
kernel(Compare, device="cpu", bind=bind_compare, when=no_halves)(pairs(equal, 1, 1))
kernel(Where, device="cpu", bind=bind_where, when=no_halves, inplace=("a", "b"))(triples(chosen, 1, 1, 1))
