"""depthwise: one filter a channel. Little arithmetic: what counts is that neighbours read neighbours."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, kernel
from ..conv import Convolution
from .conv import bind as bind_direct
from .conv import serves as serves_direct
from .fused import finish


def serves(call: Call) -> bool | str:
    w, group = call.shape("w"), call.layer.group
    if len(w) == 4 and (w[1] != 1 or w[0] != group):
        return f"group={group}, C/group={w[1]}, M={w[0]}: not one filter a channel"
    return serves_direct(call)


@kernel(Convolution, device="cuda", bind=bind_direct, when=serves, score=5.0)
def depthwise(
    x, w, b, residual, y, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w,
    top, left, act, alpha, beta, items, ith, nth,
):  # fmt: skip
    for item in range(ith, items, nth):
        row = item // ow
        ox, oy, plane = item - row * ow, row % oh, row // oh
        iy, ix = oy * stride_h - top, ox * stride_w - left
        weights = plane % m * kh * kw
        total = np.float32(0)
        for ky in range(kh):
            i = iy + ky * dilation_h
            if 0 <= i < h:
                source = (plane * h + i) * width
                for kx in range(kw):
                    j = ix + kx * dilation_w
                    if 0 <= j < width:
                        total += x[source + j] * w[weights + ky * kw + kx]
        if b.size > 0:
            total += b[plane % m]
        if residual.size > 0:
            total += residual[item]
        y[item] = finish(total, act, alpha, beta)
