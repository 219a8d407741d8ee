"""Normalisation on the cpu. Loops go over planes, so that what belongs to a channel is worked out once a plane."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..norm import LRN, MVN, BatchNorm, Bias, LayerNorm, Scale


def bind_across(call: Call) -> dict:
    layer, (n, c, h, w) = call.layer, call.shape("x")
    shape = (n, c, h * w)
    return dict(
        x=View("x", shape),
        y=View("y", shape),
        half=layer.local_size // 2,
        alpha=layer.alpha / layer.local_size,
    )


def across(call: Call) -> bool | str:
    return call.layer.region == "across" or "its region is not 'across'"


@kernel(LRN, device="cpu", bind=bind_across, when=across)
def lrn(x, y, half, alpha, beta, k, ith, nth):
    n, c, size = x.shape
    for plane in range(n * c * ith // nth, n * c * (ith + 1) // nth):
        image, channel = plane // c, plane % c
        sum_squares(x, y, image, channel, half)
        for i in range(size):
            y[image, channel, i] = x[image, channel, i] * math.pow(k + alpha * y[image, channel, i], -beta)


@kernel(
    LRN,
    device="cpu",
    bind=bind_across,
    when=lambda call: across(call) is True and (call.layer.beta == 0.75 or "its beta is not 0.75"),
    score=2.0,
)
def lrn_three_quarters(x, y, half, alpha, k, ith, nth):
    """s ** -0.75 by square roots: the beta of AlexNet and GoogLeNet, without a power for every element."""
    n, c, size = x.shape
    for plane in range(n * c * ith // nth, n * c * (ith + 1) // nth):
        image, channel = plane // c, plane % c
        sum_squares(x, y, image, channel, half)
        for i in range(size):
            r = np.float32(1) / math.sqrt(k + alpha * y[image, channel, i])
            y[image, channel, i] = x[image, channel, i] * (r * math.sqrt(r))


def sum_squares(x, y, image, channel, half):
    """y[channel] = sum of x**2 over the channel and `half` more on each side."""
    _, c, size = x.shape
    for i in range(size):
        y[image, channel, i] = np.float32(0)
    for other in range(max(0, channel - half), min(c, channel + half + 1)):
        for i in range(size):
            y[image, channel, i] += x[image, other, i] * x[image, other, i]


def bind_within(call: Call) -> dict:
    size = call.layer.local_size
    return dict(x=call.planes("x"), y=call.planes("y"), half=size // 2, alpha=call.layer.alpha / size**2)


@kernel(
    LRN,
    device="cpu",
    bind=bind_within,
    when=lambda call: call.layer.region == "within" or "its region is not 'within'",
    split=("x", "y"),
)
def lrn_within(x, y, half, alpha, beta, k):
    planes, h, w = x.shape
    for plane in range(planes):
        for i in range(h):
            for j in range(w):
                y[plane, i, j] = np.float32(0)
            for row in range(max(0, i - half), min(h, i + half + 1)):
                for shift in range(-half, half + 1):
                    for j in range(max(0, -shift), min(w, w - shift)):
                        y[plane, i, j] += x[plane, row, j + shift] * x[plane, row, j + shift]
            for j in range(w):
                y[plane, i, j] = x[plane, i, j] * math.pow(k + alpha * y[plane, i, j], -beta)


def bind_batchnorm(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    planes = (n * c, prod(rest))
    return dict(x=View("x", planes), y=View("y", planes))


@kernel(BatchNorm, device="cpu", bind=bind_batchnorm, inplace=("x",))
def batchnorm(x, mean, var, y, eps, ith, nth):
    planes, size = x.shape
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        middle = mean[plane % mean.size]
        scale = np.float32(1) / math.sqrt(var[plane % var.size] + eps)
        for i in range(size):
            y[plane, i] = (x[plane, i] - middle) * scale


def _planes_of(call: Call, weight: str) -> tuple[int, int]:
    """x's shape as (all axes up to the weight's last, all after it): a plane has one weight."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    end = axis + len(call.shape(weight))
    # a weight without axes is one for all
    return (prod(shape[:end]), prod(shape[end:])) if end > axis else (1, prod(shape))


def bind_scale(call: Call) -> dict:
    planes = _planes_of(call, "scale")
    return dict(x=View("x", planes), y=View("y", planes), scale=call.flat("scale"), bias=call.flat("bias"))


@kernel(Scale, device="cpu", bind=bind_scale, inplace=("x",))
def scale(x, scale, bias, y, ith, nth):
    planes, size = x.shape
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        factor = scale[plane % scale.size]
        shift = bias[plane % scale.size] if bias.size > 0 else np.float32(0)
        for i in range(size):
            y[plane, i] = x[plane, i] * factor + shift


def bind_bias(call: Call) -> dict:
    planes = _planes_of(call, "b")
    return dict(x=View("x", planes), y=View("y", planes), b=call.flat("b"))


@kernel(Bias, device="cpu", bind=bind_bias, inplace=("x",))
def bias(x, b, y, ith, nth):
    planes, size = x.shape
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        shift = b[plane % b.size]
        for i in range(size):
            y[plane, i] = x[plane, i] + shift


def bind_mvn(call: Call) -> dict:
    shape = call.shape("x")
    cut = 1 if call.layer.across_channels else 2
    groups = (prod(shape[:cut]), prod(shape[cut:]))
    return dict(x=View("x", groups), y=View("y", groups))


@kernel(MVN, device="cpu", bind=bind_mvn, split=("x", "y"), inplace=("x",))
def mvn(x, y, normalize_variance, eps):
    """Sums in float64: a group may be a whole image."""
    groups, size = x.shape
    for group in range(groups):
        total = 0.0
        for i in range(size):
            total += x[group, i]
        mean = total / size
        scale = 1.0
        if normalize_variance:
            squares = 0.0
            for i in range(size):
                squares += (x[group, i] - mean) * (x[group, i] - mean)
            scale = 1.0 / (math.sqrt(squares / size) + eps)
        for i in range(size):
            y[group, i] = (x[group, i] - mean) * scale


def bind_layernorm(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    rows = (prod(shape[:axis]), prod(shape[axis:]))
    return dict(x=View("x", rows), y=View("y", rows), scale=call.flat("scale"), bias=call.flat("bias"))


@kernel(LayerNorm, device="cpu", bind=bind_layernorm, split=("x", "y"), inplace=("x",))
def layernorm(x, scale, bias, y, eps):
    rows, size = x.shape
    for row in range(rows):
        total = 0.0
        for i in range(size):
            total += x[row, i]
        mean = total / size
        squares = 0.0
        for i in range(size):
            squares += (x[row, i] - mean) * (x[row, i] - mean)
        middle, gain = np.float32(mean), np.float32(1.0 / math.sqrt(squares / size + eps))
        for i in range(size):
            y[row, i] = (x[row, i] - middle) * gain
        if scale.size > 0:
            for i in range(size):
                y[row, i] *= scale[i]
        if bias.size > 0:
            for i in range(size):
                y[row, i] += bias[i]
