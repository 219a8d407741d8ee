"""GridSample on the cpu, for images: linear and nearest."""

from __future__ import annotations

import math

import numpy as np

from ...engine.kernel import Call, kernel
from ..sample import GridSample

PADDING = {"zeros": 0, "border": 1, "reflection": 2}


def bind(call: Call) -> dict:
    return dict(rule=PADDING[call.layer.padding], nearest=call.layer.method == "nearest")


def images(call: Call) -> bool | str:
    if len(call.shape("x")) != 4:
        return "x is no image"
    return call.layer.method != "cubic" or "its method is 'cubic'"


@kernel(GridSample, device="cpu", bind=bind, when=images)
def sample(x, grid, y, rule, nearest, corners, ith, nth):
    """Threads share the rows of y of all images."""
    n, c, oh, ow = y.shape
    _, _, h, w = x.shape
    for row in range(n * oh * ith // nth, n * oh * (ith + 1) // nth):
        image, i = row // oh, row % oh
        for j in range(ow):
            across = place(grid[image, i, j, 0], w, rule, corners)
            down = place(grid[image, i, j, 1], h, rule, corners)
            if nearest != 0:
                top, left, part_y, part_x = np.rint(down), np.rint(across), 0.0, 0.0
            else:
                top, left = math.floor(down), math.floor(across)
                part_y, part_x = down - top, across - left
            iy, ix = int(top), int(left)
            for channel in range(c):
                total = 0.0
                for dy in range(2):
                    for dx in range(2):
                        weight = (part_y if dy == 1 else 1 - part_y) * (part_x if dx == 1 else 1 - part_x)
                        inside = 0 <= iy + dy < h and 0 <= ix + dx < w
                        if weight != 0 and (inside or rule != 0):
                            cy, cx = min(max(iy + dy, 0), h - 1), min(max(ix + dx, 0), w - 1)
                            total += weight * x[image, channel, cy, cx]
                y[image, channel, i, j] = total


def place(at, size, rule, corners):
    """A number in -1..1 as a place among pixels; one that is far out is not far enough to overflow."""
    at = min(max(float(at), -1e6), 1e6)
    where = (at + 1) / 2 * (size - 1) if corners != 0 else ((at + 1) * size - 1) / 2
    if rule == 1:
        return min(max(where, 0.0), size - 1.0)
    if rule == 2:
        low = 0.0 if corners != 0 else -0.5
        span = size - 1.0 if corners != 0 else float(size)
        if span <= 0:
            return 0.0
        turn = math.fabs(where - low)
        turn -= math.floor(turn / (2 * span)) * (2 * span)
        return min(max(low + min(turn, 2 * span - turn), 0.0), size - 1.0)
    return where
