"""channels: what kernels share that have one weight a channel and work in blocks of channels.

The weights lie plain, constants or not; a block's own are brought together in a vector before its places are done.
"""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Scratch, View
from ...engine.layout import BLOCKED
from . import simd

BLOCKS = dict(score=1.5, layouts={"x": BLOCKED, "y": BLOCKED}, inplace=("x",))


def bind_blocks(call: Call) -> dict:
    """x and y as (blocks of all images, places, lanes), parameters flat."""
    n, c, *rest = call.shape("x")
    blocks = n * -(-c // call.lanes)
    shape = (blocks, prod(rest), call.lanes)
    names = [name for name in call.layer.parameters if name != "x"]
    bound = {name: call.flat(name) for name in names}
    return bound | dict(
        x=View("x", shape), y=View("y", shape), channels=c, room=Scratch((call.threads, call.lanes))
    )


def of_block(weights, block, channels, room, ith):
    """The vector of a block's weights. There is one a channel, of one image or of all; lanes beyond get the last."""
    per_image = (channels + simd.LANES - 1) // simd.LANES
    at = block % per_image * simd.LANES
    first = block // per_image * channels + at
    for lane in range(simd.LANES):
        room[ith, lane] = weights[(first + min(lane, channels - 1 - at)) % weights.size]
    return simd.load(simd.address(room) + ith * simd.LANES * 4)
