"""ShuffleChannel and Pad on the cpu, and channels moved to the end; other Permutes are in strided.

(Flatten and Reshape are aliases: nothing to do.) Numbers of any dtype are only copied.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ...engine.layout import BLOCKED, PLAIN
from ..reshape import Pad, Permute, ShuffleChannel
from . import simd

ITEMSIZE = 4  # bytes of a number; of a variant


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


def channels_last(call: Call) -> bool | str:
    order = call.layer.order
    if len(order) >= 3 and order == (0, *range(2, len(order)), 1):
        return True
    return f"order is {order}: it does not move the channels to the end"


def bind_channels_last(call: Call) -> Stage:
    """x as (N, blocks, places, lanes), y as (N, places, C)."""
    n, c, *rest = call.shape("x")
    shape = (n, -(-c // call.lanes), prod(rest), call.lanes)
    params = dict(x=View("x", shape), y=View("y", (n, prod(rest), c)))
    return Stage(params, function=simd.of_items(channels_last_of_blocks, call))


@kernel(
    Permute, device="cpu", bind=bind_channels_last, when=channels_last, score=1.5,
    layouts={"x": BLOCKED, "y": PLAIN},
)  # fmt: skip
def channels_last_of_blocks(x, y, ith, nth):
    """Threads share the places of all images."""
    images, places, channels = y.shape
    whole = channels // simd.LANES
    for unit in range(images * places * ith // nth, images * places * (ith + 1) // nth):
        image, at = unit // places, unit % places
        row = simd.address(y) + (image * places + at) * channels * ITEMSIZE
        for block in range(whole):
            source = simd.address(x) + ((image * x.shape[1] + block) * places + at) * simd.LANES * ITEMSIZE
            simd.copy_vector(row + block * simd.LANES * ITEMSIZE, source, ITEMSIZE)
        for lane in range(channels - whole * simd.LANES):
            y[image, at, whole * simd.LANES + lane] = x[image, whole, at, lane]


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


def around_blocks(call: Call) -> bool | str:
    if len(call.layer.pads) != 4 or len(call.shape("x")) != 4:
        return "it frames other axes than an image's height and width"
    return constant(call)


def bind_pad_blocks(call: Call) -> Stage:
    top, left = call.layer.pads[:2]
    params = dict(x=call.planes("x", 3), y=call.planes("y", 3), top=top, left=left)
    return Stage(params, function=simd.of_items(pad_blocked, call))


@kernel(
    Pad, device="cpu", bind=bind_pad_blocks, when=around_blocks, score=1.5,
    layouts={"x": BLOCKED, "y": BLOCKED},
)  # fmt: skip
def pad_blocked(x, y, top, left, value, ith, nth):
    """Threads share the rows of all blocks."""
    (blocks, height, width), (_, h, w) = y.shape[:3], x.shape[:3]
    for row in range(blocks * height * ith // nth, blocks * height * (ith + 1) // nth):
        block, i = row // height, row % height
        for j in range(width):
            if top <= i < top + h and left <= j < left + w:
                to = simd.address(y) + (row * width + j) * simd.LANES * ITEMSIZE
                place = (block * h + i - top) * w + j - left
                simd.copy_vector(to, simd.address(x) + place * simd.LANES * ITEMSIZE, ITEMSIZE)
            else:
                for lane in range(simd.LANES):
                    y[block, i, j, lane] = value


def bind_places(call: Call) -> dict:
    """Both as (planes, D, H, W) by the axes that are framed, and of each of them which element of x lies where."""
    layer, shape = call.layer, call.shape("x")
    frame = layer.frame(len(shape))
    first = next((axis for axis, ends in enumerate(frame) if any(ends)), len(shape))
    axes = list(range(min(first, len(shape) - 1), len(shape)))
    bound: dict = {}
    for name in ("x", "y"):
        sizes = [call.shape(name)[axis] for axis in axes]
        bound[name] = View(name, (prod(call.shape(name)[: axes[0]]), *[1] * (3 - len(axes)), *sizes))
    tables = [np.zeros(1, np.int64)] * (3 - len(axes))
    tables += [layer.places(shape[axis], *frame[axis]).astype(np.int64) for axis in axes]
    return bound | {
        name: Packed(table) for name, table in zip(("depths", "rows", "columns"), tables, strict=True)
    }


def repeating(call: Call) -> bool | str:
    if call.layer.mode == "constant":
        return "its mode is 'constant'"
    ends = call.layer.frame(len(call.shape("x")))
    first = next((axis for axis, pair in enumerate(ends) if any(pair)), len(ends))
    return len(ends) - first <= 3 or f"it frames axes {len(ends) - first} from the end, more than 3"


@kernel(Pad, device="cpu", bind=bind_places, when=repeating, split=("x", "y"))
def pad_by_places(x, y, depths, rows, columns):
    planes, depth, height, width = y.shape
    for plane in range(planes):
        for k in range(depth):
            for i in range(height):
                for j in range(width):
                    y[plane, k, i, j] = x[plane, depths[k], rows[i], columns[j]]
