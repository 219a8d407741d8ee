"""Normalisation on the cpu. Loops go over planes, so that what belongs to a channel is worked out once a plane."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, View, kernel
from ..norm import LRN, MVN, BatchNorm, Bias, GroupNorm, LayerNorm, RMSNorm, Scale
from . import simd
from .channels import BLOCKS, bind_blocks, of_block


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


# -- in blocks of channels -----------------------------------------------------------------------------------


def weighs_channels(weight: str):
    """The predicate of a kernel for a weight a channel, of all images alike or of each."""

    def predicate(call: Call) -> bool | str:
        shape, axis = call.shape(weight), call.specs["x"].axis(call.layer.axis)
        fits = len(call.shape("x")) > 1 and axis + len(shape) == 2
        return fits or f"{weight} {list(shape)} from axis {axis} on is not one number a channel"

    return predicate


@kernel(Scale, device="cpu", bind=bind_blocks, when=weighs_channels("scale"), **BLOCKS)
def scale_blocked(x, scale, bias, y, channels, room, ith, nth):
    blocks, size = x.shape[:2]
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        factor = of_block(scale, block, channels, room, ith)
        shift = simd.splat(np.float32(0))
        if bias.size > 0:
            shift = of_block(bias, block, channels, room, ith)
        at = block * size * simd.LANES * 4
        for i in range(at, at + size * simd.LANES * 4, simd.LANES * 4):
            simd.store(simd.address(y) + i, simd.fma(simd.load(simd.address(x) + i), factor, shift))


@kernel(Bias, device="cpu", bind=bind_blocks, when=weighs_channels("b"), **BLOCKS)
def bias_blocked(x, b, y, channels, room, ith, nth):
    blocks, size = x.shape[:2]
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        shift = of_block(b, block, channels, room, ith)
        at = block * size * simd.LANES * 4
        for i in range(at, at + size * simd.LANES * 4, simd.LANES * 4):
            simd.store(simd.address(y) + i, simd.add(simd.load(simd.address(x) + i), shift))


@kernel(BatchNorm, device="cpu", bind=bind_blocks, **BLOCKS)
def batchnorm_blocked(x, mean, var, y, eps, channels, room, ith, nth):
    blocks, size = x.shape[:2]
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        shift = simd.mul(of_block(mean, block, channels, room, ith), simd.splat(np.float32(-1)))
        deviation = simd.square_root(
            simd.add(of_block(var, block, channels, room, ith), simd.splat(np.float32(eps)))
        )
        factor = simd.divide(simd.splat(np.float32(1)), deviation)
        at = block * size * simd.LANES * 4
        for i in range(at, at + size * simd.LANES * 4, simd.LANES * 4):
            value = simd.add(simd.load(simd.address(x) + i), shift)
            simd.store(simd.address(y) + i, simd.mul(value, factor))


CHUNK = 8  # places whose squares are kept at a time


def bind_across_blocked(call: Call) -> dict:
    layer, (n, c, h, w), lanes = call.layer, call.shape("x"), call.lanes
    half, blocks = layer.local_size // 2, -(-c // call.lanes)
    shape = (n, blocks, h * w, lanes)
    line = 2 * half + (blocks + 1) * lanes
    return dict(
        x=View("x", shape), y=View("y", shape), squares=Scratch((call.threads, CHUNK, line)),
        channels=c, line=line, half=half, alpha=layer.alpha / layer.local_size,
    )  # fmt: skip


@kernel(
    LRN, device="cpu", bind=bind_across_blocked,
    when=lambda call: across(call) is True and (call.layer.beta == 0.75 or "its beta is not 0.75"), **BLOCKS,
)  # fmt: skip
def lrn_blocked(x, y, squares, channels, line, half, alpha, k, ith, nth):
    """A few places at a time: first the squares of each place's channels in a line, `half` zeros before and after
    them; then every vector's sum is that of 2 * half + 1 vectors of the line, each one number further on."""
    n, blocks, size = x.shape[:3]
    vector, zero = simd.LANES * 4, simd.splat(np.float32(0))
    room = simd.address(squares) + ith * CHUNK * line * 4
    chunks = (size + CHUNK - 1) // CHUNK
    for place in range(CHUNK):
        for i in range(half):
            squares[ith, place, i] = np.float32(0)
    for unit in range(n * chunks * ith // nth, n * chunks * (ith + 1) // nth):
        start = unit % chunks * CHUNK
        count = min(CHUNK, size - start)
        image = (unit // chunks * blocks * size + start) * vector
        for block in range(blocks):
            for place in range(count):
                value = simd.load(simd.address(x) + image + (block * size + place) * vector)
                simd.store(room + (place * line + half) * 4 + block * vector, simd.mul(value, value))
        for place in range(count):
            for i in range(half + channels, line):  # lanes that are no channels, too
                squares[ith, place, i] = np.float32(0)
        for block in range(blocks):
            for place in range(count):
                total = zero
                for i in range(2 * half + 1):
                    total = simd.add(total, simd.load(room + (place * line + i) * 4 + block * vector))
                s = simd.fma(total, simd.splat(np.float32(alpha)), simd.splat(np.float32(k)))
                root = simd.square_root(s)  # s ** 0.75 is root * root of root
                at = image + (block * size + place) * vector
                value = simd.divide(simd.load(simd.address(x) + at), simd.mul(root, simd.square_root(root)))
                simd.store(simd.address(y) + at, value)


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


def bind_groupnorm(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    group = call.layer.group or c
    shape = (n * group, c // max(1, group), prod(rest))
    return dict(
        x=View("x", shape), y=View("y", shape), groups=group, scale=call.flat("scale"), bias=call.flat("bias")
    )


@kernel(GroupNorm, device="cpu", bind=bind_groupnorm, inplace=("x",))
def groupnorm(x, scale, bias, y, groups, eps, ith, nth):
    count, channels, size = x.shape
    for unit in range(count * ith // nth, count * (ith + 1) // nth):
        total = 0.0
        for c in range(channels):
            for i in range(size):
                total += x[unit, c, i]
        mean = total / (channels * size)
        squares = 0.0
        for c in range(channels):
            for i in range(size):
                squares += (x[unit, c, i] - mean) * (x[unit, c, i] - mean)
        gain = 1.0 / math.sqrt(squares / (channels * size) + eps)
        for c in range(channels):
            channel = unit % groups * channels + c
            factor = np.float32(gain * scale[channel] if scale.size > 0 else gain)
            shift = bias[channel] if bias.size > 0 else np.float32(0)
            middle = np.float32(mean)
            for i in range(size):
                y[unit, c, i] = (x[unit, c, i] - middle) * factor + shift


def bind_rmsnorm(call: Call) -> dict:
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    rows = (prod(shape[:axis]), prod(shape[axis:]))
    return dict(x=View("x", rows), y=View("y", rows), scale=call.flat("scale"))


@kernel(RMSNorm, device="cpu", bind=bind_rmsnorm, split=("x", "y"), inplace=("x",))
def rmsnorm(x, scale, y, eps):
    rows, size = x.shape
    for row in range(rows):
        squares = 0.0
        for i in range(size):
            squares += x[row, i] * x[row, i]
        gain = np.float32(1.0 / math.sqrt(squares / size + eps))
        for i in range(size):
            y[row, i] = x[row, i] * gain
        if scale.size > 0:
            for i in range(size):
                y[row, i] *= scale[i]
