"""execute: what each command does to the chip's memories, to the bit. Numbers as in docs/integer-specification.md.

Commands are checked before (verify): no address is looked at again here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce, singledispatch

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .commands import (
    AVERAGE,
    COUNT_PAD,
    DEPTHWISE,
    FP32,
    GATE,
    INT32,
    PROD,
    RESIDUAL,
    SLOPE,
    SUM,
    Conv,
    Eltwise,
    Load,
    Loadw,
    Pool,
    Store,
    Table,
    _Window,
)  # fmt: skip
from .fields import Command
from .machine import Machine
from .touch import parameter_bytes, parameter_rows

COLUMNS = 1 << 22  # numbers of unfolded windows that are held at a time: 32 MiB


class Memory:
    """The chip's memories, and the DRAM beside it. The weights image is shared, and never written."""

    def __init__(self, machine: Machine, dram: int, image: bytes):
        self.dram = np.zeros(dram, np.int8)
        self.image = np.frombuffer(image, np.int8)
        self.chip = np.zeros(machine.activations, np.int8)
        self.weights = np.zeros(machine.weights, np.int8)


def execute(commands: Sequence[Command], memory: Memory) -> None:
    """Run commands one after the other. They overlap on the chip, but never so that it would show."""
    with np.errstate(all="ignore"):  # a multiplier may be anything
        for command in commands:
            _run(command, memory)


@singledispatch
def _run(command: Command, memory: Memory) -> None:
    raise NotImplementedError(type(command).__name__)


@_run.register
def _(c: Load, memory: Memory) -> None:
    _box(memory.chip, c.chip, c.run, c.count, c.chip_step)[...] = _box(
        memory.dram, c.dram, c.run, c.count, c.dram_step
    )


@_run.register
def _(c: Store, memory: Memory) -> None:
    _box(memory.dram, c.dram, c.run, c.count, c.dram_step)[...] = _box(
        memory.chip, c.chip, c.run, c.count, c.chip_step
    )


def _box(where: np.ndarray, start: int, run: int, count: tuple, steps: tuple) -> np.ndarray:
    return as_strided(where[start:], (*count, run), (*steps, 1))


@_run.register
def _(c: Loadw, memory: Memory) -> None:
    memory.weights[c.chip : c.chip + c.size] = memory.image[c.image : c.image + c.size]


@_run.register
def _(c: Conv, memory: Memory) -> None:
    x = _padded(c, memory, c.dilation).astype(np.float64) - c.x_zero  # sums below 2**53 are exact
    b, multiplier, *more = _parameters(c, memory)
    unfold = _depthwise if c.flags & DEPTHWISE else _dense
    acc = unfold(c, x, memory) + b
    whole = acc.astype(np.int64).astype(np.int32)  # 32 bits, and what is above is lost
    out, to = _output(c, c.outputs, memory, c.flags & 3), c.flags & 3
    if to == INT32:
        out[...] = whole
        return
    v = whole.astype(np.float32) * multiplier
    if c.flags & RESIDUAL:
        shape, steps = (c.outputs, c.y_rows, c.y_width), (c.residual_plane, c.y_width, 1)
        residual = as_strided(memory.chip[c.residual :], shape, steps).astype(np.float32)
        v += (residual - np.float32(c.residual_zero)) * np.float32(c.residual_multiplier)
    if c.flags & SLOPE:
        v = np.where(v < 0, v * more[0], v)
    if c.flags & GATE:
        start, gain, offset = more[-3:]
        v = v * np.clip(v + start, np.float32(0), np.float32(1)) * gain + offset
    out[...] = v if to == FP32 else _int8(v, c)


