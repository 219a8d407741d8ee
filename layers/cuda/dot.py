"""QuantizedConvolution and QuantizedInnerProduct with constant weights: a matrix product of bytes in CUDA C++, dot.cu.

Four channels lie in a word of 32 bits, and one instruction multiplies and adds up four (from capability 6.1 on). The
bits are the integer specification's: the sums are exact, and requantize.cu rounds as quantized.py does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, View, kernel
from ..quantized import QuantizedConvolution, QuantizedInnerProduct
from . import native
from .card import card
from .conv import in_two_axes
from .gemm import FAR, Problem, problem_of
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
    x, w, taps, b, multiplier, slope, residual, y, c, h, width, m, oh, ow, group, depth, rows, pixels, stride_h,
    stride_w, top, left, x_zero, residual_zero, residual_multiplier, low, high, zero, threads, shared, blocks_x,
    blocks_y, blocks_z,
):  # fmt: skip
    """Written in dot.cu."""


def words_of(problem: Problem) -> int:
    """Of a group, filled up to whole stages."""
    return -(-prod(problem.taps) * -(-problem.channels // WORD) // BK) * BK


def table(problem: Problem) -> np.ndarray:
    """Of each word: how far on it is in x, rows down, columns across, and how many of its channels there are."""
    c, (_, h, width), (dilation_h, dilation_w) = problem.channels, problem.image, problem.dilation
    ky, kx, first = np.meshgrid(*map(np.arange, problem.taps), np.arange(0, c, WORD), indexing="ij")
    down, across = ky * dilation_h, kx * dilation_w
    there = np.minimum(c - first, WORD)
    found = np.stack([(first * h + down) * width + across, down, across, there], -1).reshape(-1, 4)
    rest = np.tile([0, FAR, 0, 0], (words_of(problem) - len(found), 1))
    return np.concatenate([found, rest]).astype(np.int32)


def packed(problem: Problem, w: np.ndarray, rows: int) -> np.ndarray:
    """Weights (M, C/group, ...) as (group, words, rows) of four channels each, filled up with zeros."""
    group, c, taps = problem.group, problem.channels, prod(problem.taps)
    per_group, quads = problem.m // group, -(-c // WORD)
    wide = np.zeros((group, taps, quads * WORD, rows), np.int8)
    wide[:, :, :c, :per_group] = w.reshape(group, per_group, c, taps).transpose(0, 3, 2, 1)
    bytes_of = wide.reshape(group, taps * quads, WORD, rows).swapaxes(2, 3)
    words = np.zeros((group, words_of(problem), rows), np.int32)
    words[:, : taps * quads] = np.ascontiguousarray(bytes_of).view(np.int32)[..., 0]
    return words


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
    per_group = problem.m // problem.group
    down, (_, h, width), (oh, ow) = -(-per_group // tile.bm), problem.image, problem.result
    params = bind_weighted(call) | dict(
        w=Packed(packed(problem, call.constants["w"], down * tile.bm)), taps=Packed(table(problem)),
        b=Packed(bias(call)), c=problem.channels, h=h, width=width, m=per_group, oh=oh, ow=ow, group=problem.group,
        depth=words_of(problem), rows=down * tile.bm, pixels=problem.pixels, stride_h=problem.stride[0],
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
