"""Convolution on the GPU, the plain way: a thread a result, for weights that are computed and for one filter a channel.

What has constant weights goes through gemm.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...engine.kernel import Call, kernel
from ..conv import Convolution
from .blocks import divide, flat
from .fused import finish, finish_of, finishes
from .window import windowed


def geometry(call: Call) -> dict:
    """Sizes, strides and padding as kernels name them; c and m count the channels of a group, and all filters."""
    layer, (_, c, h, width), (_, m, oh, ow) = call.layer, call.shape("x"), call.shape("y")
    kh, kw = call.shape("w")[2:]
    return dict(
        c=c // layer.group, h=h, width=width, m=m, oh=oh, ow=ow, kh=kh, kw=kw,
        stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
        dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip


def in_two_axes(call: Call) -> bool | str:
    return len(call.shape("x")) == 4 or "its images have not two axes"


def serves(call: Call) -> bool | str:
    return finishes(call.layer) if in_two_axes(call) is True else in_two_axes(call)


def bind(call: Call) -> dict:
    m = call.shape("y")[1]
    optional = dict(b=call.flat("b"), residual=call.flat("residual"), per_group=m // call.layer.group)
    return flat(call, "x", "w", "y") | geometry(call) | finish_of(call.layer) | optional


@cache
def results(sum_of: Callable) -> Callable:
    """A thread a result: the sum that `sum_of` adds up, and the bias, the residual and the activation."""

    def results_of(
        x, w, b, residual, y, c, h, width, m, oh, ow, kh, kw, per_group, stride_h, stride_w, dilation_h, dilation_w,
        top, left, act, alpha, beta, items, ith, nth,
    ):  # fmt: skip
        for item in range(ith, items, nth):
            row = divide(item, ow)
            plane = divide(row, oh)
            image = divide(plane, m)
            out = plane - image * m
            total = sum_of(
                x, w, image, out, row - plane * oh, item - row * ow, c, h, width, m, kh, kw, per_group, stride_h,
                stride_w, dilation_h, dilation_w, top, left, 0,
            )  # fmt: skip
            if b.size > 0:
                total += b[out]
            if residual.size > 0:
                total += residual[item]
            y[item] = finish(total, act, alpha, beta)

    return results_of


kernel(Convolution, device="cuda", bind=bind, when=serves, name="direct")(results(windowed(np.float32)))
