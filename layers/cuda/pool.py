"""Pooling on the GPU: a thread a window, or four in a row where their size is known (pool.cu), or a block an image."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..pool import Pooling
from . import native
from .blocks import LOWEST, THREADS, block_max, block_sum, blocks, divide, flat
from .card import numba_cuda

cuda = numba_cuda()

PLACES = 4  # pool.cu's windows a thread
WIDEST = 7


def bind_windows(call: Call) -> dict:
    layer, (h, w), (oh, ow) = call.layer, call.shape("x")[2:], call.shape("y")[2:]
    bound = flat(call, "x", "y") | dict(
        h=h, w=w, oh=oh, ow=ow, kh=layer.kernel[0], kw=layer.kernel[1],
        stride_h=layer.stride[0], stride_w=layer.stride[1], top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip
    if layer.method == "average":
        counts = (layer.counts(size, axis).astype(np.float32) for axis, size in enumerate((h, w)))
        bound |= zip(("count_h", "count_w"), map(Packed, counts), strict=True)
    return bound


def bind_image(call: Call) -> dict:
    n, c, *size = call.shape("x")
    return dict(x=View("x", (n * c, prod(size))), y=View("y", (n * c,))) | blocks(n * c)


def serves(method: str, whole: bool):
    """The predicate of a kernel for this method, over windows or over the whole image."""

    def predicate(call: Call) -> bool | str:
        layer = call.layer
        if layer.method != method:
            return f"its method is {layer.method!r}"
        if len(call.shape("x")) != 4:
            return "its images have not two axes"
        return layer.global_pooling == whole or f"global_pooling is {layer.global_pooling}"

    return predicate


@kernel(Pooling, device="cuda", bind=bind_windows, when=serves("max", whole=False))
def max_windows(x, y, h, w, oh, ow, kh, kw, stride_h, stride_w, top, left, items, ith, nth):
    for i in range(ith, items, nth):
        row = divide(i, ow)
        plane = divide(row, oh)
        ox, oy = i - row * ow, row - plane * oh
        iy, ix = oy * stride_h - top, ox * stride_w - left
        best = LOWEST
        for ky in range(max(0, -iy), min(kh, h - iy)):
            start = (plane * h + iy + ky) * w + ix
            for kx in range(max(0, -ix), min(kw, w - ix)):
                best = max(best, x[start + kx])
        y[i] = best


@kernel(Pooling, device="cuda", bind=bind_windows, when=serves("average", whole=False))
def average_windows(
    x, y, count_h, count_w, h, w, oh, ow, kh, kw, stride_h, stride_w, top, left, items, ith, nth
):
    for i in range(ith, items, nth):
        row = divide(i, ow)
        plane = divide(row, oh)
        ox, oy = i - row * ow, row - plane * oh
        iy, ix = oy * stride_h - top, ox * stride_w - left
        total = np.float32(0)
        for ky in range(max(0, -iy), min(kh, h - iy)):
            start = (plane * h + iy + ky) * w + ix
            for kx in range(max(0, -ix), min(kw, w - ix)):
                total += x[start + kx]
        y[i] = total / (count_h[oy] * count_w[ox])


@kernel(Pooling, device="cuda", bind=bind_image, when=serves("max", whole=True))
def max_image(x, y, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    plane = cuda.blockIdx.x
    best = LOWEST
    for i in range(cuda.threadIdx.x, x.shape[1], threads):
        best = max(best, x[plane, i])
    best = block_max(best, room)
    if cuda.threadIdx.x == 0:
        y[plane] = best


@kernel(Pooling, device="cuda", bind=bind_image, when=serves("average", whole=True))
def average_image(x, y, threads, blocks_x):
    room = cuda.shared.array(THREADS, np.float32)
    plane, size = cuda.blockIdx.x, x.shape[1]
    total = np.float32(0)
    for i in range(cuda.threadIdx.x, size, threads):
        total += x[plane, i]
    total = block_sum(total, room)
    if cuda.threadIdx.x == 0:
        y[plane] = total / np.float32(size)


@native.declare("pool.cu")
def pool_taps(x, y, count_h, count_w, h, w, oh, ow, top, left, items, ith, nth):
    """Written in pool.cu."""


def bind_taps(call: Call) -> Stage:
    bound, (*planes, ow) = bind_windows(call), call.shape("y")
    average, none = call.layer.method == "average", View("", (0,))
    kh, kw, sh, sw = (bound[name] for name in ("kh", "kw", "stride_h", "stride_w"))
    function = native.variant(
        pool_taps, f"pool_{kh}x{kw}{'_average' * average}", KH=kh, KW=kw, SH=sh, SW=sw, AVERAGE=int(average)
    )
    bound = dict(count_h=none, count_w=none) | bound | dict(items=prod(planes) * -(-ow // PLACES))
    return Stage(bound, function=function)


def small_windows(call: Call) -> bool | str:
    verdict = serves(call.layer.method, whole=False)(call)
    if verdict is not True:
        return verdict
    return max(call.layer.kernel) <= WIDEST or f"windows {list(call.layer.kernel)} are too wide to unroll"


kernel(Pooling, device="cuda", bind=bind_taps, when=native.serves(small_windows), score=2.0)(pool_taps)
