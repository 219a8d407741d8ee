"""Permute, ShuffleChannel and Pad on the GPU. (Flatten and Reshape are aliases: there is nothing to do.)"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, View, kernel
from ..reshape import Pad, Permute, ShuffleChannel
from .blocks import divide, flat

RANK = 6


def bind_permute(call: Call) -> dict:
    """Sizes of y's axes and x's strides along them, as numbers size1..size5 and step0..step5, filled up in front.

    Axes of size 1 are dropped and axes that stay neighbours are one, so that few are left.
    """
    sizes, steps = _merged(call)
    fill = RANK - len(sizes)
    sizes, steps = [1] * fill + sizes, [0] * fill + steps
    numbers = {f"size{i}": size for i, size in enumerate(sizes)} | {
        f"step{i}": s for i, s in enumerate(steps)
    }
    return flat(call, "x", "y") | numbers


def _merged(call: Call) -> tuple[list[int], list[int]]:
    shape = call.shape("x")
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    sizes, steps = [1], [0]
    for axis in call.layer.order:
        size, step = shape[axis], strides[axis]
        if size == 1:
            continue
        if sizes[-1] == 1 or steps[-1] == size * step:
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
    return sizes, steps


def few_axes(call: Call) -> bool | str:
    rank = len(_merged(call)[0])
    return rank <= RANK or f"{rank} axes move, more than {RANK}"


@kernel(Permute, device="cuda", bind=bind_permute, when=few_axes)
def permute(
    x, y, size1, size2, size3, size4, size5, step0, step1, step2, step3, step4, step5, items, ith, nth
):
    for i in range(ith, items, nth):
        a = divide(i, size5)
        b = divide(a, size4)
        c = divide(b, size3)
        d = divide(c, size2)
        e = divide(d, size1)
        source = (i - a * size5) * step5 + (a - b * size4) * step4 + (b - c * size3) * step3
        y[i] = x[source + (c - d * size2) * step2 + (d - e * size1) * step1 + e * step0]


def bind_shuffle(call: Call) -> dict:
    _, c, *rest = call.shape("x")
    return flat(call, "x", "y") | dict(channels=c, size=prod(rest))


@kernel(ShuffleChannel, device="cuda", bind=bind_shuffle)
def shuffle(x, y, channels, group, size, items, ith, nth):
    for i in range(ith, items, nth):
        plane = i // size
        channel = plane % channels
        source = plane - channel + channel % group * (channels // group) + channel // group
        y[i] = x[source * size + i - plane * size]


def bind_pad(call: Call) -> dict:
    """Both as (planes, D, H, W), where an axis is 1 that is not padded."""
    frame = [(0, 0)] * 3 + call.layer.frame(len(call.shape("x")))
    (front, _), (top, _), (left, _) = frame[-3:]
    bound: dict = {}
    for name in ("x", "y"):
        sizes = (1, 1, 1, *call.shape(name))
        bound[name] = View(name, (prod(sizes[:-3]), *sizes[-3:]))
    return bound | dict(front=front, top=top, left=left, items=prod(bound["y"].shape))


def by_a_number(call: Call) -> bool | str:
    if getattr(call.layer, "mode", "constant") != "constant":
        return f"its mode is {call.layer.mode!r}"
    padded = len(call.layer.pads) // 2
    return padded <= 3 or f"it pads {padded} axes, more than 3"


@kernel(Pad, device="cuda", bind=bind_pad, when=by_a_number)
def pad(x, y, front, top, left, value, items, ith, nth):
    _, depth, height, width = y.shape
    _, d, h, w = x.shape
    for item in range(ith, items, nth):
        rest = item // width
        j, i, k, plane = item - rest * width, rest % height, rest // height % depth, rest // height // depth
        inside = front <= k < front + d and top <= i < top + h and left <= j < left + w
        y[plane, k, i, j] = x[plane, k - front, i - top, j - left] if inside else value
