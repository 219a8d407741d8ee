"""QuantizedConvolution and QuantizedInnerProduct with constant weights: a matrix product of bytes in CUDA C++, dot.cu.

Four channels lie in a word of 32 bits, and one instruction multiplies and adds up four (from capability 6.1 on). The
bits are the integer specification's: the sums are exact, and requantize.cu rounds as quantized.py does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..quantized import QuantizedConvolution, QuantizedInnerProduct
from ..taps import cells, packed, table
from . import native
from .card import card
from .conv import in_two_axes
from .gemm import Problem, problem_of
from .quantized import bind_weighted

WORD = 4  # channels
BK = 8  # words of a stage
CAPABILITY = (6, 1)
TO = {"int8": 0, "fp32": 1, "int32": 2}  # what a layer stores, as requantize.cu numbers it


@dataclass(frozen=True)
class Tile:
    """BM filters by BN places a block, TM by TN a thread."""

    bm: int
    bn: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        return self.bm // self.tm * (self.bn // self.tn)

    @property
    def shared(self) -> int:
        """Bytes: two stages of both sides."""
        return 2 * BK * (self.bm + self.bn) * 4


TILES = (
    Tile(64, 64, 4, 4),
    Tile(32, 32, 4, 2),
)  # the second one where the first would leave multiprocessors idle


@native.declare("requantize.cu", "dot.cu", BK=BK)
def dot(
    x, w, taps, b, multiplier, slope, residual, gate, y, c, h, width, m, oh, ow, group, depth, rows, pixels, stride_h,
    stride_w, top, left, x_zero, residual_zero, residual_multiplier, low, high, zero, threads, shared, blocks_x,
    blocks_y, blocks_z,
):  # fmt: skip
    """Written in dot.cu."""


def words_of(problem: Problem) -> int:
    """Of a group, filled up to whole stages."""
    return -(-cells(problem.taps, problem.channels, WORD) // BK) * BK


def bias(call: Call) -> np.ndarray:
    """b, less what x's zero adds to each sum; as a sum of int32 would have it."""
    w, b = call.constants["w"], call.constants["b"].astype(np.int64)
    zeros = w.reshape(len(w), -1).sum(1, dtype=np.int64) * call.layer.x_zero
    return (b - zeros).astype(np.int32)


def tile_of(problem: Problem) -> Tile:
    """The largest that keeps every multiprocessor busy, else the smallest."""
    return next((t for t in TILES if blocks(problem, t) >= card().multiprocessors), TILES[-1])


def blocks(problem: Problem, tile: Tile) -> int:
    return problem.group * -(-problem.m // problem.group // tile.bm) * -(-problem.pixels // tile.bn)


def bind(call: Call) -> Stage:
    problem = problem_of(call)
    return stage(call, problem, tile_of(problem))


def stage(call: Call, problem: Problem, tile: Tile) -> Stage:
    """The product by one tile."""
    per_group, depth = problem.m // problem.group, words_of(problem)
    down, (_, h, width), (oh, ow) = -(-per_group // tile.bm), problem.image, problem.result
    params = bind_weighted(call) | dict(
        w=Packed(packed(call.constants["w"], problem.group, WORD, depth, down * tile.bm)),
        taps=Packed(table(problem.taps, problem.channels, (h, width), problem.dilation, WORD, depth)),
        b=Packed(bias(call)), c=problem.channels, h=h, width=width, m=per_group, oh=oh, ow=ow, group=problem.group,
        depth=depth, rows=down * tile.bm, pixels=problem.pixels, stride_h=problem.stride[0],
        stride_w=problem.stride[1], top=problem.pad[0], left=problem.pad[1], threads=tile.threads,
        shared=tile.shared, blocks_x=-(-problem.pixels // tile.bn), blocks_y=down, blocks_z=problem.group,
    )  # fmt: skip
    if "residual" not in call.specs:
        params["residual"] = View("", (0,))
    name = f"dot_{tile.bm}x{tile.bn}_{call.layer.to}"
    macros = dict(BM=tile.bm, BN=tile.bn, TM=tile.tm, TN=tile.tn, TO=TO[call.layer.to])
    return Stage(params, function=native.variant(dot, name, **macros))


def serves(call: Call) -> bool | str:
    for name in ("w", "b"):
        if name not in call.constants:
            return f"{name} is not a constant"
    for name in ("x", "w"):
        if call.specs[name].dtype.name != "int8":
            return f"{name} is {call.specs[name].dtype}, no bytes"
    w = call.shape("w")
    if len(w) == 4 and w[1] == 1 and w[0] == call.layer.group:
        return "one filter a channel is no matrix"
    return in_two_axes(call) if len(w) == 4 else len(w) == 2 or "its images have not two axes"


for _layer in (QuantizedConvolution, QuantizedInnerProduct):
    kernel(_layer, device="cuda", dtype="int8", bind=bind, when=native.serves(serves, CAPABILITY), score=2.0)(
        dot
    )
