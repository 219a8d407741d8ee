"""Permute, ShuffleChannel and Pad on the cpu. (Flatten and Reshape are aliases: there is nothing to do.)"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, View, kernel
from ..reshape import Pad, Permute, ShuffleChannel

RANK = 6


def bind_permute(call: Call) -> dict:
    """Sizes of y's axes and x's strides along them, as numbers size0..size5 and step0..step5.

    Axes of size 1 are dropped and axes that stay neighbours are one, so that NCHW -> NHWC is a plain transposition.
    """
    sizes, steps = _merged(call)
    # the rank is filled up in the middle: threads share the first axis, the last is the inner loop
    fill = RANK - len(sizes)
    sizes = [*sizes[:1], *[1] * fill, *sizes[1:]]
    steps = [*steps[:1], *[0] * fill, *steps[1:]]
    numbers = {f"size{i}": size for i, size in enumerate(sizes)} | {
        f"step{i}": s for i, s in enumerate(steps)
    }
    return dict(x=call.flat("x"), y=call.flat("y")) | numbers


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


@kernel(Permute, device="cpu", bind=bind_permute, when=few_axes)
def permute(
    x, y, size0, size1, size2, size3, size4, size5, step0, step1, step2, step3, step4, step5, ith, nth
):
    """y in its own order, x wherever that is."""
    for a in range(size0 * ith // nth, size0 * (ith + 1) // nth):
        at = a * size1 * size2 * size3 * size4 * size5
        for b in range(size1):
            for c in range(size2):
                for d in range(size3):
                    for e in range(size4):
                        start = a * step0 + b * step1 + c * step2 + d * step3 + e * step4
                        for f in range(size5):
                            y[at + f] = x[start + f * step5]
                        at += size5


def bind_shuffle(call: Call) -> dict:
    n, c, *rest = call.shape("x")
    planes = (n * c, prod(rest))
    return dict(x=View("x", planes), y=View("y", planes), channels=c)


@kernel(ShuffleChannel, device="cpu", bind=bind_shuffle)
def shuffle(x, y, channels, group, ith, nth):
    planes, size = y.shape
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        channel = plane % channels
        source = plane - channel + channel % group * (channels // group) + channel // group
        for i in range(size):
            y[plane, i] = x[source, i]


def bind_pad(call: Call) -> dict:
    """Both as (planes, D, H, W), where D is 1 unless three axes are padded."""
    shape, axes = call.shape("x"), 3 if len(call.layer.pads) == 6 else 2
    (front, _), (top, _), (left, _) = [(0, 0), (0, 0), *call.layer.frame(len(shape))][-3:]
    bound = {}
    for name in ("x", "y"):
        sizes = (1, *call.shape(name))
        bound[name] = View(name, (prod(sizes[:-axes]), *(1,) * (3 - axes), *sizes[-axes:]))
    return bound | dict(front=front if axes == 3 else 0, top=top, left=left)


def constant(call: Call) -> bool | str:
    if len(call.layer.pads) > 6:
        return f"it frames {len(call.layer.pads) // 2} axes, more than 3"
    return call.layer.mode == "constant" or f"its mode is {call.layer.mode!r}"


@kernel(Pad, device="cpu", bind=bind_pad, when=constant, split=("x", "y"))
def pad(x, y, front, top, left, value):
    planes, depth, height, width = y.shape
    _, d, h, w = x.shape
    for plane in range(planes):
        for k in range(depth):
            for i in range(height):
                for j in range(width):
                    y[plane, k, i, j] = value
        for k in range(d):
            for i in range(h):
                for j in range(w):
                    y[plane, front + k, top + i, left + j] = x[plane, k, i, j]
