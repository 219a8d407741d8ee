"""Convolution and pooling over volumes on the cpu: a plane of y, one tap after the other over whole rows of x."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.kernel import Bind, Call, Packed, View, kernel
from ..volume import AveragePooling3D, Convolution3D, Deconvolution3D, MaxPooling3D
from . import simd
from .halves import as_they_lie, number

WEIGHT = 4  # bytes of a weight; a number of a variant


def numbers(call: Call, *names: str) -> dict:
    """Attributes with a number an axis, as stride_d, stride_h, stride_w, ...; and front, top, left."""
    found = {
        f"{name}_{axis}": n
        for name in names
        for axis, n in zip("dhw", getattr(call.layer, name), strict=True)
    }
    return found | dict(zip(("front", "top", "left"), call.layer.pad[:3], strict=True))


def bind_filters(function: Callable) -> Bind:
    return lambda call: as_they_lie(call, function(), numbers(call, "stride", "dilation"), "w")


@kernel(Convolution3D, device="cpu", bind=bind_filters(lambda: convolve))
def convolve(
    x, w, b, y, group, stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w, front, top, left, ith, nth
):  # fmt: skip
    """Threads share the volumes of y."""
    n, m, od, oh, ow = y.shape
    _, _, depth, height, width = x.shape
    _, channels, kd, kh, kw = w.shape
    for volume in range(n * m * ith // nth, n * m * (ith + 1) // nth):
        image, out = volume // m, volume % m
        start = out // (m // group) * channels
        bias = b[out] if b.size > 0 else np.float32(0)
        filters = simd.address(w) + out * channels * kd * kh * kw * WEIGHT
        for oz in range(od):
            for oy in range(oh):
                for ox in range(ow):
                    y[image, out, oz, oy, ox] = bias
                for channel in range(channels):
                    for kz in range(kd):
                        iz = oz * stride_d + kz * dilation_d - front
                        if 0 <= iz < depth:
                            for ky in range(kh):
                                iy = oy * stride_h + ky * dilation_h - top
                                if 0 <= iy < height:
                                    for kx in range(kw):
                                        tap = number(
                                            filters + (((channel * kd + kz) * kh + ky) * kw + kx) * WEIGHT
                                        )
                                        shift = kx * dilation_w - left
                                        # the places whose tap kx is in the volume
                                        first = max(0, (stride_w - 1 - shift) // stride_w)
                                        last = min(ow, (width - 1 - shift) // stride_w + 1)
                                        for ox in range(first, last):
                                            value = x[image, start + channel, iz, iy, ox * stride_w + shift]
                                            y[image, out, oz, oy, ox] += tap * value


@kernel(Deconvolution3D, device="cpu", bind=bind_filters(lambda: spread))
def spread(
    x, w, b, y, group, stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w, front, top, left, ith, nth
):  # fmt: skip
    """Threads share the volumes of y, so that no two add to the same place."""
    n, m, od, oh, ow = y.shape
    _, c, depth, height, width = x.shape
    _, per_group, kd, kh, kw = w.shape
    for volume in range(n * m * ith // nth, n * m * (ith + 1) // nth):
        image, out = volume // m, volume % m
        start = out // per_group * (c // group)
        bias = b[out] if b.size > 0 else np.float32(0)
        for oz in range(od):
            for oy in range(oh):
                for ox in range(ow):
                    y[image, out, oz, oy, ox] = bias
        for channel in range(start, start + c // group):
            for kz in range(kd):
                for ky in range(kh):
                    for kx in range(kw):
                        place = (((channel * per_group + out % per_group) * kd + kz) * kh + ky) * kw + kx
                        tap = number(simd.address(w) + place * WEIGHT)
                        shift = kx * dilation_w - left
                        # the places of x whose tap kx is in y
                        first = max(0, (stride_w - 1 - shift) // stride_w)
                        last = min(width, (ow - 1 - shift) // stride_w + 1)
                        for iz in range(depth):
                            oz = iz * stride_d + kz * dilation_d - front
                            if 0 <= oz < od:
                                for iy in range(height):
                                    oy = iy * stride_h + ky * dilation_h - top
                                    if 0 <= oy < oh:
                                        for ix in range(first, last):
                                            value = tap * x[image, channel, iz, iy, ix]
                                            y[image, out, oz, oy, ix * stride_w + shift] += value


def bind_windows(call: Call) -> dict:
    bound = numbers(call, "kernel", "stride", "dilation")
    for name in ("x", "y", "place"):
        if name in call.specs:
            n, c, *rest = call.shape(name)
            bound[name] = View(name, (n * c, *rest))
    return bound


@kernel(MaxPooling3D, device="cpu", bind=bind_windows, split=("x", "y", "place"))
def largest(
    x, y, place, kernel_d, kernel_h, kernel_w, stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w,
    front, top, left,
):  # fmt: skip
    volumes, od, oh, ow = y.shape
    _, depth, height, width = x.shape
    for volume in range(volumes):
        for oz in range(od):
            for oy in range(oh):
                for ox in range(ow):
                    best, where = np.float32(-np.inf), -1
                    for kz in range(kernel_d):
                        iz = oz * stride_d + kz * dilation_d - front
                        for ky in range(kernel_h):
                            iy = oy * stride_h + ky * dilation_h - top
                            for kx in range(kernel_w):
                                ix = ox * stride_w + kx * dilation_w - left
                                if 0 <= iz < depth and 0 <= iy < height and 0 <= ix < width:
                                    value = x[volume, iz, iy, ix]
                                    if where < 0 or value > best:
                                        best, where = value, (iz * height + iy) * width + ix
                    y[volume, oz, oy, ox] = best
                    place[volume, oz, oy, ox] = where


def mean(wanted: bool):
    """The predicate of a kernel for the mean, or for norms."""
    return lambda call: (call.layer.power == 0) == wanted or f"its power is {call.layer.power}"


def bind_counts(call: Call) -> dict:
    sizes = call.shape("x")[2:]
    counts = [call.layer.counts(s, axis, call.layer.count_pad) for axis, s in enumerate(sizes)]
    return bind_windows(call) | {
        f"count_{axis}": Packed(count.astype(np.float32)) for axis, count in zip("dhw", counts, strict=True)
    }


@kernel(AveragePooling3D, device="cpu", bind=bind_counts, when=mean(True), split=("x", "y"))
def average(
    x, y, count_d, count_h, count_w, kernel_d, kernel_h, kernel_w, stride_d, stride_h, stride_w,
    dilation_d, dilation_h, dilation_w, front, top, left,
):  # fmt: skip
    volumes, od, oh, ow = y.shape
    _, depth, height, width = x.shape
    for volume in range(volumes):
        for oz in range(od):
            for oy in range(oh):
                for ox in range(ow):
                    total = np.float32(0)
                    for kz in range(kernel_d):
                        iz = oz * stride_d + kz * dilation_d - front
                        for ky in range(kernel_h):
                            iy = oy * stride_h + ky * dilation_h - top
                            for kx in range(kernel_w):
                                ix = ox * stride_w + kx * dilation_w - left
                                if 0 <= iz < depth and 0 <= iy < height and 0 <= ix < width:
                                    total += x[volume, iz, iy, ix]
                    y[volume, oz, oy, ox] = total / (count_d[oz] * count_h[oy] * count_w[ox])
