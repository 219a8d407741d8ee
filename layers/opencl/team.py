"""Convolution and InnerProduct with constant weights on OpenCL, a work-group a tile: team.cl.

    team_...   of fp32, with weights in fp32 or fp16
    words_...  of int8, four channels to a word, of which some devices multiply and add up four at once

Beside the tiles of conv.py, of which each work-item has one, in registers alone. Which is best on a device is measured,
see engine/tune.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ..conv import Convolution
from ..fused import finish_of
from ..inner_product import InnerProduct
from ..quantized import QuantizedConvolution, QuantizedInnerProduct
from ..taps import cells, packed, table
from .chip import chip
from .conv import activated, both, constant_weights, geometry, optional
from .quantized_conv import TO, rescaling
from .source import variant, written_in


@dataclass(frozen=True)
class Team:
    """BM filters by BN places a work-group, TM by TN a work-item; BK cells pass through shared memory at a time."""

    bm: int
    bn: int
    bk: int
    tm: int
    tn: int

    def __str__(self) -> str:
        return f"{self.bm}x{self.bn}_{self.tm}x{self.tn}"

    @property
    def items(self) -> int:
        return self.bm // self.tm * (self.bn // self.tn)

    @property
    def shared(self) -> int:
        """Bytes."""
        return self.bk * (self.bm + self.bn) * 4


# The first three for GPUs, and for processors those whose vectors are long.
TEAMS = (
    Team(64, 64, 16, 4, 4), Team(32, 32, 16, 4, 4), Team(8, 16, 8, 4, 4),
    Team(64, 64, 32, 16, 16), Team(32, 64, 32, 8, 16), Team(8, 32, 8, 4, 16),
)  # fmt: skip
SMALL = 256  # results of a tile; such ones are for layers of few tiles of more, and for simulators
FEW = 16


@written_in(
    "finish.cl",
    "geometry.cl",
    "vectors.cl",
    "places.cl",
    "team.cl",
    "team_conv.cl",
    number="float",
    HALVES=0,
    WORDS=0,
)
def team_conv(
    x, w, taps, b, residual, y, c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left,
    group, places, depth, act, alpha, beta, shared, size_x, size_y, size_z, local_x,
):  # fmt: skip
    """Written in team_conv.cl."""


@written_in(
    "rounding.cl", "geometry.cl", "vectors.cl", "places.cl", "team.cl", "requantize.cl", "team_quantized.cl",
    number="int", HALVES=0, WORDS=1, TO=0,
)  # fmt: skip
def team_quantized(
    x, w, taps, b, multiplier, slope, residual, gate, residual_zero, residual_multiplier, low, high, zero, y, c, h,
    width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group, places, depth, x_zero,
    shared, size_x, size_y, size_z, local_x,
):  # fmt: skip
    """Written in team_quantized.cl."""


def teamed(call: Call, team: Team, w: np.ndarray, word: int) -> dict:
    """The parameters of a work-group's tile."""
    at = geometry(call)
    taps, places = (at["kh"], at["kw"]), prod(call.shape("y")) // max(1, at["m"])
    one = taps == (at["stride_h"], at["stride_w"]) == (1, 1) and at["top"] == at["left"] == 0
    if one and (at["h"], at["width"]) == (
        at["oh"],
        at["ow"],
    ):  # an image is one row, and all its places lie in it
        at |= dict(h=1, width=at["h"] * at["width"], oh=1, ow=at["oh"] * at["ow"])
    depth = -(-cells(taps, at["c"], word) // team.bk) * team.bk
    blocks = -(-(at["m"] // at["group"]) // team.bm)
    dilation = at["dilation_h"], at["dilation_w"]
    weights = packed(w, at["group"], word, depth, blocks * team.bm)
    apart = weights.reshape(at["group"], depth, blocks, team.bm).swapaxes(1, 2)
    return at | dict(
        x=call.flat("x"), y=call.flat("y"), w=Packed(np.ascontiguousarray(apart)), places=places, depth=depth,
        taps=Packed(table(taps, at["c"], (at["h"], at["width"]), dilation, word, depth)), shared=team.shared,
        size_x=-(-places // team.bn) * team.items, size_y=blocks, size_z=at["group"], local_x=team.items,
    )  # fmt: skip


def sizes(team: Team) -> dict[str, int]:
    """A tile's macros."""
    return dict(BM=team.bm, BN=team.bn, BK=team.bk, TM=team.tm, TN=team.tn)


def bind_numbers(team: Team):
    def bind(call: Call) -> Stage:
        halves = call.in_halves("w")
        w = call.constants["w"].astype(np.float16 if halves else np.float32, copy=False)
        bound = teamed(call, team, w, 1) | optional(call, "b", "residual") | finish_of(call.layer)
        name = f"team_{team}" + "_halves" * halves
        return Stage(bound, function=variant(team_conv, name, HALVES=int(halves), **sizes(team)))

    return bind


def bind_words(team: Team):
    def bind(call: Call) -> Stage:
        w, rest = call.constants["w"], rescaling(call)
        # what x's zero adds to each sum is taken off the bias, as a sum of int32 would have it
        zeros = w.reshape(len(w), -1).sum(1, dtype=np.int64) * call.layer.x_zero
        rest["b"] = Packed((call.constants["b"].astype(np.int64) - zeros).astype(np.int32))
        function = variant(team_quantized, f"words_{team}", TO=TO[call.layer.to], **sizes(team))
        return Stage(teamed(call, team, w, 4) | rest, function=function)

    return bind


def fits(team: Team):
    """Whether the device has room for a work-group, and the layer is of a size for it."""

    def predicate(call: Call) -> bool | str:
        here, small = chip(), team.bm * team.bn <= SMALL
        if team.items > min(here.most_items, here.axis_items[0]) or team.shared > here.local_bytes:
            return f"{here.name} has {here.most_items} work-items a group and {here.local_bytes} bytes"
        if here.simulated:
            return small or "it is too much for a simulator"
        return not small or prod(call.shape("y")) <= FEW * SMALL or "its tiles are too small for this layer"

    return predicate


def bytes_alone(call: Call) -> bool | str:
    for name in ("x", "w"):
        if call.specs[name].dtype.name != "int8":
            return f"{name} is {call.specs[name].dtype}, no bytes"
    return "b" in call.constants or "b is not a constant"


def two_axes(call: Call) -> bool | str:
    return len(call.shape("w")) in (2, 4) or "its images have not two axes"


for _team in TEAMS:
    _when = both(constant_weights, two_axes, fits(_team))
    for _layer in (Convolution, InnerProduct):
        kernel(
            _layer, device="opencl", bind=bind_numbers(_team), when=both(_when, activated), score=3.0,
            name=f"team_{_team}",
        )(team_conv)  # fmt: skip
    for _layer in (QuantizedConvolution, QuantizedInnerProduct):
        kernel(
            _layer, device="opencl", dtype="int8", bind=bind_words(_team), when=both(_when, bytes_alone), score=3.0,
            name=f"words_{_team}",
        )(team_quantized)  # fmt: skip
