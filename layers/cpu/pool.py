"""Pooling on the cpu: plane by plane; a row of y takes in one row of x for each tap of the window."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Packed, View, kernel
from ..pool import Pooling


def bind_windows(call: Call) -> dict:
    layer, (h, w) = call.layer, call.shape("x")[2:]
    bound = dict(
        x=call.planes("x"), y=call.planes("y"), kh=layer.kernel[0], kw=layer.kernel[1],
        stride_h=layer.stride[0], stride_w=layer.stride[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip
    if layer.method == "average":
        counts = (layer.counts(size, axis).astype(np.float32) for axis, size in enumerate((h, w)))
        bound |= zip(("count_h", "count_w"), map(Packed, counts), strict=True)
    return bound


def bind_image(call: Call) -> dict:
    n, c, h, w = call.shape("x")
    return dict(x=View("x", (n * c, h * w)), y=View("y", (n * c,)))


def serves(method: str, whole: bool):
    """The predicate of a kernel for this method, over windows or over the whole image."""

    def predicate(call: Call) -> bool | str:
        layer = call.layer
        if layer.method != method:
            return f"its method is {layer.method!r}"
        return layer.global_pooling == whole or f"global_pooling is {layer.global_pooling}"

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
