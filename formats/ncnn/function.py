"""Functions of one element, and of two tensors element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.errors import ConversionError
from ...engine.tensor import Tensor
from .graph import Source, ncnn

ADD, SUB, MUL, DIV, MAX, MIN, POW, RSUB, RDIV, RPOW, ATAN2, RATAN2 = range(12)  # BinaryOp's op_type
REVERSED = {SUB: RSUB, RSUB: SUB, DIV: RDIV, RDIV: DIV, POW: RPOW, RPOW: POW, ATAN2: RATAN2, RATAN2: ATAN2}
NAMES = ("ADD", "SUB", "MUL", "DIV", "MAX", "MIN", "POW", "RSUB", "RDIV", "RPOW", "ATAN2", "RATAN2")
# UnaryOp's op_type -> layer and attributes; operations without a layer of their own are Unary's
PLAIN_UNARY = {
    2: "floor", 3: "ceil", 9: "sin", 10: "cos", 11: "tan", 12: "asin", 13: "acos", 14: "atan", 18: "round",
    19: "trunc",
}  # fmt: skip
UNARY: dict[int, tuple[str, dict[str, Any]]] = {
    0: ("AbsVal", {}), 1: ("Power", {"scale": -1.0}), 4: ("Power", {"power": 2.0}), 5: ("Power", {"power": 0.5}),
    6: ("Power", {"power": -0.5}), 7: ("Exp", {}), 8: ("Log", {}), 15: ("Power", {"power": -1.0}), 16: ("TanH", {}),
    17: ("Log", {"base": 10.0}), **{key: ("Unary", {"operation": name}) for key, name in PLAIN_UNARY.items()},
}  # fmt: skip
# BinaryOp's op_type -> Binary's operation; the reversed ones are those of the operands in the other order
BINARY = {
    ADD: "add", SUB: "sub", MUL: "mul", DIV: "div", MAX: "max", MIN: "min", POW: "pow", ATAN2: "atan2",
}  # fmt: skip


def activated(s: Source, y: str) -> str:
    """`y` after the activation that ncnn has fused into a layer: keys 9 and 10, in an InnerProduct too."""
    kind, args = s.integer(9), s.numbers(10)
    table: dict[int, tuple[int, Callable[[], str]]] = {
        1: (0, lambda: s.add("ReLU", y)),
        2: (1, lambda: s.add("ReLU", y, negative_slope=args[0])),
        3: (2, lambda: s.add("Clip", y, min=args[0], max=args[1])),
        4: (0, lambda: s.add("Sigmoid", y)),
        5: (0, lambda: s.add("Mish", y)),
        6: (2, lambda: s.add("HardSwish", y, alpha=args[0], beta=args[1])),
    }
    if not kind:
        return y
    if kind not in table or len(args) < table[kind][0]:
        raise ConversionError(f"activation_type is {kind} with {args}, which is not known")
    return table[kind][1]()


@ncnn("Sigmoid", "TanH", "AbsVal", "BNLL", "Mish", "Swish")
def plain(s: Source) -> str:
    return s.add(s.node.type)


@ncnn("Softplus")
def softplus(s: Source) -> str:
    return s.add("BNLL")


@ncnn("ReLU")
def relu(s: Source) -> str:
    return s.add("ReLU", negative_slope=s.number(0))


@ncnn("ELU")
def elu(s: Source) -> str:
    return s.add("ELU", alpha=s.number(0, 0.1))


@ncnn("SELU")
def selu(s: Source) -> str:
    y = s.add("ELU", alpha=s.number(0, 1.67326324))
    return s.add("Power", y, scale=s.number(1, 1.050700987))


@ncnn("CELU")
def celu(s: Source) -> str:
    """alpha * (exp(x / alpha) - 1) below 0: an ELU of x / alpha, times alpha."""
    alpha = s.number(0, 1.0)
    if not alpha > 0:
        raise ConversionError(f"alpha is {alpha}: it must be above 0")
    return s.add("Power", s.add("ELU", s.add("Power", s.x, scale=1 / alpha)), scale=alpha)


@ncnn("Erf")
def erf(s: Source) -> str:
    return s.add("Unary", operation="erf")


@ncnn("Threshold")
def threshold(s: Source) -> str:
    return s.add("Threshold", threshold=s.number(0))


@ncnn("GLU")
def glu(s: Source) -> str:
    """The first half, weighed by the sigmoid of the second."""
    x, axis = s.x, s.axis(s.integer(0))
    if s.shape[axis] % 2:
        raise ConversionError(f"cannot halve axis {axis} of {s.graph.specs[x]}")
    first, second = s.add("Slice", x, axis=axis, outputs=2)
    return s.add("Eltwise", first, s.add("Sigmoid", second), operation="prod")


@ncnn("Clip")
def clip(s: Source) -> str:
    given: dict[str, Any] = {
        name: s.number(key) for key, name in enumerate(("min", "max")) if key in s.node.params
    }
    return s.add("Clip", **given)


@ncnn("HardSigmoid", "HardSwish")
def hard(s: Source) -> str:
    return s.add(s.node.type, alpha=s.number(0, 0.2), beta=s.number(1, 0.5))


@ncnn("GELU")
def gelu(s: Source) -> str:
    return s.add("GELU", approximate=bool(s.integer(0)))


@ncnn("Power")
def power(s: Source) -> str:
    return s.add("Power", power=s.number(0, 1.0), scale=s.number(1, 1.0), shift=s.number(2))


@ncnn("Exp", "Log")
def exp_or_log(s: Source) -> str:
    return s.add(s.node.type, base=s.number(0, -1.0), scale=s.number(1, 1.0), shift=s.number(2))


@ncnn("Dropout")
def dropout(s: Source) -> str:
    scale = s.number(0, 1.0)
    return s.add("Dropout") if scale == 1 else s.add("Power", scale=scale)


@ncnn("UnaryOp")
def unary(s: Source) -> str:
    if s.integer(0) not in UNARY:
        raise ConversionError(f"op_type is {s.integer(0)}, which is not supported")
    kind, attributes = UNARY[s.integer(0)]
    return s.add(kind, **attributes)


@ncnn("Eltwise")
def eltwise(s: Source) -> str:
    operations = {0: "prod", 1: "sum", 2: "max"}
    if s.integer(0) not in operations:
        raise ConversionError(
            f"op_type is {s.integer(0)}: only 0 (product), 1 (sum) and 2 (maximum) are known"
        )
    operation, coeff = operations[s.integer(0)], s.numbers(1)
    coeff = coeff if operation == "sum" and set(coeff) != {1.0} else []
    return s.add("Eltwise", *map(s.computed, s.inputs), operation=operation, coeff=coeff)


@ncnn("BinaryOp")
def binary(s: Source) -> str:
    op = s.integer(0)
    if s.integer(1):
        return _with_number(s, op, s.number(2))
    if len(s.inputs) != 2:
        raise ConversionError(f"reads {len(s.inputs)} blobs, but a BinaryOp has two")
    (a, b), constants = s.inputs, s.graph.constants
    if a in constants and b in constants:
        raise ConversionError("computes with two constants, which is not supported")
    if a in constants:
        a, b, op = b, a, REVERSED.get(op, op)
    return _with_constant(s, op, a, constants[b]) if b in constants else _with_tensor(s, op, a, b)


def _with_number(s: Source, op: int, b: float) -> str:
    """x op b, for a number b."""
    table: dict[int, tuple[str, dict[str, Any]]] = {
        ADD: ("Power", {"shift": b}), SUB: ("Power", {"shift": -b}), MUL: ("Power", {"scale": b}),
        MAX: ("Clip", {"min": b}), MIN: ("Clip", {"max": b}), POW: ("Power", {"power": b}),
        RSUB: ("Power", {"scale": -1.0, "shift": b}),
    }  # fmt: skip
    if b:
        table |= {DIV: ("Power", {"scale": 1 / b}), RDIV: ("Power", {"power": -1.0, "scale": 1 / b})}
    if b > 0 and b != 1:
        table |= {RPOW: ("Exp", {"base": b})}
    if op not in table:
        return _general(s, op, s.x, s.derived("b", (1,), lambda: np.array([b])))
    kind, attributes = table[op]
    return s.add(kind, s.x, **attributes)


def _name(op: int) -> str:
    return NAMES[op] if 0 <= op < len(NAMES) else f"op_type {op}"


def _expanded(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[int, ...]:
    """`small` with as many axes as `large`, by ncnn's rule: its own come first, but for a vector that fits the last."""
    missing = len(large) - len(small)
    if missing and len(small) == 1 and small[0] != large[0]:
        return (*[1] * missing, *small)
    return (*small, *[1] * missing)


