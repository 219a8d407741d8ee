"""Normalize and LSTMUnit on the cpu."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, View, kernel
from ..lstm_unit import LSTMUnit
from ..normalize import Normalize


def bind(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    shape, layer = (n, c, prod(rest)), call.layer
    return dict(
        x=View("x", shape), y=View("y", shape), room=Scratch((call.threads, shape[2])), scale=call.flat("scale"),
        guard=("add", "most", "inside").index(layer.guard), channels=int(layer.across_channels),
        spatial=int(layer.across_spatial),
    )  # fmt: skip


def inverse(total, eps, guard):
    """One over the length, of which `total` is the square."""
    if guard == 0:
        return np.float32(1) / math.sqrt(total + eps)
    if guard == 1:
        return np.float32(1) / max(math.sqrt(total), eps)
    return np.float32(1) / math.sqrt(max(total, eps))


@kernel(
    Normalize,
    device="cpu",
    bind=bind,
    when=lambda call: not call.layer.across_spatial or "it is across places",
)
def normalize_places(x, scale, y, room, eps, guard, channels, ith, nth):
    """Each thread its share of an image's places, of which room holds the sums."""
    n, c, size = x.shape
    first, last = size * ith // nth, size * (ith + 1) // nth
    for image in range(n):
        for i in range(first, last):
            room[ith, i] = np.float32(0)
        if channels == 1:
            for channel in range(c):
                for i in range(first, last):
                    room[ith, i] += x[image, channel, i] * x[image, channel, i]
            for i in range(first, last):
                room[ith, i] = inverse(room[ith, i], eps, guard)
        for channel in range(c):
            factor = scale[channel % scale.size] if scale.size > 0 else np.float32(1)
            for i in range(first, last):
                value = x[image, channel, i]
                by = room[ith, i] if channels == 1 else inverse(value * value, eps, guard)
                y[image, channel, i] = value * by * factor


@kernel(
    Normalize, device="cpu", bind=bind, when=lambda call: call.layer.across_spatial or "it is of each place"
)
def normalize_planes(x, scale, y, eps, guard, channels, ith, nth):
    """Sums in float64: they are of whole planes, or of a whole image. Threads share images, or planes."""
    n, c, size = x.shape
    groups = n if channels == 1 else n * c
    planes = c if channels == 1 else 1
    for group in range(groups * ith // nth, groups * (ith + 1) // nth):
        total = 0.0
        for plane in range(group * planes, (group + 1) * planes):
            for i in range(size):
                total += x[plane // c, plane % c, i] * x[plane // c, plane % c, i]
        by = inverse(np.float32(total), eps, guard)
        for plane in range(group * planes, (group + 1) * planes):
            image, channel = plane // c, plane % c
            factor = by * scale[channel % scale.size] if scale.size > 0 else by
            for i in range(size):
                y[image, channel, i] = x[image, channel, i] * factor


@kernel(LSTMUnit, device="cpu")
def lstm_unit(c_prev, gates, cont, c, h, ith, nth):
    _, images, size = c_prev.shape
    one = np.float32(1)
    for unit in range(images * size * ith // nth, images * size * (ith + 1) // nth):
        image, i = unit // size, unit % size
        enter = one / (one + math.exp(-gates[0, image, i]))
        stay = one / (one + math.exp(-gates[0, image, size + i]))
        leave = one / (one + math.exp(-gates[0, image, 2 * size + i]))
        new = math.tanh(gates[0, image, 3 * size + i])
        c[0, image, i] = cont[0, image] * stay * c_prev[0, image, i] + enter * new
        h[0, image, i] = leave * math.tanh(c[0, image, i])
