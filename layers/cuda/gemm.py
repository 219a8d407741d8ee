"""Convolution and InnerProduct with constant weights as one matrix product, whose right side is never written down.

    y[m, p] = sum over k of w[k, m] * x[taps[k] + p]

p counts the places of y in all images, k the taps (channel, ky, kx) of a group. A table says where a tap lies from the
place of y: how far on in x, how many rows down and columns across. A block of threads makes a tile of y.

    gemm      in numba: each thread adds up TM x TN results in registers
    gemm_mma  in CUDA C++, on tensor cores: gemm.cu

Both come in tiles of several sizes, and can split the sum over k into parts that are added afterwards: a small y has
too few tiles for all multiprocessors. Which tile and how many parts is measured, see tune.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, View, kernel
from ..conv import Convolution
from ..inner_product import InnerProduct
from ..taps import FAR
from . import native, tune
from .blocks import divide
from .card import numba_cuda, numba_simulates
from .conv import in_two_axes
from .fused import KEEP, finish, finish_of, finishes
from .inner_product import ROWS

cuda = numba_cuda()

PAD = 8  # numbers behind each row of shared memory in gemm.cu


@dataclass(frozen=True)
class Tile:
    """A variant: BM filters by BN places a block, BK taps at a time, by so many threads."""

    name: str
    function: Callable
    bm: int
    bn: int
    bk: int
    threads: int
    tapwise: bool = False  # k runs over channels first, then over ky, kx
    stages: int = 0  # of operands in shared memory that the launch asks for; 0: the function declares its own
    slices: int = 1  # warps that share a part of y
    halves: bool = False  # weights are read in fp16

    @property
    def shared(self) -> int:
        """Bytes of memory that a block's threads share, beyond what the function declares: operands, then results."""
        weights, inputs = (self.bm + PAD) * (2 if self.halves else 4), (self.bn + PAD) * 4
        operands = self.stages * self.bk * (weights + inputs)
        return max(operands, self.slices * self.bm * (self.bn + 4) * 4) if self.stages else 0

    def of_halves(self) -> Tile:
        """The same, with weights in fp16. A function in numba takes them as they are given."""
        name = f"{self.name}_halves"
        function = native.variant(self.function, name, HALVES=1) if self.stages else self.function
        return replace(self, name=name, function=function, halves=True)