def _with_constant(s: Source, op: int, x: str, b: Tensor) -> str:
    """x op b, for a constant b that is the same along some axes of x: a Bias or a Scale."""
    shape, b_shape = s.shape_of(x)[1:], b.spec.shape
    full = _expanded(b_shape, shape) if len(b_shape) <= len(shape) else ()
    own = [i for i, size in enumerate(full) if size != 1]
    first, last = (own[0], own[-1] + 1) if own else (0, 0)
    if not full or full[first:last] != shape[first:last] or op not in (ADD, SUB, RSUB, MUL, DIV, RDIV):
        b_full = _expanded(b_shape, shape) if len(b_shape) <= len(shape) else b_shape
        return _general(s, op, x, s.derived("b", b_full, lambda: np.asarray(b.data).reshape(b_full)))
    change: dict[int, Callable[[np.ndarray], np.ndarray]] = {SUB: np.negative, DIV: np.reciprocal}

    def data() -> np.ndarray:
        return change.get(op, np.asarray)(np.asarray(b.data)).reshape(full[first:last])

    if op in (RSUB, RDIV):
        x = s.add("Power", x, scale=-1.0) if op == RSUB else s.add("Power", x, power=-1.0)
    if op in (ADD, SUB, RSUB):
        return s.add("Bias", x, s.derived("b", full[first:last], data), axis=first + 1)
    return s.add("Scale", x, s.derived("scale", full[first:last], data), axis=first + 1)


