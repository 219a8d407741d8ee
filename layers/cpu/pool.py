"""Pooling on the cpu.

Plain: plane by plane; a row of y takes in one row of x for each tap of the window. In blocks of channels: a vector of
channels at a time, PLACES windows side by side in registers where none of them looks over the image's edge.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, View, kernel
from ...engine.layout import BLOCKED
from ..pool import Pooling
from . import simd

PLACES = 4  # vectors that are worked on at a time
BOTH_BLOCKED = {"x": BLOCKED, "y": BLOCKED}


def planes(call: Call, name: str) -> View:
    """Images one after the other: (planes, H, W) or (blocks, H, W, lanes)."""
    return call.planes(name, 2 if call.layout(name) != BLOCKED else 3)


def bind_windows(call: Call) -> dict:
    layer, (h, w) = call.layer, call.shape("x")[2:]
    bound = dict(
        x=planes(call, "x"), y=planes(call, "y"), kh=layer.kernel[0], kw=layer.kernel[1],
        stride_h=layer.stride[0], stride_w=layer.stride[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip
    if layer.method == "average":
        counts = (layer.counts(size, axis).astype(np.float32) for axis, size in enumerate((h, w)))
        bound |= zip(("count_h", "count_w"), map(Packed, counts), strict=True)
    return bound


def bind_image(call: Call) -> dict:
    n, c, h, w = call.shape("x")
    return dict(x=View("x", (n * c, h * w)), y=View("y", (n * c,)))


def sees_all(call: Call) -> bool:
    """Whether the window is the image: some files say so, others by a kernel of just that size."""
    layer = call.layer
    return layer.global_pooling or (
        tuple(layer.kernel) == call.shape("x")[2:] and call.shape("y")[2:] == (1, 1) and not any(layer.pad)
    )


def serves(method: str, whole: bool):
    """The predicate of a kernel for this method, over windows or over the whole image."""

    def predicate(call: Call) -> bool | str:
        if call.layer.method != method:
            return f"its method is {call.layer.method!r}"
        return sees_all(call) == whole or f"its window is {'the' if not whole else 'not the'} image"

    return predicate


@kernel(Pooling, device="cpu", bind=bind_windows, when=serves("max", whole=False), split=("x", "y"))
def max_windows(x, y, kh, kw, stride_h, stride_w, top, left):
    planes, oh, ow = y.shape
    _, h, w = x.shape
    for plane in range(planes):
        for oy in range(oh):
            for ox in range(ow):
                y[plane, oy, ox] = np.float32(-np.inf)
            start = oy * stride_h - top
            for iy in range(max(0, start), min(h, start + kh)):
                for kx in range(kw):
                    shift = kx - left
                    # the places whose tap kx is in the image
                    first = max(0, (stride_w - 1 - shift) // stride_w)
                    last = min(ow, (w - 1 - shift) // stride_w + 1)
                    for ox in range(first, last):
                        value = x[plane, iy, ox * stride_w + shift]
                        y[plane, oy, ox] = value if value > y[plane, oy, ox] else y[plane, oy, ox]


@kernel(Pooling, device="cpu", bind=bind_windows, when=serves("average", whole=False), split=("x", "y"))
def average_windows(x, y, count_h, count_w, kh, kw, stride_h, stride_w, top, left):
    planes, oh, ow = y.shape
    _, h, w = x.shape
    for plane in range(planes):
        for oy in range(oh):
            for ox in range(ow):
                y[plane, oy, ox] = np.float32(0)
            start = oy * stride_h - top
            for iy in range(max(0, start), min(h, start + kh)):
                for kx in range(kw):
                    shift = kx - left
                    first = max(0, (stride_w - 1 - shift) // stride_w)
                    last = min(ow, (w - 1 - shift) // stride_w + 1)
                    for ox in range(first, last):
                        y[plane, oy, ox] += x[plane, iy, ox * stride_w + shift]
            for ox in range(ow):
                y[plane, oy, ox] /= count_h[oy] * count_w[ox]


@kernel(Pooling, device="cpu", bind=bind_image, when=serves("max", whole=True), split=("x", "y"))
def max_image(x, y):
    planes, size = x.shape
    for plane in range(planes):
        top = np.float32(-np.inf)
        for i in range(size):
            top = x[plane, i] if x[plane, i] > top else top
        y[plane] = top


@kernel(Pooling, device="cpu", bind=bind_image, when=serves("average", whole=True), split=("x", "y"))
def average_image(x, y):
    planes, size = x.shape
    for plane in range(planes):
        total = 0.0
        for i in range(size):
            total += x[plane, i]
        y[plane] = total / size


@kernel(
    Pooling, device="cpu", bind=bind_windows, when=serves("max", whole=False), score=1.5, layouts=BOTH_BLOCKED
)
def max_windows_blocked(x, y, kh, kw, stride_h, stride_w, top, left, ith, nth):
    """Threads share the rows of all blocks."""
    (blocks, h, w), (_, oh, ow) = x.shape[:3], y.shape[:3]
    vector = simd.LANES * 4
    lowest = np.float32(-np.inf)
    inside, beyond = inner_windows(w, ow, kw, stride_w, left)
    for row in range(blocks * oh * ith // nth, blocks * oh * (ith + 1) // nth):
        start = row % oh * stride_h - top
        first, last = max(0, start), min(h, start + kh)
        ox = 0
        while ox < ow:
            to = simd.address(y) + (row * ow + ox) * vector
            if inside <= ox and ox + PLACES <= beyond:
                t = simd.tile_fill(simd.tile(PLACES, 1), lowest)
                for iy in range(first, last):
                    source = simd.address(x) + ((row // oh * h + iy) * w + ox * stride_w - left) * vector
                    for kx in range(kw):
                        t = simd.tile_max(t, source + kx * vector, stride_w * vector)
                simd.tile_store(t, to, vector)
                ox += PLACES
            else:
                one = simd.tile_fill(simd.tile(1, 1), lowest)
                for iy in range(first, last):
                    source = simd.address(x) + (row // oh * h + iy) * w * vector
                    for ix in range(max(0, ox * stride_w - left), min(w, ox * stride_w - left + kw)):
                        one = simd.tile_max(one, source + ix * vector, vector)
                simd.tile_store(one, to, vector)
                ox += 1


@kernel(
    Pooling, device="cpu", bind=bind_windows, when=serves("average", whole=False), score=1.5,
    layouts=BOTH_BLOCKED,
)  # fmt: skip
def average_windows_blocked(x, y, count_h, count_w, kh, kw, stride_h, stride_w, top, left, ith, nth):
    """Threads share the rows of all blocks."""
    (blocks, h, w), (_, oh, ow) = x.shape[:3], y.shape[:3]
    vector = simd.LANES * 4
    inside, beyond = inner_windows(w, ow, kw, stride_w, left)
    for row in range(blocks * oh * ith // nth, blocks * oh * (ith + 1) // nth):
        start = row % oh * stride_h - top
        first, last = max(0, start), min(h, start + kh)
        ox = 0
        while ox < ow:
            to = simd.address(y) + (row * ow + ox) * vector
            if inside <= ox and ox + PLACES <= beyond:
                t = simd.tile(PLACES, 1)
                for iy in range(first, last):
                    source = simd.address(x) + ((row // oh * h + iy) * w + ox * stride_w - left) * vector
                    for kx in range(kw):
                        t = simd.tile_load_add(t, source + kx * vector, stride_w * vector)
                t = simd.tile_times(t, simd.splat(np.float32(1) / (count_h[row % oh] * count_w[ox])))
                simd.tile_store(t, to, vector)
                ox += PLACES
            else:
                one = simd.tile(1, 1)
                for iy in range(first, last):
                    source = simd.address(x) + (row // oh * h + iy) * w * vector
                    for ix in range(max(0, ox * stride_w - left), min(w, ox * stride_w - left + kw)):
                        one = simd.tile_load_add(one, source + ix * vector, vector)
                one = simd.tile_times(one, simd.splat(np.float32(1) / (count_h[row % oh] * count_w[ox])))
                simd.tile_store(one, to, vector)
                ox += 1


def inner_windows(w, ow, kw, stride_w, left):
    """(first, one past the last) window of a row that lies in the image from its left to its right end."""
    first = (left + stride_w - 1) // stride_w
    return first, min(ow, (w - kw + left) // stride_w + 1)


def bind_blocks(call: Call) -> dict:
    n, c, h, w = call.shape("x")
    shape = (n * -(-c // call.lanes), h * w, call.lanes)
    return dict(
        x=View("x", shape), y=View("y", (n * c,)), room=Scratch((call.threads, call.lanes)), channels=c
    )


@kernel(
    Pooling, device="cpu", bind=bind_blocks, when=serves("max", whole=True), score=1.5, layouts={"x": BLOCKED}
)
def max_image_blocked(x, y, room, channels, ith, nth):
    """y is plain, which is also y in blocks if the channels fill them."""
    blocks, size = x.shape[:2]
    vector = simd.LANES * 4
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        source = simd.address(x) + block * size * vector
        t = simd.tile_fill(simd.tile(PLACES, 1), np.float32(-np.inf))
        whole = size // PLACES * PLACES
        for i in range(0, whole, PLACES):
            t = simd.tile_max(t, source + i * vector, vector)
        for i in range(whole, size):
            t = simd.tile_max(t, source + i * vector, 0)
        store_channels(y, room, simd.tile_largest(t), block, channels, ith)


@kernel(
    Pooling, device="cpu", bind=bind_blocks, when=serves("average", whole=True), score=1.5,
    layouts={"x": BLOCKED},
)  # fmt: skip
def average_image_blocked(x, y, room, channels, ith, nth):
    """Sums of sums: of PLACES * 64 vectors each, so that a large image loses no digits."""
    blocks, size = x.shape[:2]
    vector = simd.LANES * 4
    part = np.float32(1) / np.float32(size)
    for block in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        source = simd.address(x) + block * size * vector
        total = simd.splat(np.float32(0))
        whole = size // PLACES * PLACES
        for chunk in range(0, whole, PLACES * 64):
            t = simd.tile(PLACES, 1)
            for i in range(chunk, min(whole, chunk + PLACES * 64), PLACES):
                t = simd.tile_load_add(t, source + i * vector, vector)
            total = simd.add(total, simd.tile_sum(t))
        for i in range(whole, size):
            total = simd.add(total, simd.load(source + i * vector))
        store_channels(y, room, simd.mul(total, simd.splat(part)), block, channels, ith)


def store_channels(y, room, value, block, channels, ith):
    """Write a block's channels to the plain y, and not the lanes that are none."""
    per_image = (channels + simd.LANES - 1) // simd.LANES
    at = block % per_image * simd.LANES
    first = block // per_image * channels + at
    if at + simd.LANES <= channels:
        simd.store(simd.address(y) + first * 4, value)
    else:
        simd.store(simd.address(room) + ith * simd.LANES * 4, value)
        for lane in range(channels - at):
            y[first + lane] = room[ith, lane]
