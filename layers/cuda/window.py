"""window: what one result of a convolution or of its transpose sums up, in float32 or in exact int32.

    windowed(number)   the numbers of x under a filter, times its weights
    spread(number)     what the taps of filters spread into one place of y: a tap of (oy, ox) comes from x where the
                       stride divides; weights lie as (channels, filters of a group, kh, kw)

`image` and `out` say which image and which channel of y; c counts the channels of a group of x, m all of y's, of which
`per_group` are of a group. x_zero is what padding holds: it adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .blocks import divide
from .card import numba_cuda

cuda = numba_cuda()


@cache
def windowed(number: type) -> Callable:
    @cuda.jit(device=True)
    def window(
        x, w, image, out, oy, ox, c, h, width, m, kh, kw, per_group, stride_h, stride_w, dilation_h, dilation_w,
        top, left, x_zero,
    ):  # fmt: skip
        start = (image * divide(m, per_group) + divide(out, per_group)) * c
        iy, ix = oy * stride_h - top, ox * stride_w - left
        total = number(0)
        for channel in range(c):
            source = (start + channel) * h * width
            weights = (out * c + channel) * kh * kw
            for ky in range(kh):
                i = iy + ky * dilation_h
                if 0 <= i < h:
                    for kx in range(kw):
                        j = ix + kx * dilation_w
                        if 0 <= j < width:
                            value = number(x[source + i * width + j]) - number(x_zero)
                            total = number(total + number(value) * number(w[weights + ky * kw + kx]))
        return total

    return window


@cache
def spread(number: type) -> Callable:
    @cuda.jit(device=True)
    def spread_taps(
        x, w, image, out, oy, ox, c, h, width, m, kh, kw, per_group, stride_h, stride_w, dilation_h, dilation_w,
        top, left, x_zero,
    ):  # fmt: skip
        group = divide(out, per_group)
        filter = out - group * per_group
        total = number(0)
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
                    at = ((image * divide(m, per_group) * c + source) * h + iy) * width + ix
                    tap = ((source * per_group + filter) * kh + ky) * kw + kx
                    value = number(x[at]) - number(x_zero)
                    total = number(total + number(value) * number(w[tap]))
        return total

    return spread_taps
