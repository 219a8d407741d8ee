"""Functions of one element on OpenCL: activations, Unary and Cast, from one template and an expression each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from types import FunctionType

from ...engine.kernel import Call, Stage, kernel
from ...engine.layer import Layer
from .. import activation
from ..activation import log_base
from ..cast import Cast
from ..unary import Unary
from .source import variant, written_in

# layer: (what becomes of v, the numbers p, q and r in it)
SIGMOID = "1 / (1 + exp(-v))"
CURVES: dict[str, tuple[str, Callable[[Layer], tuple]]] = {
    "ReLU": ("v > 0 ? v : p != 0 ? p * v : v < 0 ? 0 : v", lambda layer: (layer.negative_slope,)),
    "Sigmoid": (SIGMOID, lambda layer: ()),
    "TanH": ("tanh(v)", lambda layer: ()),
    "ELU": ("v > 0 ? v : p * expm1(v)", lambda layer: (layer.alpha,)),
    "Clip": ("v < p ? p : v > q ? q : v", lambda layer: (layer.min, layer.max)),
    "Exp": ("exp(q + p * v)", lambda layer: (log_base(layer) * layer.scale, log_base(layer) * layer.shift)),
    "Log": ("r * log(q + p * v)", lambda layer: (layer.scale, layer.shift, 1 / log_base(layer))),
    "AbsVal": ("fabs(v)", lambda layer: ()),
    "BNLL": ("fmax(v, 0.f) + log1p(exp(-fabs(v)))", lambda layer: ()),
    "HardSigmoid": ("clamp(p * v + q, 0.f, 1.f)", lambda layer: (layer.alpha, layer.beta)),
    "HardSwish": ("v * clamp(p * v + q, 0.f, 1.f)", lambda layer: (layer.alpha, layer.beta)),
    "Swish": ("v / (1 + exp(-p * v))", lambda layer: (layer.beta,)),
    "Mish": ("v * tanh(fmax(v, 0.f) + log1p(exp(-fabs(v))))", lambda layer: ()),
    "Threshold": ("v > p ? 1 : 0", lambda layer: (layer.threshold,)),
}
POWERS = {1.0: "q + p * v", 2.0: "(q + p * v) * (q + p * v)", 0.5: "sqrt(q + p * v)"}
GELU = "0.5f * v * (1 + erf(0.70710678f * v))"
GELU_BY_TANH = "0.5f * v * (1 + tanh(0.79788456f * (v + 0.044715f * v * v * v)))"
UNARY = {
    "neg": "-v", "abs": "fabs(v)", "sign": "sign(v)", "square": "v * v", "sqrt": "sqrt(v)", "rsqrt": "1 / sqrt(v)",
    "reciprocal": "1 / v", "floor": "floor(v)", "ceil": "ceil(v)", "round": "rint(v)", "trunc": "trunc(v)",
    "softsign": "v / (1 + fabs(v))", "isnan": "isnan(v)", "isinf": "isinf(v)",
    "isposinf": "v == INFINITY", "isneginf": "v == -INFINITY",
}  # fmt: skip
UNARY |= {
    name: f"{name}(v)"
    for name in ("exp", "expm1", "log", "log1p", "erf", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
                 "cosh", "asinh", "acosh", "atanh")
}  # fmt: skip
COPIED = (
    "fp32",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
)  # that C knows


@written_in("elementwise.cl")
def elementwise(x, y, p, q, r, items):
    """Written in elementwise.cl."""


def expression(text: str, name: str = "") -> FunctionType:
    """The kernel function y = text, an expression in OpenCL C of v, an element of x, and of the numbers p, q and r."""
    return variant(elementwise, name, EXPRESSION=f"({text})")


def each(call: Call, text: str, numbers: tuple = ()) -> Stage:
    """The stage y = text of every element of x."""
    p, q, r = (*map(float, numbers), 0.0, 0.0, 0.0)[:3]
    bound = dict(x=call.flat("x"), y=call.flat("y"), p=p, q=q, r=r, items=prod(call.shape("x")))
    return Stage(bound, (), expression(text, call.layer.type))


def of_floats(call: Call) -> bool | str:
    return call.specs["x"].dtype.name == "fp32" or f"{call.specs['x'].dtype} numbers"


def bind_curve(call: Call) -> Stage:
    text, numbers = CURVES[call.layer.type]
    return each(call, text, numbers(call.layer))


def bind_power(call: Call) -> Stage:
    layer = call.layer
    return each(call, POWERS.get(layer.power, "pow(q + p * v, r)"), (layer.scale, layer.shift, layer.power))


def bind_gelu(call: Call) -> Stage:
    return each(call, GELU_BY_TANH if call.layer.approximate else GELU)


def bind_unary(call: Call) -> Stage:
    return each(call, UNARY[call.layer.operation])


def known(call: Call) -> bool | str:
    return call.layer.operation in UNARY or f"its operation is {call.layer.operation!r}"


def bind_cast(call: Call) -> Stage:
    return each(call, "v != 0" if call.layer.to == "bool" else "(y_t)v")


def casts(call: Call) -> bool | str:
    pair = call.specs["x"].dtype.name, call.layer.to
    return set(pair) <= set(COPIED) or f"it goes from {pair[0]} to {pair[1]}"


for _name in CURVES:
    kernel(getattr(activation, _name), device="opencl", bind=bind_curve, when=of_floats)(elementwise)
kernel(activation.Power, device="opencl", bind=bind_power, when=of_floats)(elementwise)
kernel(activation.GELU, device="opencl", bind=bind_gelu, when=of_floats)(elementwise)
kernel(
    Unary, device="opencl", bind=bind_unary, when=lambda call: of_floats(call) if known(call) is True else known(call),
    inplace=(),
)(elementwise)  # fmt: skip
kernel(Cast, device="opencl", bind=bind_cast, when=casts)(elementwise)
