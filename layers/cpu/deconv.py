"""Deconvolution on the cpu: every plane of y gathers what the taps of its filters spread into it."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, kernel
from ..conv import Deconvolution


def bind(call: Call) -> dict:
    layer = call.layer
    return dict(
        stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
        dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip


@kernel(Deconvolution, device="cpu", bind=bind)
def spread(x, w, b, y, group, stride_h, stride_w, dilation_h, dilation_w, top, left, ith, nth):
    """Planes of y are shared among the threads, so that no two add to the same place."""
    n, m, oh, ow = y.shape
    _, c, h, width = x.shape
    _, per_group, kh, kw = w.shape
    for plane in range(n * m * ith // nth, n * m * (ith + 1) // nth):
        image, out = plane // m, plane % m
        start = out // per_group * (c // group)
        bias = b[out] if b.size > 0 else np.float32(0)
        for oy in range(oh):
            for ox in range(ow):
                y[image, out, oy, ox] = bias
        for channel in range(start, start + c // group):
            for ky in range(kh):
                for kx in range(kw):
                    tap = w[channel, out % per_group, ky, kx]
                    shift = kx * dilation_w - left
                    # the places of x whose tap kx is in y
                    first = max(0, (stride_w - 1 - shift) // stride_w)
                    last = min(width, (ow - 1 - shift) // stride_w + 1)
                    for iy in range(h):
                        oy = iy * stride_h + ky * dilation_h - top
                        if 0 <= oy < oh:
                            for ix in range(first, last):
                                y[image, out, oy, ix * stride_w + shift] += tap * x[image, channel, iy, ix]
