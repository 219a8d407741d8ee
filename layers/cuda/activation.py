"""Activations on the GPU: every thread has elements of its own, and x may be y."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Stage, View, kernel
from ..activation import (
    BNLL,
    ELU,
    GELU,
    AbsVal,
    Clip,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Swish,
    TanH,
    log_base,
)
from .blocks import divide


def bind_relu(call: Call) -> Stage:
    return Stage({}, function=None if call.layer.negative_slope else rectify)


@kernel(ReLU, device="cuda", bind=bind_relu)
def relu(x, y, negative_slope):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else negative_slope * x[i]


def rectify(x, y):
    for i in range(x.size):
        y[i] = np.float32(0) if x[i] < 0 else x[i]


def bind_prelu(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    items = n * c * prod(rest)
    return dict(
        x=View("x", (items,)), y=View("y", (items,)), slope=call.flat("slope"), items=items, size=prod(rest)
    )


@kernel(PReLU, device="cuda", bind=bind_prelu, inplace=("x",))
def prelu(x, slope, y, size, items, ith, nth):
    for i in range(ith, items, nth):
        plane = divide(i, size)
        negative_slope = slope[plane - divide(plane, slope.size) * slope.size]
        y[i] = x[i] if x[i] > 0 else negative_slope * x[i]


@kernel(Sigmoid, device="cuda")
def sigmoid(x, y):
    one = np.float32(1)
    for i in range(x.size):
        y[i] = one / (one + math.exp(-x[i]))


@kernel(TanH, device="cuda")
def tanh(x, y):
    for i in range(x.size):
        y[i] = math.tanh(x[i])


@kernel(ELU, device="cuda")
def elu(x, y, alpha):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else alpha * math.expm1(x[i])


@kernel(Clip, device="cuda")
def clip(x, y, min, max):
    for i in range(x.size):
        low = min if x[i] < min else x[i]
        y[i] = max if low > max else low


def bind_power(call: Call) -> Stage:
    simple = {1.0: affine, 2.0: square, 0.5: root}
    return Stage({}, function=simple.get(call.layer.power))


@kernel(Power, device="cuda", bind=bind_power)
def power(x, y, power, scale, shift):
    for i in range(x.size):
        y[i] = math.pow(shift + scale * x[i], power)


def affine(x, y, scale, shift):
    for i in range(x.size):
        y[i] = shift + scale * x[i]


def square(x, y, scale, shift):
    for i in range(x.size):
        v = shift + scale * x[i]
        y[i] = v * v


def root(x, y, scale, shift):
    for i in range(x.size):
        y[i] = math.sqrt(shift + scale * x[i])


def bind_exp(call: Call) -> dict:
    """base ** v is exp(ln(base) * v)."""
    layer = call.layer
    return dict(scale=log_base(layer) * layer.scale, shift=log_base(layer) * layer.shift)


@kernel(Exp, device="cuda", bind=bind_exp)
def exp(x, y, scale, shift):
    for i in range(x.size):
        y[i] = math.exp(shift + scale * x[i])


@kernel(Log, device="cuda", bind=lambda call: dict(gain=1 / log_base(call.layer)))
def log(x, y, scale, shift, gain):
    for i in range(x.size):
        y[i] = gain * math.log(shift + scale * x[i])


@kernel(AbsVal, device="cuda")
def absval(x, y):
    for i in range(x.size):
        y[i] = abs(x[i])


@kernel(BNLL, device="cuda")
def bnll(x, y):
    for i in range(x.size):
        positive = x[i] if x[i] > 0 else np.float32(0)
        y[i] = positive + math.log1p(math.exp(-abs(x[i])))


@kernel(HardSigmoid, device="cuda")
def hard_sigmoid(x, y, alpha, beta):
    for i in range(x.size):
        y[i] = min(max(alpha * x[i] + beta, np.float32(0)), np.float32(1))


@kernel(HardSwish, device="cuda")
def hard_swish(x, y, alpha, beta):
    for i in range(x.size):
        y[i] = x[i] * min(max(alpha * x[i] + beta, np.float32(0)), np.float32(1))


@kernel(Swish, device="cuda")
def swish(x, y, beta):
    one = np.float32(1)
    for i in range(x.size):
        y[i] = x[i] / (one + math.exp(-beta * x[i]))


@kernel(Mish, device="cuda")
def mish(x, y):
    """With s = log(1 + exp(x)), tanh(s) is n / (n + 2) where n = exp(x) * (exp(x) + 2): one exp, no tanh.

    From 20 on it is 1 to the last bit, and the square would soon overflow.
    """
    top, two = np.float32(20), np.float32(2)
    for i in range(x.size):
        e = math.exp(x[i] if x[i] < top else top)
        n = e * (e + two)
        y[i] = x[i] * (n / (n + two))


def bind_gelu(call: Call) -> Stage:
    return Stage({}, function=gelu_tanh if call.layer.approximate else None)


@kernel(GELU, device="cuda", bind=bind_gelu)
def gelu(x, y):
    half, one, root = np.float32(0.5), np.float32(1), np.float32(math.sqrt(0.5))
    for i in range(x.size):
        y[i] = half * x[i] * (one + math.erf(root * x[i]))


def gelu_tanh(x, y):
    half, one = np.float32(0.5), np.float32(1)
    root, cubic = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)
    for i in range(x.size):
        y[i] = half * x[i] * (one + math.tanh(root * (x[i] + cubic * x[i] * x[i] * x[i])))
