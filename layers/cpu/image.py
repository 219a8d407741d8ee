"""Images on the cpu: from tables of which pixels each row and column of y is made of. Threads share y's rows."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, View, kernel
from ..image import BITS, BoxesToImage, ImageResize, ImageToTensor

HALF, SHIFT = 1 << (BITS - 1), BITS


def smooth(wanted: bool):
    """The predicate of a kernel for filters that are Pillow's, or for those that are not."""
    return lambda call: call.layer.smooth == wanted or f"its filter is {call.layer.filter!r}"


def bind_pairs(call: Call) -> dict:
    _, h, w, _ = call.shape("x")
    rows, columns = call.layer.windows(h, w)
    bound: dict = dict(top=rows.inside[0], left=columns.inside[0])
    for side, window, name in ((h, rows, "row"), (w, columns, "column")):
        low, high, share = call.layer.pairs(side, window)
        bound |= {f"{name}0": Packed(low), f"{name}1": Packed(high), f"{name}_part": Packed(share)}
    return bound


@kernel(ImageResize, device="cpu", bind=bind_pairs, when=smooth(False))
def between_pixels(x, y, row0, row1, row_part, column0, column1, column_part, top, left, fill, ith, nth):
    n, oh, ow, channels = y.shape
    one = np.float32(1)
    for row in range(n * oh * ith // nth, n * oh * (ith + 1) // nth):
        image, oy = row // oh, row % oh
        bottom, right = top + row0.size, left + column0.size
        if oy < top or oy >= bottom:
            for ox in range(ow):
                for c in range(channels):
                    y[image, oy, ox, c] = np.float32(fill)
            continue
        upper, lower, down = row0[oy - top], row1[oy - top], row_part[oy - top]
        for ox in range(ow):
            if ox < left or ox >= right:
                for c in range(channels):
                    y[image, oy, ox, c] = np.float32(fill)
                continue
            first, second, across = column0[ox - left], column1[ox - left], column_part[ox - left]
            for c in range(channels):
                a = np.float32(x[image, upper, first, c]) * (one - down)
                a += np.float32(x[image, lower, first, c]) * down
                b = np.float32(x[image, upper, second, c]) * (one - down)
                b += np.float32(x[image, lower, second, c]) * down
                y[image, oy, ox, c] = a * (one - across) + b * across


def bind_weights(call: Call) -> dict:
    _, h, w, c = call.shape("x")
    rows, columns = call.layer.windows(h, w)
    bound: dict = dict(top=rows.inside[0], left=columns.inside[0], fill=int(call.layer.fill))
    for side, window, name in ((h, rows, "row"), (w, columns, "column")):
        first, count, weights = call.layer.weights(side, window)
        bound |= {
            f"{name}0": Packed(first),
            f"{name}_count": Packed(count),
            f"{name}_weights": Packed(weights),
        }
    # of each thread: so many rows of x, resized across, as one row of y is made of
    kept = max(1, int(bound["row_count"].data.max(initial=0)))
    return bound | dict(room=Scratch((call.threads, kept, max(1, len(bound["column0"].data)) * c), "uint8"))


@kernel(ImageResize, device="cpu", bind=bind_weights, when=smooth(True))
def under_a_curve(
    x, y, row0, row_count, row_weights, column0, column_count, column_weights, room, top, left, fill, ith, nth
):  # fmt: skip
    n, oh, ow, channels = y.shape
    kept = room.shape[1]
    bottom, right = top + row0.size, left + column0.size
    shown, made = (
        -1,
        0,
    )  # of which image the rows in `room` are, and the first row of x that is not among them yet
    for row in range(n * oh * ith // nth, n * oh * (ith + 1) // nth):
        image, oy = row // oh, row % oh
        for ox in range(ow):
            if oy < top or oy >= bottom or ox < left or ox >= right:
                for c in range(channels):
                    y[image, oy, ox, c] = np.uint8(fill)
        if oy < top or oy >= bottom:
            continue
        first, count = row0[oy - top], row_count[oy - top]
        if image != shown or made < first:
            shown, made = image, first
        for iy in range(made, first + count):
            for j in range(column0.size):
                for c in range(channels):
                    total = HALF
                    for k in range(column_count[j]):
                        total += np.int64(x[image, iy, column0[j] + k, c]) * column_weights[j, k]
                    room[ith, iy % kept, j * channels + c] = np.uint8(min(max(total >> SHIFT, 0), 255))
        made = max(made, first + count)
        for j in range(column0.size):
            for c in range(channels):
                total = HALF
                for k in range(count):
                    total += (
                        np.int64(room[ith, (first + k) % kept, j * channels + c]) * row_weights[oy - top, k]
                    )
                y[image, oy, left + j, c] = np.uint8(min(max(total >> SHIFT, 0), 255))


def bind_channels(call: Call) -> dict:
    order = np.array(call.layer.channels(call.specs["x"]), np.int64)
    of_each = np.ones(len(order), np.float32)
    mean, scale = (np.asarray(v, np.float32) * of_each for v in (call.layer.mean, call.layer.scale))
    return dict(order=Packed(order), mean=Packed(mean), scale=Packed(scale))


@kernel(ImageToTensor, device="cpu", bind=bind_channels)
def to_planes(x, y, order, mean, scale, ith, nth):
    n, channels, h, w = y.shape
    for row in range(n * h * ith // nth, n * h * (ith + 1) // nth):
        image, i = row // h, row % h
        for c in range(channels):
            source, less, times = order[c], mean[c], scale[c]
            for j in range(w):
                y[image, c, i, j] = (np.float32(x[image, i, j, source]) - less) * times


def bind_boxes(call: Call) -> dict:
    (down, across), (high, wide), (h, w) = call.layer.steps(call.shape("image"))
    rows = (prod(call.shape("x")[:-1]), call.shape("x")[-1])
    bound = dict(across=across, down=down, wide=wide, high=high, width=float(w), height=float(h))
    return dict(x=View("x", rows), y=View("y", rows)) | bound


@kernel(BoxesToImage, device="cpu", bind=bind_boxes, split=("x", "y"))
def boxes_to_image(x, y, across, down, wide, high, width, height):
    rows, columns = x.shape
    zero = np.float32(0)
    for row in range(rows):
        for i in range(columns - 4):
            y[row, i] = x[row, i]
        for i in range(columns - 4, columns):
            if (columns - i) % 2 == 0:
                place = (x[row, i] + np.float32(across)) * np.float32(wide)
                y[row, i] = min(max(place, zero), np.float32(width))
            else:
                place = (x[row, i] + np.float32(down)) * np.float32(high)
                y[row, i] = min(max(place, zero), np.float32(height))
