"""QuantizedDeconvolution on the GPU: every element of y gathers what the taps of its filters spread into it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ..quantized import QuantizedDeconvolution
from .blocks import divide
from .card import numba_cuda
from .conv import geometry, in_two_axes
from .quantized import FINISH, as_byte, bind_weighted

cuda = numba_cuda()


def bind(call: Call) -> Stage:
    per_group = call.shape("y")[1] // call.layer.group
    bound = bind_weighted(call) | geometry(call) | dict(per_group=per_group)
    return Stage(bound, function=spread(FINISH[call.layer.to]))


@cache
def spread(finish: Callable) -> Callable:
    """Every result's exact sum, and what `finish` makes of it. `c` counts the channels of a group."""

    def spread_products(
        x, w, b, multiplier, slope, residual, y, c, h, width, m, oh, ow, kh, kw, per_group, stride_h, stride_w,
        dilation_h, dilation_w, top, left, x_zero, residual_zero, residual_multiplier, low, high, zero,
        items, ith, nth,
    ):  # fmt: skip
        for item in range(ith, items, nth):
            row = divide(item, ow)
            plane = divide(row, oh)
            ox, oy = item - row * ow, row - plane * oh
            image = divide(plane, m)
            out = plane - image * m
            group = divide(out, per_group)
            filter = out - group * per_group
            total = np.int32(b[out])
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
                        at = ((image * (m // per_group) * c + source) * h + iy) * width + ix
                        number = np.int32(x[at]) - x_zero
                        tap = ((source * per_group + filter) * kh + ky) * kw + kx
                        total = np.int32(total + number * np.int32(w[tap]))
            added = np.int64(residual[item]) if residual.size > 0 else residual_zero
            below = slope[out] if slope.size > 0 else np.float32(1)
            y[item] = finish(
                total, multiplier[out], below, added, residual_zero, residual_multiplier, low, high, zero
            )

    return spread_products


kernel(QuantizedDeconvolution, device="cuda", dtype="int8", bind=bind, when=in_two_axes, name="spread")(
    spread(as_byte)
)
