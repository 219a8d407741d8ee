"""Convolution and InnerProduct on OpenCL.

tile_...   constant weights: a work-item sums up a tile of filters by places in registers (tile.cl). An InnerProduct
           is a convolution of images of one pixel. Which tile is best on a device is measured, see engine/tune.py
depthwise  one filter a channel: a work-item has a result
direct     whatever there is, like weights that are computed
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..conv import Convolution
from ..fused import finish_of, finishes
from ..inner_product import InnerProduct
from .chip import chip
from .source import variant, written_in

NONE = View("", (0,))  # an input that the layer does not have
# filters, places, work-items a group; the first one where nobody measures
TILES = [(8, 4, 32), (4, 4, 64), (8, 8, 16), (16, 4, 16)]


@written_in(
    "finish.cl", "geometry.cl", "vectors.cl", "places.cl", "tile.cl", "conv.cl", number="float", HALVES=0
)
def conv(
    x, w, b, residual, y, c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left,
    group, places, blocks, act, alpha, beta, size_x, size_y, size_z, local_x, local_y,
):  # fmt: skip
    """Written in conv.cl."""


@written_in("finish.cl", "geometry.cl", "direct.cl", "direct_conv.cl", number="float", HALVES=0)
def direct_conv(
    x, w, b, residual, y, c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left,
    group, act, alpha, beta, items,
):  # fmt: skip
    """Written in direct_conv.cl."""


def geometry(call: Call) -> dict[str, int]:
    """Sizes, strides and padding as the .cl files name them; c counts the channels of a group, m all filters."""
    layer, (m, k) = call.layer, call.shape("w")[:2]
    if "InnerProduct" in layer.type:
        steps = dict(stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, top=0, left=0, group=1)
        return dict(c=k, h=1, width=1, m=m, oh=1, ow=1, kh=1, kw=1) | steps
    (_, c, h, width), (_, m, oh, ow), (kh, kw) = call.shape("x"), call.shape("y"), call.shape("w")[2:]
    return dict(
        c=c // layer.group, h=h, width=width, m=m, oh=oh, ow=ow, kh=kh, kw=kw,
        stride_h=layer.stride[0], stride_w=layer.stride[1], dilation_h=layer.dilation[0],
        dilation_w=layer.dilation[1], top=layer.pad[0], left=layer.pad[1], group=layer.group,
    )  # fmt: skip


def packed(w: np.ndarray, group: int, rows: int) -> Packed:
    """Weights (M, C/group, ...) as (group, blocks, taps, channels, rows of a block), the last block filled up."""
    m, c = w.shape[:2]
    rest = -(m // group) % rows
    filled = np.pad(w.reshape(group, m // group, c, -1), [(0, 0), (0, rest), (0, 0), (0, 0)])
    blocks = filled.reshape(group, -1, rows, *filled.shape[2:])
    return Packed(np.ascontiguousarray(blocks.transpose(0, 1, 4, 3, 2)))


def tiled(call: Call, tile: tuple[int, int, int]) -> dict:
    """The parameters of a kernel that has a tile a work-item, w not among them."""
    rows, places_each, items = tile
    at = geometry(call)
    places = prod(call.shape("y")) // max(1, at["m"])
    blocks = -(-(at["m"] // at["group"]) // rows)
    across, most = -(-places // places_each), min(items, chip().group)
    local = 1
    while 2 * local <= min(most, across):
        local *= 2
    down = 1
    while 2 * local * down <= most and 2 * down <= blocks:
        down *= 2
    launch = dict(size_x=across, size_y=blocks, size_z=at["group"], local_x=local, local_y=down)
    return at | dict(x=call.flat("x"), y=call.flat("y"), places=places, blocks=blocks) | launch


def optional(call: Call, *names: str) -> dict[str, View]:
    """Inputs that may be absent, or that the layer does not know at all."""
    return {name: call.flat(name) if call.specs.get(name) else NONE for name in names}


def bind_tile(tile: tuple[int, int, int]):
    def bind(call: Call) -> Stage:
        halves = call.in_halves("w")
        w = call.constants["w"].astype(np.float16 if halves else np.float32, copy=False)
        bound = tiled(call, tile) | optional(call, "b", "residual") | finish_of(call.layer)
        bound["w"] = packed(w, bound["group"], tile[0])
        name = "tile_{}x{}_{}".format(*tile) + "_halves" * halves
        return Stage(bound, function=variant(conv, name, TM=tile[0], TN=tile[1], HALVES=int(halves)))

    return bind


def bind_direct(call: Call) -> Stage:
    halves = call.in_halves("w")
    w = Packed(call.constants["w"].astype(np.float16)) if halves else call.flat("w")
    bound = dict(x=call.flat("x"), w=w, y=call.flat("y"), items=prod(call.shape("y")))
    bound |= geometry(call) | optional(call, "b", "residual") | finish_of(call.layer)
    name = "direct" + "_halves" * halves
    return Stage(bound, function=variant(direct_conv, name, HALVES=int(halves)))


def one_filter_a_channel(call: Call) -> bool | str:
    w = call.shape("w")
    if len(w) != 4 or w[1] != 1 or w[0] != call.layer.group:
        return f"w is {list(w)} in {getattr(call.layer, 'group', 1)} groups: not one filter a channel"
    return True


def constant_weights(call: Call) -> bool | str:
    """Weights are packed when the plan is made, so they must be there by then."""
    if "w" not in call.constants:
        return "w is not a constant"
    return one_filter_a_channel(call) is not True or "one filter a channel is no matrix"


def both(*predicates):
    """All of them, or the first one's reason why not."""
    return lambda call: next((reason for p in predicates if (reason := p(call)) is not True), True)


def activated(call: Call) -> bool | str:
    return finishes(call.layer)


for _number, _tile in enumerate(TILES):
    _options = dict(
        device="opencl", bind=bind_tile(_tile), when=both(constant_weights, activated),
        score=3.0 if _number else 4.0, name="tile_{}x{}_{}".format(*_tile),
    )  # fmt: skip
    kernel(Convolution, **_options)(conv)
    kernel(InnerProduct, **_options)(conv)
kernel(
    Convolution, device="opencl", bind=bind_direct, when=both(one_filter_a_channel, activated), score=8.0,
    name="depthwise",
)(direct_conv)  # fmt: skip
kernel(Convolution, device="opencl", bind=bind_direct, when=activated, name="direct")(direct_conv)
kernel(InnerProduct, device="opencl", bind=bind_direct, when=activated, name="direct")(direct_conv)
