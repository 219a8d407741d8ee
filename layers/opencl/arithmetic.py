"""Binary, Compare, Where, Eltwise and QuantizedEltwise on OpenCL: two operands that meet, and an expression.

An operation on more operands is one stage after another: y holds what the first ones came to.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, Stage, kernel
from ..binary import Binary, Compare, Where
from ..eltwise import Eltwise
from ..quantized import QuantizedEltwise
from .activation import COPIED
from .axes import pattern, walk
from .quantized_conv import limits
from .source import variant, written_in

# what becomes of u and v; of whole numbers only what C rounds and wraps around as the layer does
BINARY = {
    "add": "u + v", "sub": "u - v", "mul": "u * v", "div": "u / v", "pow": "pow(u, v)", "atan2": "atan2(u, v)",
    "max": "u > v || u != u ? u : v", "min": "u < v || u != u ? u : v", "fmod": "fmod(u, v)",
}  # fmt: skip
WHOLE = ("max", "min")
COMPARE = {
    "equal": "u == v", "not_equal": "u != v", "less": "u < v", "less_equal": "u <= v", "greater": "u > v",
    "greater_equal": "u >= v",
}  # fmt: skip
ELTWISE = {
    "sum": ("p * u + q * v", "y[i] + q * v"),
    "prod": ("u * v", "y[i] * v"),
    "max": ("fmax(u, v)", "fmax(y[i], v)"),
}
CENTERED = ("((float)u - r)", "((float)v - s)")
ROUNDED = "rounded({}, low, high, zero)"


@written_in("rounding.cl", "broadcast.cl")
def broadcast(a, b, y, axes, rank, p, q, r, s, low, high, zero, items):
    """Written in broadcast.cl."""


def meet(call: Call, a: str, b: str, text: str, **numbers: float) -> Stage:
    """The stage y = text of what two tensors have where they meet."""
    shape = call.shape("y")
    views = [np.broadcast_to(pattern(call.shape(name)), shape) for name in (a, b)]
    bound = dict.fromkeys(("p", "q", "r", "s", "low", "high", "zero"), 0.0) | numbers
    bound |= dict(a=call.flat(a), b=call.flat(b), y=call.flat("y"), items=prod(shape)) | walk(*views)
    return Stage(bound, (), variant(broadcast, call.layer.type, EXPRESSION=f"({text})"))


def bind_binary(call: Call) -> Stage:
    return meet(call, "a", "b", BINARY[call.layer.operation])


def serves_binary(call: Call) -> bool | str:
    operation, kind = call.layer.operation, call.specs["a"].dtype.name
    if operation not in BINARY:
        return f"its operation is {operation!r}"
    return (
        kind == "fp32"
        or (kind in COPIED and operation in WHOLE)
        or f"there is no {operation!r} of {kind} in it"
    )


def bind_compare(call: Call) -> Stage:
    return meet(call, "a", "b", COMPARE[call.layer.operation])


def of_what_c_knows(call: Call) -> bool | str:
    kind = call.specs["a"].dtype.name
    return kind in COPIED or f"{kind} numbers"


def bind_where(call: Call) -> list[Stage]:
    return [meet(call, "b", "b", "v"), meet(call, "condition", "a", "u ? v : y[i]")]


def bind_eltwise(call: Call) -> list[Stage]:
    count = len(call.layer.inputs)
    first, next_ = ELTWISE[call.layer.operation]
    factors = [*(call.layer.coeff or (1.0,) * count)]
    stages = [meet(call, "xs0", "xs1", first, p=factors[0], q=factors[1])]
    return stages + [meet(call, f"xs{i}", f"xs{i}", next_, q=factors[i]) for i in range(2, count)]


def bind_quantized(call: Call) -> list[Stage]:
    """v in float32 until the last operand has been added, and only then a byte."""
    layer, count = call.layer, len(call.layer.inputs)
    bounds, room = limits(layer.low, layer.high, layer.zero), Scratch((prod(call.shape("y")),))
    u, v = CENTERED
    join = {"sum": "({} + {})", "max": "fmax({}, {})", "prod": ""}[layer.operation]
    if layer.operation == "prod":
        text, factors = f"{u} * {v} * p", (*layer.multiplier, 0.0)
    else:
        text, factors = join.format(f"{u} * p", f"{v} * q"), layer.multiplier
    stages = []
    for i in range(1, count):
        last = i == count - 1
        numbers = (
            dict(p=factors[0], q=factors[i], r=float(layer.x_zero[0]), s=float(layer.x_zero[i])) | bounds
        )
        stage = meet(call, "xs0", f"xs{i}", ROUNDED.format(text) if last else text, **numbers)
        so_far = {"a": room} if i > 1 else {}
        stages.append(replace(stage, params={**stage.params, **so_far} | ({} if last else {"y": room})))
        text = join.format("u", f"{v} * q")  # u is what the operands so far came to
    return stages


kernel(Binary, device="opencl", bind=bind_binary, when=serves_binary)(broadcast)
kernel(Compare, device="opencl", bind=bind_compare, when=of_what_c_knows)(broadcast)
kernel(Where, device="opencl", bind=bind_where, when=of_what_c_knows)(broadcast)
kernel(Eltwise, device="opencl", bind=bind_eltwise)(broadcast)
kernel(QuantizedEltwise, device="opencl", dtype="int8", bind=bind_quantized)(broadcast)
