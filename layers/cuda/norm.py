"""Normalisation on the GPU: an element a thread, or a block for what is normalised together."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..norm import LRN, MVN, BatchNorm, Bias, LayerNorm, Scale
from .blocks import THREADS, block_sum, blocks, divide, flat
from .card import numba_cuda

cuda = numba_cuda()


def bind_across(call: Call) -> dict:
    layer, (_, c, h, w) = call.layer, call.shape("x")
    return flat(call, "x", "y") | dict(
        channels=c, size=h * w, half=layer.local_size // 2, alpha=layer.alpha / layer.local_size
    )


@kernel(
    LRN, device="cuda", bind=bind_across,
    when=lambda call: call.layer.region == "across" or "its region is not 'across'",
)  # fmt: skip
def lrn(x, y, channels, size, half, alpha, beta, k, items, ith, nth):
    for i in range(ith, items, nth):
        plane = divide(i, size)
        channel = plane - divide(plane, channels) * channels
        total = np.float32(0)
        for other in range(max(0, channel - half), min(channels, channel + half + 1)):
            v = x[i + (other - channel) * size]
            total += v * v
        y[i] = x[i] * math.pow(k + alpha * total, -beta)


def bind_within(call: Call) -> dict:
    size, (_, _, h, w) = call.layer.local_size, call.shape("x")
    return flat(call, "x", "y") | dict(h=h, w=w, half=size // 2, alpha=call.layer.alpha / size**2)


@kernel(
    LRN, device="cuda", bind=bind_within,
    when=lambda call: call.layer.region == "within" or "its region is not 'within'",
)  # fmt: skip
def lrn_within(x, y, h, w, half, alpha, beta, k, items, ith, nth):
    for i in range(ith, items, nth):
        line = divide(i, w)
        column, row = i - line * w, line - divide(line, h) * h
        total = np.float32(0)
        for down in range(max(-half, -row), min(half, h - 1 - row) + 1):
            for across in range(max(-half, -column), min(half, w - 1 - column) + 1):
                v = x[i + down * w + across]
                total += v * v
        y[i] = x[i] * math.pow(k + alpha * total, -beta)


def bind_batchnorm(call: Call) -> dict:
    _, _, *rest = call.shape("x")
    return flat(call, "x", "y") | dict(size=prod(rest))


@kernel(BatchNorm, device="cuda", bind=bind_batchnorm, inplace=("x",))
def batchnorm(x, mean, var, y, size, eps, items, ith, nth):
    for i in range(ith, items, nth):
        plane = divide(i, size)
        channel = plane - divide(plane, mean.size) * mean.size
        y[i] = (x[i] - mean[channel]) / math.sqrt(var[channel] + eps)


def _size_of(call: Call, weight: str) -> int:
    """How many of x's numbers in a row have one weight."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    weights = call.shape(weight)
    return prod(shape[axis + len(weights) :]) if weights else prod(shape)


def bind_scale(call: Call) -> dict:
    weights = dict(scale=call.flat("scale"), bias=call.flat("bias"))
    return flat(call, "x", "y") | weights | dict(size=_size_of(call, "scale"))


@kernel(Scale, device="cuda", bind=bind_scale, inplace=("x",))
def scale(x, scale, bias, y, size, items, ith, nth):
    for i in range(ith, items, nth):
        plane = divide(i, size)
        at = plane - divide(plane, scale.size) * scale.size
        y[i] = x[i] * scale[at] + (bias[at] if bias.size > 0 else np.float32(0))


def bind_bias(call: Call) -> dict:
    return flat(call, "x", "y") | dict(b=call.flat("b"), size=_size_of(call, "b"))


@kernel(Bias, device="cuda", bind=bind_bias, inplace=("x",))
def bias(x, b, y, size, items, ith, nth):
    for i in range(ith, items, nth):
        plane = divide(i, size)
        y[i] = x[i] + b[plane - divide(plane, b.size) * b.size]


def bind_mvn(call: Call) -> dict:
    shape = call.shape("x")
    cut = 1 if call.layer.across_channels else 2
    groups = (prod(shape[:cut]), prod(shape[cut:]))
    return dict(x=View("x", groups), y=View("y", groups)) | blocks(groups[0])


@kernel(MVN, device="cuda", bind=bind_mvn, inplace=("x",))
def mvn(x, y, normalize_variance, eps, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    group, size = cuda.blockIdx.x, x.shape[1]
    total = np.float32(0)
    for i in range(cuda.threadIdx.x, size, threads):
        total += x[group, i]
    mean = block_sum(total, room) / np.float32(size)
    scale = np.float32(1)
    if normalize_variance:
        squares = np.float32(0)
        for i in range(cuda.threadIdx.x, size, threads):
            squares += (x[group, i] - mean) * (x[group, i] - mean)
        scale = np.float32(1) / (math.sqrt(block_sum(squares, room) / np.float32(size)) + eps)
    for i in range(cuda.threadIdx.x, size, threads):
        y[group, i] = (x[group, i] - mean) * scale


def bind_layernorm(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    rows = (prod(shape[:axis]), prod(shape[axis:]))
    weights = dict(scale=call.flat("scale"), bias=call.flat("bias"))
    return dict(x=View("x", rows), y=View("y", rows)) | weights | blocks(rows[0])


@kernel(LayerNorm, device="cuda", bind=bind_layernorm, inplace=("x",))
def layernorm(x, scale, bias, y, eps, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    row, size = cuda.blockIdx.x, x.shape[1]
    total = np.float32(0)
    for i in range(cuda.threadIdx.x, size, threads):
        total += x[row, i]
    mean = block_sum(total, room) / np.float32(size)
    squares = np.float32(0)
    for i in range(cuda.threadIdx.x, size, threads):
        squares += (x[row, i] - mean) * (x[row, i] - mean)
    gain = np.float32(1) / math.sqrt(block_sum(squares, room) / np.float32(size) + eps)
    for i in range(cuda.threadIdx.x, size, threads):
        v = (x[row, i] - mean) * gain
        if scale.size > 0:
            v *= scale[i]
        if bias.size > 0:
            v += bias[i]
        y[row, i] = v
