"""Deconvolution on OpenCL: every element of y gathers what the taps of its filters spread into it."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, kernel
from ..conv import Deconvolution
from .conv import geometry, optional
from .source import written_in


def bind(call: Call) -> dict:
    return dict(
        x=call.flat("x"), w=call.flat("w"), y=call.flat("y"), items=prod(call.shape("y"))
    ) | geometry(call) | optional(call, "b")  # fmt: skip


@kernel(Deconvolution, device="opencl", bind=bind)
@written_in("geometry.cl", "spread.cl", "deconv.cl", number="float")
def deconv(
    x, w, b, y, c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group, items,
):  # fmt: skip
    """Written in deconv.cl."""