def _general(s: Source, op: int, a: str, b: str | Tensor) -> str:
    """a op b by numpy's rule, which b, of as many axes as a or a constant without the batch, fits already."""
    if op not in BINARY and REVERSED.get(op) not in BINARY:
        raise ConversionError(f"{_name(op)} is not supported")
    spec = b.spec if isinstance(b, Tensor) else s.graph.specs[b]
    for size, other in zip(s.shape_of(a)[::-1], spec.shape[::-1], strict=False):
        if size != other and 1 not in (size, other):
            raise ConversionError(f"{_name(op)} of {s.graph.specs[a]} and {spec} is not supported")
    if op in BINARY:
        return s.add("Binary", a, b, operation=BINARY[op])
    return s.add("Binary", b, a, operation=BINARY[REVERSED[op]])


def _is_prefix(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether `small` is the same as `large` along its first axes, and 1 along the others."""
    last = max((i + 1 for i, size in enumerate(small) if size != 1), default=0)
    return small[:last] == tuple(large[:last])


def _with_tensor(s: Source, op: int, a: str, b: str) -> str:
    """a op b, both computed: of one shape, or one of them the same along the last axes of the other."""
    if len(s.shape_of(a)) < len(s.shape_of(b)) or (
        len(s.shape_of(a)) == len(s.shape_of(b)) and s.graph.specs[a].size < s.graph.specs[b].size
    ):
        a, b, op = b, a, REVERSED.get(op, op)
    whole = _expanded(s.shape_of(b)[1:], s.shape_of(a)[1:])
    if op not in (ADD, SUB, RSUB, MUL, DIV, RDIV, MAX) or not _is_prefix(whole, s.shape_of(a)[1:]):
        b = b if len(whole) == len(s.shape_of(b)) - 1 else s.add("Reshape", b, shape=whole, axis=1)
        return _general(s, op, a, b)
    if op in (DIV, RDIV):  # by the reciprocal of one of them
        over = s.add("Power", b if op == DIV else a, power=-1.0)
        a, b, op = (a, over, MUL) if op == DIV else (over, b, MUL)
    (_, *shape), (_, *b_shape) = s.shape_of(a), s.shape_of(b)
    full = _expanded(tuple(b_shape), tuple(shape))
    if full == tuple(shape):
        b = b if len(b_shape) == len(shape) else s.add("Reshape", b, shape=full, axis=1)
        ways: dict[int, dict[str, Any]] = {
            ADD: {}, SUB: {"coeff": (1.0, -1.0)}, RSUB: {"coeff": (-1.0, 1.0)}, MUL: {"operation": "prod"},
            MAX: {"operation": "max"},
        }  # fmt: skip
        return s.add("Eltwise", a, b, **ways[op])
    last = max((i + 1 for i, size in enumerate(full) if size != 1), default=0)
    if op == MAX:
        return _general(
            s, op, a, b if len(b_shape) == len(shape) else s.add("Reshape", b, shape=full, axis=1)
        )
    if len(b_shape) > last:
        b = s.add("Reshape", b, shape=(), axis=last + 1)  # the ones at its end go
    elif len(b_shape) < last:
        b = s.add("Reshape", b, shape=full[:last], axis=1)
    if op == MUL:
        return s.add("Scale", a, b, axis=0)
    if op == SUB:
        b = s.add("Power", b, scale=-1.0)
    if op == RSUB:
        a = s.add("Power", a, scale=-1.0)
    return s.add("Bias", a, b, axis=0)
