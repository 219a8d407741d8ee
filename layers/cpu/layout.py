"""Reorder on the cpu: between the shape's own order and blocks of channels, for numbers of any size.

Both ways are transposes of LANES channels at LANES places, in registers. Where the channels do not fill their block,
the vectors' other lanes take the last channel's numbers one way, and nobody wants them the other way. The last places
of an image are taken together with those before them.
"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, View, kernel
from ...engine.layout import BLOCKED, PLAIN
from ..layout import Reorder
from . import simd

ITEMSIZE = 4  # bytes of a number; of a variant


def bind(call: Call) -> dict:
    """Planes of numbers (N * C, places) on one side, of vectors (N * blocks, places, lanes) on the other."""
    n, c, *rest = call.shape("x")
    blocks, places = n * -(-c // call.lanes), prod(rest)
    shapes = {PLAIN: (n * c, places), BLOCKED: (blocks, places, call.lanes)}
    return dict(
        x=View("x", shapes[call.layout("x")]), y=View("y", shapes[call.layout("y")]),
        channels=c, blocks=blocks, places=places,
    )  # fmt: skip


def bind_sized(call: Call) -> Stage:
    function = block if call.layout("y") == BLOCKED else unblock
    return Stage(bind(call), function=simd.of_items(function, call))


@kernel(Reorder, device="cpu", bind=bind_sized, layouts={"x": PLAIN, "y": BLOCKED})
def block(x, y, channels, blocks, places, ith, nth):
    """Threads share the squares of LANES channels by LANES places."""
    vector = simd.LANES * ITEMSIZE
    squares = (places + simd.LANES - 1) // simd.LANES
    for unit in range(blocks * squares * ith // nth, blocks * squares * (ith + 1) // nth):
        b, start = unit // squares, unit % squares * simd.LANES
        first, filled = channels_of(b, channels)
        if places >= simd.LANES:
            start = min(start, places - simd.LANES)
            source = simd.address(x) + (first * places + start) * ITEMSIZE
            to = simd.address(y) + (b * places + start) * vector
            simd.transpose(source, places * ITEMSIZE, filled - 1, to, vector, simd.LANES - 1, ITEMSIZE)
        else:
            for place in range(places):
                for lane in range(simd.LANES):
                    y[b, place, lane] = x[first + min(lane, filled - 1), place]


@kernel(Reorder, device="cpu", bind=bind_sized, layouts={"x": BLOCKED, "y": PLAIN})
def unblock(x, y, channels, blocks, places, ith, nth):
    """Threads share the blocks, since squares at the end of an image overlap."""
    vector = simd.LANES * ITEMSIZE
    for b in range(blocks * ith // nth, blocks * (ith + 1) // nth):
        first, filled = channels_of(b, channels)
        if places >= simd.LANES:
            for at in range(0, places, simd.LANES):
                start = min(at, places - simd.LANES)
                source = simd.address(x) + (b * places + start) * vector
                to = simd.address(y) + (first * places + start) * ITEMSIZE
                simd.transpose(source, vector, simd.LANES - 1, to, places * ITEMSIZE, filled - 1, ITEMSIZE)
        else:
            for lane in range(filled):
                for place in range(places):
                    y[first + lane, place] = x[b, place, lane]


def channels_of(block, channels):
    """(first plane, number of planes) that lie in a block, `channels` an image."""
    per_image = (channels + simd.LANES - 1) // simd.LANES
    at = block % per_image * simd.LANES
    return block // per_image * channels + at, min(simd.LANES, channels - at)
