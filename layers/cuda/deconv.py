"""Deconvolution on the GPU: every element of y gathers what the taps of its filters spread into it."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..conv import Deconvolution
from .blocks import flat
from .conv import geometry, in_two_axes, results
from .fused import KEEP
from .window import spread


def bind(call: Call) -> dict:
    per_group = call.shape("y")[1] // call.layer.group
    plain = dict(act=KEEP, alpha=0.0, beta=0.0, residual=View("", (0,)))
    return flat(call, "x", "w", "y") | geometry(call) | plain | dict(per_group=per_group, b=call.flat("b"))


kernel(Deconvolution, device="cuda", bind=bind, when=in_two_axes, name="spread")(results(spread(np.float32)))
