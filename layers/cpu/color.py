"""Colours on the cpu: pixel by pixel, in whole numbers."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..color import HALF, LUMA, PACKED, SHIFT, U_TO_B, U_TO_G, V_TO_G, V_TO_R, Y_SCALE, ImageColor

RED, GREEN, BLUE = LUMA


def from_frame(wanted: bool):
    """The predicate of a kernel for a camera's frames, or for pixels whose channels lie side by side."""
    return lambda call: call.layer.planar == wanted or f"its source is {call.layer.source}"


def bind_pixels(call: Call) -> dict:
    r, g, b = PACKED[call.layer.source]
    if call.layer.target == "BGR":
        r, b = b, r
    x, y = ((prod(call.shape(name)[:3]), call.shape(name)[3]) for name in ("x", "y"))
    gray = call.layer.target == "GRAY" != call.layer.source
    return dict(x=View("x", x), y=View("y", y), r=r, g=g, b=b, gray=int(gray))


@kernel(ImageColor, device="cpu", bind=bind_pixels, when=from_frame(False), split=("x", "y"))
def pixels(x, y, r, g, b, gray):
    count, channels = y.shape
    for i in range(count):
        if gray:
            total = RED * np.int64(x[i, r]) + GREEN * np.int64(x[i, g]) + BLUE * np.int64(x[i, b])
            y[i, 0] = np.uint8((total + 0x8000) >> 16)
        else:
            y[i, 0] = x[i, r]
            if channels == 3:
                y[i, 1] = x[i, g]
                y[i, 2] = x[i, b]


def bind_frame(call: Call) -> dict:
    n, h, w, _ = call.shape("y")
    u0, v0, row, column = call.layer.chroma(h, w)
    x = View("x", (n, prod(call.shape("x")[1:])))
    return dict(x=x, u0=u0, v0=v0, to_row=row, to_column=column, red=2 * (call.layer.target == "BGR"))


@kernel(ImageColor, device="cpu", bind=bind_frame, when=from_frame(True))
def frame(x, y, u0, v0, to_row, to_column, red, ith, nth):
    """`red` is y's channel of red; blue is across from it."""
    n, h, w, channels = y.shape
    for row in range(n * h * ith // nth, n * h * (ith + 1) // nth):
        image, i = row // h, row % h
        for j in range(w):
            light = np.int64(x[image, i * w + j])
            if channels == 1:
                y[image, i, j, 0] = np.uint8(light)
                continue
            at = i // 2 * to_row + j // 2 * to_column
            u, v = np.int64(x[image, u0 + at]) - 128, np.int64(x[image, v0 + at]) - 128
            base = max(light - 16, 0) * Y_SCALE + HALF
            y[image, i, j, red] = np.uint8(min(max((base + V_TO_R * v) >> SHIFT, 0), 255))
            y[image, i, j, 1] = np.uint8(min(max((base + V_TO_G * v + U_TO_G * u) >> SHIFT, 0), 255))
            y[image, i, j, 2 - red] = np.uint8(min(max((base + U_TO_B * u) >> SHIFT, 0), 255))