def _dense(c: Conv, x: np.ndarray, memory: Memory) -> np.ndarray:
    """The sums as a matrix product, some rows at a time: windows unfolded are KH × KW times as large."""
    count = c.channels * c.kernel[0] * c.kernel[1]
    w = memory.weights[c.w : c.w + c.outputs * count].reshape(c.outputs, count).astype(np.float64)
    windows = _windows(c, x, c.dilation)
    acc = np.empty((c.outputs, c.y_rows, c.y_width))
    step = max(COLUMNS // (count * c.y_width), 1)
    for row in range(0, c.y_rows, step):
        some = windows[:, row : row + step].transpose(0, 3, 4, 1, 2).reshape(count, -1)
        acc[:, row : row + step] = (w @ some).reshape(c.outputs, -1, c.y_width)
    return acc


def _depthwise(c: Conv, x: np.ndarray, memory: Memory) -> np.ndarray:
    """The sums of each channel alone, a place of the window after the other."""
    kh, kw = c.kernel
    w = memory.weights[c.w : c.w + c.outputs * kh * kw].reshape(c.outputs, kh, kw).astype(np.float64)
    share = c.outputs // c.channels
    windows = _windows(c, x if share == 1 else np.repeat(x, share, axis=0), c.dilation)
    taps = (windows[..., i, j] * w[:, i, j, None, None] for i, j in np.ndindex(kh, kw))
    return reduce(np.add, taps)


def _parameters(c: Conv, memory: Memory) -> list[np.ndarray]:
    """b, multiplier and what else there is, (outputs, 1, 1) each: 4 bytes a number, wherever they lie."""
    kinds = [np.int32, *[np.float32] * (parameter_rows(c) - 1)]
    raw = memory.weights[c.parameters : c.parameters + parameter_bytes(c.outputs, len(kinds))].copy()
    rows = zip(np.split(raw, len(kinds)), kinds, strict=True)
    return [row.view(kind)[:, None, None] for row, kind in rows]


@_run.register
def _(c: Pool, memory: Memory) -> None:
    average = c.flags & AVERAGE
    outside = 0.0 if average else -np.inf
    windows = _windows(c, _padded(c, memory, (1, 1), outside), (1, 1))
    taps = (windows[..., i, j] for i, j in np.ndindex(*c.kernel))
    v = reduce(np.add if average else np.maximum, taps)
    if average:
        v = v / np.outer(_cells(c, 0), _cells(c, 1)).astype(np.float32)
    _output(c, c.channels, memory)[...] = _int8(v * np.float32(c.multiplier), c)


def _cells(c: Pool, axis: int) -> np.ndarray:
    """How many cells of each window count, along one axis."""
    first, count, size = ((c.y_row, c.y_rows, c.height), (0, c.y_width, c.width))[axis]
    start = (np.arange(count) + first) * c.stride[axis] - c.pad[axis]
    end = start + c.kernel[axis]
    if c.flags & COUNT_PAD:
        return np.minimum(end, size + c.end[axis]) - start
    return np.minimum(end, size) - np.maximum(start, 0)


@_run.register
def _(c: Eltwise, memory: Memory) -> None:
    read = [memory.chip[x : x + c.size] for x in c.x[: c.inputs]]
    if c.repeat > 1:
        read[1] = np.repeat(read[1][: c.size // c.repeat], c.repeat)
    xs = [x.astype(np.float32) - np.float32(z) for x, z in zip(read, c.x_zero, strict=False)]
    factors = [np.float32(m) for m in c.multiplier]
    if c.operation == PROD:
        v = xs[0] * xs[1] * factors[0]
    else:
        scaled = (x * m for x, m in zip(xs, factors, strict=False))
        v = reduce(np.add if c.operation == SUM else np.maximum, scaled)
    memory.chip[c.y : c.y + c.size] = _int8(v, c)


@_run.register
def _(c: Table, memory: Memory) -> None:
    table = memory.weights[c.table : c.table + 256]
    memory.chip[c.y : c.y + c.size] = table[memory.chip[c.x : c.x + c.size].astype(np.int64) + 128]


def _padded(
    c: _Window, memory: Memory, dilation: tuple[int, int], outside: float | None = None
) -> np.ndarray:
    """All that the windows reach, (channels, rows, columns): outside the image is x_zero, or `outside`."""
    rows = (c.y_rows - 1) * c.stride[0] + (c.kernel[0] - 1) * dilation[0] + 1
    columns = (c.y_width - 1) * c.stride[1] + (c.kernel[1] - 1) * dilation[1] + 1
    x = as_strided(memory.chip[c.x :], (c.channels, c.x_rows, c.width), (c.x_plane, c.width, 1))
    kind = np.int8 if outside is None else np.float32
    reached = np.full((c.channels, rows, columns), c.x_zero if outside is None else outside, kind)
    first = c.y_row * c.stride[0] - c.pad[0] - c.x_row  # the tile's row that `reached` begins with
    from_row, to_row = max(first, 0), min(first + rows, c.x_rows)
    to_column = min(columns - c.pad[1], c.width)
    if from_row < to_row and to_column > 0:
        inside = reached[:, from_row - first : to_row - first, c.pad[1] : c.pad[1] + to_column]
        inside[...] = x[:, from_row:to_row, :to_column]
        if outside is not None:
            inside -= np.float32(c.x_zero)
    return reached


def _windows(c: _Window, x: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """What each result is made of, without a copy: (channels, y_rows, y_width, KH, KW)."""
    plane, row, column = x.strides
    shape = (len(x), c.y_rows, c.y_width, *c.kernel)
    steps = (plane, row * c.stride[0], column * c.stride[1], row * dilation[0], column * dilation[1])
    return as_strided(x, shape, steps)


def _output(c: _Window, channels: int, memory: Memory, to: int = 0) -> np.ndarray:
    """The output's place, (channels, y_rows, y_width); what is of 4 bytes lies at any address."""
    kind = (np.dtype(np.int8), np.dtype(np.float32), np.dtype(np.int32))[to]
    end = c.y + (channels - 1) * c.y_plane + c.y_rows * c.y_width * kind.itemsize
    shape, steps = (channels, c.y_rows, c.y_width), (c.y_plane, c.y_width * kind.itemsize, kind.itemsize)
    return np.ndarray(shape, kind, memory.chip[c.y : end].data, 0, steps)


def _int8(v: np.ndarray, c: _Window | Eltwise) -> np.ndarray:
    """clamp(rint(v) + zero, low, high); what is no number becomes low."""
    bounded = np.fmin(np.fmax(v, np.float32(c.low - c.zero)), np.float32(c.high - c.zero))
    return (np.rint(bounded) + np.float32(c.zero)).astype(np.int8)
