"""Deconvolution on the GPU: every element of y gathers what the taps of its filters spread into it."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, kernel
from ..conv import Deconvolution
from .blocks import divide, flat
from .conv import geometry, in_two_axes


def bind(call: Call) -> dict:
    m = call.shape("y")[1]
    return (
        flat(call, "x", "w", "y") | geometry(call) | dict(per_group=m // call.layer.group, b=call.flat("b"))
    )


@kernel(Deconvolution, device="cuda", bind=bind, when=in_two_axes)
def spread(
    x, w, b, y, c, h, width, m, oh, ow, kh, kw, per_group, stride_h, stride_w, dilation_h, dilation_w, top, left,
    items, ith, nth,
):  # fmt: skip
    """`c` counts the channels of a group. A tap of y's place (oy, ox) comes from x where the stride divides."""
    for item in range(ith, items, nth):
        row = divide(item, ow)
        plane = divide(row, oh)
        ox, oy = item - row * ow, row - plane * oh
        image = divide(plane, m)
        out = plane - image * m
        group = divide(out, per_group)
        filter = out - group * per_group
        total = np.float32(0)
        for ky in range(kh):
            down = oy + top - ky * dilation_h
            iy = down // stride_h
            if down < 0 or iy * stride_h != down or iy >= h:
                continue
            for kx in range(kw):
                across = ox + left - kx * dilation_w
                ix = across // stride_w
                if across < 0 or ix * stride_w != across or ix >= width:
                    continue
                for channel in range(c):
                    source = group * c + channel
                    value = x[((image * (m // per_group) * c + source) * h + iy) * width + ix]
                    total += value * w[((source * per_group + filter) * kh + ky) * kw + kx]
        y[item] = total + b[out] if b.size > 0 else total