@dataclass(frozen=True)
class Problem:
    """A matrix product: c channels and k taps a group, m filters in all, places of y in all images."""

    group: int
    m: int
    k: int
    n: int
    image: tuple[int, int, int]
    result: tuple[int, int]
    taps: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)

    @property
    def pixels(self) -> int:
        return self.n * prod(self.result)

    @property
    def pointwise(self) -> bool:
        """Whether rows of x are used as they are, four places at a time."""
        plain = self.taps == self.stride == (1, 1) and self.pad == (0, 0) and self.image[1:] == self.result
        return plain and prod(self.result) % 4 == 0

    def blocks(self, tile: Tile) -> int:
        """How many tiles there are."""
        return -(-(self.m // self.group) // tile.bm) * -(-self.pixels // tile.bn) * self.group

    @property
    def channels(self) -> int:
        """Of a group."""
        return self.k // prod(self.taps)

    def table(self, tile: Tile) -> np.ndarray:
        """Of each tap: how far on it is in x, rows down, columns across, 0. Tapwise only of the first channel's."""
        _, h, width = self.image
        c = 1 if tile.tapwise else self.channels
        channel, ky, kx = np.meshgrid(*map(np.arange, (c, *self.taps)), indexing="ij")
        down, across = ky * self.dilation[0], kx * self.dilation[1]
        on = (channel * h + down) * width + across
        table = np.stack([on, down, across, np.zeros_like(on)], -1).reshape(-1, 4).astype(np.int32)
        if tile.tapwise:
            return table
        rest = np.tile(np.array([0, FAR, 0, 0], np.int32), (self.depth(tile) - self.k, 1))
        return np.concatenate([table, rest])

    def depth(self, tile: Tile) -> int:
        """k, filled up to whole steps."""
        return -(-self.k // tile.bk) * tile.bk

    def rows(self, tile: Tile) -> int:
        """Filters a group, filled up to whole tiles."""
        return -(-(self.m // self.group) // tile.bm) * tile.bm

    def packed(self, tile: Tile, w: np.ndarray) -> np.ndarray:
        """Weights as (group, k, filters), filled up with zeros."""
        per_group = self.m // self.group
        dtype = np.float16 if tile.halves else np.float32
        packed = np.zeros((self.group, self.depth(tile), self.rows(tile)), dtype)
        if tile.tapwise:
            w = w.reshape(self.m, self.channels, -1).swapaxes(1, 2)
        packed[:, : self.k, :per_group] = w.reshape(self.group, per_group, self.k).transpose(0, 2, 1)
        return packed


def problem_of(call: Call) -> Problem:
    layer = call.layer
    if "InnerProduct" in layer.type:
        x, (m, k) = call.shape("x"), call.shape("w")
        n = prod(x[: call.specs["x"].axis(layer.axis)])
        return Problem(1, m, k, n, (k, 1, 1), (1, 1), (1, 1))
    (n, c, h, width), (m, _, *taps) = call.shape("x"), call.shape("w")
    return Problem(
        layer.group, m, c // layer.group * prod(taps), n, (c // layer.group, h, width), call.shape("y")[2:],
        tuple(taps), tuple(layer.stride), tuple(layer.dilation), tuple(layer.pad[:2]),
    )  # fmt: skip


def bind_with(tiles: Callable[[Problem], list[Tile]]):
    """A bind for the best of these tiles and splits."""

    def bind(call: Call) -> list[Stage]:
        problem = problem_of(call)
        found = tiles(problem)
        if call.in_halves("w"):
            found = [tile.of_halves() for tile in found]
        tile, splits = tune.choose(call, problem, found)
        return stages(call, problem, tile, splits)

    return bind


def stages(call: Call, problem: Problem, tile: Tile, splits: int) -> list[Stage]:
    """The product in `splits` parts, and their sum."""
    (c, h, width), (oh, ow), per_group = problem.image, problem.result, problem.m // problem.group
    none = View("", (0,))
    finished = dict(b=call.flat("b"), residual=call.flat("residual") if "residual" in call.specs else none)
    finished |= finish_of(call.layer)
    first = finished if splits == 1 else dict(b=none, residual=none, act=KEEP, alpha=0.0, beta=0.0)
    size = problem.pixels * problem.m
    params = first | dict(
        x=call.flat("x"), w=Packed(problem.packed(tile, call.constants["w"])), taps=Packed(problem.table(tile)),
        y=View("y", (size,)) if splits == 1 else Scratch((splits * size,)),
        c=c, h=h, width=width, m=per_group, oh=oh, ow=ow, group=problem.group, depth=problem.depth(tile),
        rows=problem.rows(tile), pixels=problem.pixels, stride_h=problem.stride[0], stride_w=problem.stride[1],
        top=problem.pad[0], left=problem.pad[1], splits=splits, threads=tile.threads, shared=tile.shared,
        blocks_x=-(-problem.pixels // tile.bn), blocks_y=-(-per_group // tile.bm), blocks_z=problem.group * splits,
    )  # fmt: skip
    product = Stage(params, function=tile.function)
    if splits == 1:
        return [product]
    area = oh * ow
    added = finished | dict(
        parts=params["y"], y=View("y", (size,)), m=problem.m, area=area, splits=splits, items=size
    )
    return [product, Stage(added, function=add_parts)]


def add_parts(parts, b, residual, y, m, area, splits, act, alpha, beta, items, ith, nth):
    """y = the parts' sum, finished."""
    for i in range(ith, items, nth):
        total = parts[i]
        for split in range(1, splits):
            total += parts[split * items + i]
        if b.size > 0:
            plane = divide(i, area)
            total += b[plane - divide(plane, m) * m]
        if residual.size > 0:
            total += residual[i]
        y[i] = finish(total, act, alpha, beta)


def tiled(BM: int, BN: int, BK: int, TM: int, TN: int) -> Tile:
    """The numba kernel of a tile size. A thread's results are BM / TM filters and BN / TN places apart."""
    ROWS_APART, COLUMNS_APART = BM // TM, BN // TN
    THREADS = ROWS_APART * COLUMNS_APART

    def gemm(
        x, w, taps, b, residual, y, c, h, width, m, oh, ow, group, depth, rows, pixels, stride_h, stride_w,
        top, left, splits, act, alpha, beta, threads, blocks_x, blocks_y, blocks_z,
    ):  # fmt: skip
        ws = cuda.shared.array((BK, BM), np.float32)
        xs = cuda.shared.array((BK, BN), np.float32)
        sums = cuda.local.array((TM, TN), np.float32)
        left_side = cuda.local.array(TM, np.float32)
        me = cuda.threadIdx.x
        g, split = cuda.blockIdx.z // splits, cuda.blockIdx.z % splits
        first_row, first_pixel = cuda.blockIdx.y * BM, cuda.blockIdx.x * BN
        area = oh * ow
        for i in range(TM):
            for j in range(TN):
                sums[i, j] = np.float32(0)
        # the place of y for which this thread fetches taps
        column = me % BN
        pixel = min(first_pixel + column, pixels - 1)
        image = pixel // area
        place = pixel - image * area
        iy, ix = place // ow * stride_h - top, place % ow * stride_w - left
        base = (image * group + g) * c * h * width + iy * width + ix
        steps = depth // BK
        for step in range(steps * split // splits, steps * (split + 1) // splits):
            for i in range(me // BN, BK, THREADS // BN):
                tap = step * BK + i
                value = np.float32(0)
                if 0 <= iy + taps[tap, 1] < h and 0 <= ix + taps[tap, 2] < width:
                    value = x[base + taps[tap, 0]]
                xs[i, column] = value
            for i in range(me, BK * BM, THREADS):
                ws[i // BM, i % BM] = np.float32(w[g, step * BK + i // BM, first_row + i % BM])
            cuda.syncthreads()
            for k in range(BK):
                for i in range(TM):
                    left_side[i] = ws[k, me // COLUMNS_APART + i * ROWS_APART]
                for j in range(TN):
                    value = xs[k, me % COLUMNS_APART + j * COLUMNS_APART]
                    for i in range(TM):
                        sums[i, j] += left_side[i] * value
            cuda.syncthreads()
        for j in range(TN):
            pixel = first_pixel + me % COLUMNS_APART + j * COLUMNS_APART
            image = pixel // area
            for i in range(TM):
                row = first_row + me // COLUMNS_APART + i * ROWS_APART
                if row < m and pixel < pixels:
                    to = ((image * group + g) * m + row) * area + pixel - image * area
                    total = sums[i, j]
                    if b.size > 0:
                        total += b[g * m + row]
                    if residual.size > 0:
                        total += residual[to]
                    y[split * pixels * group * m + to] = finish(total, act, alpha, beta)

    name = f"gemm_{BM}x{BN}"
    gemm.__qualname__ = f"tiled.{name}"
    return Tile(name, gemm, BM, BN, BK, THREADS)


@native.declare("finish.cu", "gemm.cu")
def gemm_mma(
    x, w, taps, b, residual, y, c, h, width, m, oh, ow, group, depth, rows, pixels, stride_h, stride_w,
    top, left, splits, act, alpha, beta, threads, shared, blocks_x, blocks_y, blocks_z,
):  # fmt: skip
    """Written in gemm.cu."""


def on_tensor_cores(bm: int, bn: int, wm: int, wn: int, slices: int, stages: int, way: str) -> Tile:
    """A variant of gemm_mma that reads x in one of WAYS."""
    name = f"gemm_mma_{bm}x{bn}" + f"_{slices}" * (slices > 1) + f"_{way}" * (way != "any")
    function = native.variant(
        gemm_mma, name, BM=bm, BN=bn, WM=wm, WN=wn, SLICES=slices, STAGES=stages,
        POINTWISE=int(way == "pointwise"), TAPWISE=int(way == "tapwise"), HALVES=0,
    )  # fmt: skip
    bk, threads = 16 * slices, bm // wm * (bn // wn) * slices * 32
    return Tile(name, function, bm, bn, bk, threads, way == "tapwise", stages, slices)


# In the simulator a thread is a thread of Python: as few as can be wrong.
PLAIN_TILES = (
    [tiled(16, 4, 6, 16, 1)] if numba_simulates() else [tiled(64, 64, 16, 4, 4), tiled(32, 32, 16, 2, 2)]
)
SIZES = [
    (128, 128, 64, 32, 1, 3), (128, 64, 64, 32, 1, 4), (64, 64, 32, 32, 1, 4), (64, 32, 32, 32, 2, 4),
    (32, 32, 32, 32, 4, 3), (32, 32, 32, 32, 8, 2),
]  # fmt: skip
WAYS = ("any", "tapwise", "pointwise")
MMA_TILES = {way: [on_tensor_cores(*size, way) for size in SIZES] for way in WAYS}


def mma_tiles(problem: Problem) -> list[Tile]:
    """Every size, each in the fastest way that it can read x."""
    if problem.pointwise:
        return MMA_TILES["pointwise"]
    pairs = zip(MMA_TILES["any"], MMA_TILES["tapwise"], strict=True)
    return [tapwise if problem.channels % tapwise.bk == 0 else any_way for any_way, tapwise in pairs]


def constant_weights(call: Call) -> bool | str:
    """Weights are packed when the plan is made, so they must be there by then."""
    if "w" not in call.constants:
        return "w is not a constant"
    return finishes(call.layer)


def serves(call: Call) -> bool | str:
    return constant_weights(call) if in_two_axes(call) is True else in_two_axes(call)


def many_rows(call: Call) -> bool | str:
    n = problem_of(call).n
    return constant_weights(call) if n > ROWS else f"x has {n} rows, at most {ROWS}"


TENSOR_CORES = (8, 0)  # the capability from which on they take TF32, and memory is copied past the registers
bind_plain = bind_with(lambda problem: PLAIN_TILES)
bind_mma = bind_with(mma_tiles)
kernel(Convolution, device="cuda", bind=bind_plain, when=serves, score=3.0, name="gemm")(
    PLAIN_TILES[0].function
)
kernel(InnerProduct, device="cuda", bind=bind_plain, when=many_rows, score=3.0, name="gemm")(
    PLAIN_TILES[0].function
)
kernel(Convolution, device="cuda", bind=bind_mma, when=native.serves(serves, TENSOR_CORES), score=4.0)(
    gemm_mma
)
kernel(InnerProduct, device="cuda", bind=bind_mma, when=native.serves(many_rows, TENSOR_CORES), score=4.0)(
    gemm_mma
)
