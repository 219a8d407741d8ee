"""QuantizedDeconvolution on the cpu: every plane of y gathers what the taps of its filters spread into it, as int32.

A tap reaches every stride-th place of a row of y. While they are summed up such places lie side by side, so that adding
a row of x is vector code.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Scratch, Stage, kernel
from ..quantized import QuantizedDeconvolution
from . import simd
from .rounding import RESULT, as_bytes, limits_of

result = as_bytes  # of a variant


def bind(call: Call) -> Stage:
    layer, (_, _, oh, ow) = call.layer, call.shape("y")
    room = (call.threads, oh, layer.stride[1], -(-ow // layer.stride[1]))
    return Stage(
        dict(
            residual=call.flat("residual"), gate=call.flat("gate"), room=Scratch(room, "int32"),
            stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
            dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1], residual_zero=float(layer.residual_zero),
        ) | limits_of(call),
        function=simd.variant(gather_taps, result=RESULT[layer.to]),
    )  # fmt: skip


@kernel(QuantizedDeconvolution, device="cpu", dtype="int8", bind=bind)
def gather_taps(
    x, w, b, multiplier, slope, residual, gate, y, room, group, stride_h, stride_w, dilation_h, dilation_w, top, left,
    x_zero, residual_zero, residual_multiplier, low, high, zero, ith, nth,
):  # fmt: skip
    """Threads share the planes of y."""
    n, m, oh, ow = y.shape
    _, c, h, width = x.shape
    _, per_group, kh, kw = w.shape
    wide = room.shape[3]
    for plane in range(n * m * ith // nth, n * m * (ith + 1) // nth):
        image, out = plane // m, plane % m
        start = out // per_group * (c // group)
        for oy in range(oh):
            for phase in range(stride_w):
                for i in range(wide):
                    room[ith, oy, phase, i] = b[out]
        for channel in range(start, start + c // group):
            for ky in range(kh):
                for kx in range(kw):
                    tap = w[channel, out % per_group, ky, kx]
                    # what x[ix] is multiplied by goes to y's place (ix + ahead) * stride_w + phase
                    ahead, phase = (kx * dilation_w - left) // stride_w, (kx * dilation_w - left) % stride_w
                    first = max(0, -ahead)
                    last = min(width, (ow - phase + stride_w - 1) // stride_w - ahead)
                    for iy in range(h):
                        oy = iy * stride_h + ky * dilation_h - top
                        if 0 <= oy < oh:
                            for ix in range(first, last):
                                added = tap * (x[image, channel, iy, ix] - x_zero)
                                room[ith, oy, phase, ix + ahead] += added
        for oy in range(oh):
            for ox in range(ow):
                acc = room[ith, oy, ox % stride_w, ox // stride_w]
                v = np.float32(acc) * multiplier[out]
                if residual.size > 0:
                    there = np.float32(residual[(plane * oh + oy) * ow + ox])
                    v += (there - residual_zero) * residual_multiplier
                if slope.size > 0:
                    v = v * slope[out] if v < np.float32(0) else v
                if gate.size > 0:
                    share = min(max(v + gate[out], np.float32(0)), np.float32(1))
                    v = v * share * gate[m + out] + gate[2 * m + out]
                y[image, out, oy, ox] = result(acc, v, low, high, zero)
