"""Im2col, SPP, AdaptivePooling, Upsample, Crop and Filter on the cpu: loops over planes, each thread with its own."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..select import Crop, Filter
from ..window import SPP, AdaptivePooling, Im2col, Upsample


def bind_columns(call: Call) -> dict:
    layer, (n, c, h, w), (_, _, oh, ow) = call.layer, call.shape("x"), call.shape("y")
    (kh, kw), (stride_h, stride_w), (dilation_h, dilation_w) = layer.kernel, layer.stride, layer.dilation
    return dict(
        x=View("x", (n * c, h, w)), y=View("y", (n * c, kh * kw, oh, ow)), kw=kw, stride_h=stride_h,
        stride_w=stride_w, dilation_h=dilation_h, dilation_w=dilation_w, top=layer.pad[0], left=layer.pad[1],
    )  # fmt: skip


@kernel(Im2col, device="cpu", bind=bind_columns, split=("x", "y"))
def im2col(x, y, kw, stride_h, stride_w, dilation_h, dilation_w, top, left):
    planes, taps, oh, ow = y.shape
    _, h, w = x.shape
    for plane in range(planes):
        for tap in range(taps):
            for i in range(oh):
                row = i * stride_h + tap // kw * dilation_h - top
                for j in range(ow):
                    column = j * stride_w + tap % kw * dilation_w - left
                    inside = row >= 0 and row < h and column >= 0 and column < w
                    y[plane, tap, i, j] = x[plane, row, column] if inside else np.float32(0)


def bind_pyramid(call: Call) -> list[Stage]:
    """A stage a level: its bins lie behind those of the levels before."""
    layer, (n, c, h, w), stages, before = call.layer, call.shape("x"), [], 0
    for bins in (2**level for level in range(layer.levels)):
        (kh, top), (kw, left) = layer.windows(h, bins), layer.windows(w, bins)
        bound = dict(
            x=View("x", (n, c, h, w)), y=View("y", call.shape("y")), before=before, bins=bins, kh=kh, kw=kw,
            top=top, left=left, average=int(layer.method == "average"),
        )  # fmt: skip
        stages.append(Stage(bound))
        before += c * bins * bins
    return stages


@kernel(SPP, device="cpu", bind=bind_pyramid)
def pyramid(x, y, before, bins, kh, kw, top, left, average, ith, nth):
    n, c, h, w = x.shape
    for plane in range(n * c * ith // nth, n * c * (ith + 1) // nth):
        image, channel = plane // c, plane % c
        for part in range(bins * bins):
            row, column = part // bins * kh - top, part % bins * kw - left
            result = np.float32(0) if average == 1 else np.float32(-np.inf)
            for i in range(max(0, row), min(h, row + kh)):
                for j in range(max(0, column), min(w, column + kw)):
                    value = x[image, channel, i, j]
                    if average == 1:
                        result += value
                    else:
                        result = value if value > result else result
            if average == 1:
                result /= np.float32(kh * kw)
            y[image, before + channel * bins * bins + part] = result


def bind_adaptive(call: Call) -> dict:
    layer, (n, c, h, w), (_, _, oh, ow) = call.layer, call.shape("x"), call.shape("y")
    ends = [Packed(e.astype(np.int32)) for axis, s in enumerate((h, w)) for e in layer.windows(s, axis)]
    return dict(
        x=View("x", (n * c, h, w)), y=View("y", (n * c, oh, ow)), average=layer.method == "average",
        **dict(zip(("top", "bottom", "left", "right"), ends, strict=True)),
    )  # fmt: skip


@kernel(AdaptivePooling, device="cpu", bind=bind_adaptive, split=("x", "y"))
def adaptive(x, y, top, bottom, left, right, average):
    planes, oh, ow = y.shape
    for plane in range(planes):
        for oy in range(oh):
            for ox in range(ow):
                result = np.float32(0) if average == 1 else np.float32(-np.inf)
                for i in range(top[oy], bottom[oy]):
                    for j in range(left[ox], right[ox]):
                        value = x[plane, i, j]
                        if average == 1:
                            result += value
                        else:
                            result = value if value > result else result
                if average == 1:
                    result /= np.float32((bottom[oy] - top[oy]) * (right[ox] - left[ox]))
                y[plane, oy, ox] = result


def bind_upsample(call: Call) -> dict:
    n, c, h, w = call.shape("x")
    planes = n * c
    return dict(
        x=View("x", (planes, h * w)), mask=View("mask", (planes, h * w)),
        y=View("y", (planes, prod(call.shape("y")[2:]))),
    )  # fmt: skip


@kernel(Upsample, device="cpu", bind=bind_upsample, split=("x", "mask", "y"))
def unpool(x, mask, y):
    planes, size = x.shape
    for plane in range(planes):
        for i in range(y.shape[1]):
            y[plane, i] = np.float32(0)
        for i in range(size):
            at = int(mask[plane, i])
            if at >= 0 and at < y.shape[1]:
                y[plane, at] = x[plane, i]


def bind_crop(call: Call) -> dict:
    """Where each row of y begins in x, and along the last axis."""
    ranges = call.layer.ranges(call.specs["x"], call.specs["like"])
    sizes, rows = call.shape("x"), np.zeros(1, np.int64)
    for (first, count), size in zip(ranges[:-1], sizes[:-1], strict=True):
        rows = (rows[:, None] * size + first + np.arange(count)).reshape(-1)
    shape = (prod(sizes[:-1]), sizes[-1])
    return dict(
        x=View("x", shape), y=View("y", (len(rows), ranges[-1][1])), rows=Packed(rows), at=ranges[-1][0]
    )


@kernel(Crop, device="cpu", bind=bind_crop)
def crop(x, y, rows, at, ith, nth):
    count, size = y.shape
    for row in range(count * ith // nth, count * (ith + 1) // nth):
        for i in range(size):
            y[row, i] = x[rows[row], at + i]


def bind_filter(call: Call) -> list[Stage]:
    count = len(call.layer.inputs) - 1
    n = call.shape("xs0")[0]
    stages = []
    for i in range(count):
        shape = (n, prod(call.shape(f"xs{i}")[1:]))
        bound = dict(x=View(f"xs{i}", shape), y=View(f"y{i}", shape), selector=call.flat(f"xs{count}"))
        stages.append(Stage(bound))
    return stages


@kernel(Filter, device="cpu", bind=bind_filter)
def selected(x, y, selector, ith, nth):
    """Each thread its share of the columns."""
    images, size = x.shape
    first, last = size * ith // nth, size * (ith + 1) // nth
    found = 0
    for image in range(images):
        if selector[image] != 0:
            for i in range(first, last):
                y[found, i] = x[image, i]
            found += 1
    for image in range(found, images):
        for i in range(first, last):
            y[image, i] = np.float32(0)
