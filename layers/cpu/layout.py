"""Reorder on the cpu: between the shape's own order and blocks of channels."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import Call, View, kernel
from ...engine.layout import BLOCKED, PLAIN
from ..layout import Reorder


def bind(call: Call) -> dict:
    """Planes of numbers (N * C, places) on one side, of vectors (N * blocks, places, lanes) on the other."""
    n, c, *rest = call.shape("x")
    places = int(np.prod(rest))
    shapes = {PLAIN: (n * c, places), BLOCKED: (n * -(-c // call.lanes), places, call.lanes)}
    return dict(
        x=View("x", shapes[call.layout("x")]), y=View("y", shapes[call.layout("y")]), channels=c
    )


@kernel(Reorder, device="cpu", bind=bind, layouts={"x": PLAIN, "y": BLOCKED})
def block(x, y, channels, ith, nth):
    blocks, places, lanes = y.shape
    per_image = (channels + lanes - 1) // lanes
    for b in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        first = b // per_image * channels + b % per_image * lanes
        filled = min(lanes, channels - b % per_image * lanes)
        for place in range(places):
            for lane in range(filled):
                y[b, place, lane] = x[first + lane, place]
            for lane in range(filled, lanes):
                y[b, place, lane] = np.float32(0)


@kernel(Reorder, device="cpu", bind=bind, layouts={"x": BLOCKED, "y": PLAIN})
def unblock(x, y, channels, ith, nth):
    planes, places = y.shape
    lanes = x.shape[2]
    per_image = (channels + lanes - 1) // lanes
    for plane in range(planes * ith // nth, planes * (ith + 1) // nth):
        channel = plane % channels
        source = plane // channels * per_image + channel // lanes
        for place in range(places):
            y[plane, place] = x[source, place, channel % lanes]
