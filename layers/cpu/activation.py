"""Activations on the cpu: one loop each. Every thread gets its share of the elements, and x may be y."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Stage, View, kernel
from ..activation import BNLL, ELU, AbsVal, Clip, Exp, Log, Power, PReLU, ReLU, Sigmoid, TanH, log_base
from . import simd
from .channels import BLOCKS, bind_blocks, of_block


@kernel(ReLU, device="cpu")
def relu(x, y, negative_slope):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else negative_slope * x[i]


def bind_prelu(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    planes = (n * c, prod(rest))
    return dict(x=View("x", planes), y=View("y", planes), slope=call.flat("slope"))


@kernel(PReLU, device="cpu", bind=bind_prelu, inplace=("x",))
def prelu(x, slope, y, ith, nth):
    planes, size = x.shape
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        negative_slope = slope[plane % slope.size]
        for i in range(size):
            y[plane, i] = x[plane, i] if x[plane, i] > 0 else negative_slope * x[plane, i]


@kernel(PReLU, device="cpu", bind=bind_blocks, **BLOCKS)
def prelu_blocked(x, slope, y, channels, room, ith, nth):
    blocks, size = x.shape[:2]
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        negative_slope = of_block(slope, block, channels, room, ith)
        at = block * size * simd.LANES * 4
        for i in range(at, at + size * simd.LANES * 4, simd.LANES * 4):
            simd.store(simd.address(y) + i, simd.leaky(simd.load(simd.address(x) + i), negative_slope))


@kernel(Sigmoid, device="cpu")
def sigmoid(x, y):
    one = np.float32(1)
    for i in range(x.size):
        y[i] = one / (one + math.exp(-x[i]))


@kernel(TanH, device="cpu")
def tanh(x, y):
    for i in range(x.size):
        y[i] = math.tanh(x[i])


@kernel(ELU, device="cpu")
def elu(x, y, alpha):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else alpha * math.expm1(x[i])


@kernel(Clip, device="cpu")
def clip(x, y, min, max):
    for i in range(x.size):
        low = min if x[i] < min else x[i]
        y[i] = max if low > max else low


def bind_power(call: Call) -> Stage:
    simple = {1.0: affine, 2.0: square, 0.5: root}
    return Stage({}, function=simple.get(call.layer.power))


@kernel(Power, device="cpu", bind=bind_power)
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


@kernel(Exp, device="cpu", bind=bind_exp)
def exp(x, y, scale, shift):
    for i in range(x.size):
        y[i] = math.exp(shift + scale * x[i])


@kernel(Log, device="cpu", bind=lambda call: dict(gain=1 / log_base(call.layer)))
def log(x, y, scale, shift, gain):
    for i in range(x.size):
        y[i] = gain * math.log(shift + scale * x[i])


@kernel(AbsVal, device="cpu")
def absval(x, y):
    for i in range(x.size):
        y[i] = abs(x[i])


@kernel(BNLL, device="cpu")
def bnll(x, y):
    for i in range(x.size):
        positive = x[i] if x[i] > 0 else np.float32(0)
        y[i] = positive + math.log1p(math.exp(-abs(x[i])))
