"""Deconvolution on the cpu: in blocks as convolutions of its phases (see lattice), which `direct` and `depthwise` do;
or plain: every plane of y gathers what the taps of its filters spread into it.
"""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, Stage, kernel
from ...engine.layout import BLOCKED
from ..conv import Deconvolution
from . import depthwise, direct, simd
from .fused import keep
from .halves import as_they_lie, number
from .lattice import phases

WEIGHT = 4  # bytes of a weight; a number of a variant
BLOCKS = {"x": BLOCKED, "y": BLOCKED}


def constants(call: Call) -> bool | str:
    """Weights are packed when the plan is made, so they must be there by then."""
    for name in ("w", "b"):
        if name not in call.constants and call.shape(name) != (0,):
            return f"{name} is not a constant"
    return True


def bind_phases(call: Call) -> list[Stage]:
    """A stage, or two, for each phase, with the taps that reach it."""
    w, group = call.constants["w"], call.layer.group
    c, m, kh, kw = w.shape
    filters = w.reshape(group, c // group, m, kh, kw).swapaxes(1, 2).reshape(group * m, c // group, kh, kw)
    return [
        stage
        for at in phases(call)
        for stage in direct.stages(call, filters[:, :, at.rows.taps][..., at.columns.taps], at, (keep, 0, 0))
    ]


def one_a_channel(call: Call) -> bool | str:
    taps = -(-call.shape("w")[3] // call.layer.stride[1])  # of a phase
    found = depthwise.one_a_channel(call, call.shape("w")[0], taps)
    return constants(call) if found is True else found


def bind_depthwise_phases(call: Call) -> list[Stage]:
    w = call.constants["w"]
    return [
        depthwise.stage(call, w[:, :, at.rows.taps][..., at.columns.taps], at, (keep, 0, 0))
        for at in phases(call)
    ]


kernel(Deconvolution, device="cpu", when=constants, bind=bind_phases, score=4.0, layouts=BLOCKS)(
    direct.direct
)
kernel(
    Deconvolution, device="cpu", when=one_a_channel, bind=bind_depthwise_phases, score=9.0, layouts=BLOCKS
)(depthwise.depthwise)


def bind(call: Call) -> Stage:
    layer = call.layer
    params = dict(
        stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
        dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip
    return as_they_lie(call, spread, params, "w")


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
                    place = ((channel * per_group + out % per_group) * kh + ky) * kw + kx
                    tap = number(simd.address(w) + place * WEIGHT)
                    shift = kx * dilation_w - left
                    # the places of x whose tap kx is in y
                    first = max(0, (stride_w - 1 - shift) // stride_w)
                    last = min(width, (ow - 1 - shift) // stride_w + 1)
                    for iy in range(h):
                        oy = iy * stride_h + ky * dilation_h - top
                        if 0 <= oy < oh:
                            for ix in range(first, last):
                                y[image, out, oy, ix * stride_w + shift] += tap * x[image, channel, iy, ix]
