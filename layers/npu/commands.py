"""commands: what the chip can be told. docs/npu.md has the same as tables.

Addresses: `dram` in the DRAM of activations, `chip` and what has no other name in the activation buffer, `w`, `table`
and `parameters` in the weight buffer. An image lies in the buffer channel by channel, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Command, command, f32, i8, several, u8, u16, u32

INT8, FP32, INT32 = 0, 1, 2  # what CONV writes
DEPTHWISE, RESIDUAL, SLOPE, GATE = 4, 8, 16, 32  # flags of CONV, beside what it writes
MAX, AVERAGE, COUNT_PAD = 0, 1, 2  # flags of POOL
SUM, PROD, MOST = 0, 1, 2  # operations of ELTWISE
INPUTS = 4  # of ELTWISE, at most


@dataclass(frozen=True)
class _Transfer(Command):
    run: int = u32("bytes in a row")
    dram: int = u32("where the first run begins in DRAM")
    chip: int = u32("where it begins in the activation buffer")
    count: tuple[int, int, int] = several("I", 3, "how many runs, along three axes", (1, 1, 1))
    dram_step: tuple[int, int, int] = several(
        "I", 3, "bytes from one run to the next in DRAM, along each", (0, 0, 0)
    )
    chip_step: tuple[int, int, int] = several("I", 3, "the same in the activation buffer", (0, 0, 0))


@command(1)
@dataclass(frozen=True)
class Load(_Transfer):
    """DRAM to activation buffer, `run` bytes at each place of a box of count[0] × count[1] × count[2]."""


@command(2)
@dataclass(frozen=True)
class Store(_Transfer):
    """Activation buffer to DRAM, as LOAD."""


@command(3)
@dataclass(frozen=True)
class Loadw(Command):
    """Weights image to weight buffer."""

    size: int = u32("bytes")
    image: int = u32("where they begin in the weights image")
    chip: int = u32("where they begin in the weight buffer")


@dataclass(frozen=True)
class _Window(Command):
    """Rows y_row to y_row + y_rows of an image, of which rows x_row to x_row + x_rows are in the buffer."""

    x: int = u32("address of the input's row x_row, channel 0")
    y: int = u32("address of the output's row y_row, channel 0")
    x_plane: int = u32("bytes from one channel of the input to the next")
    y_plane: int = u32("the same for the output")
    channels: int = u16("channels of the input")
    height: int = u16("rows of the whole image")
    width: int = u16("columns of the image")
    x_row: int = u16("the image's first row that is in the buffer")
    x_rows: int = u16("how many are")
    y_row: int = u16("the first output row to compute")
    y_rows: int = u16("how many")
    y_width: int = u16("columns of the output")
    kernel: tuple[int, int] = several("H", 2, "rows and columns of the window")
    stride: tuple[int, int] = several("B", 2, "from one window to the next, down and across")
    pad: tuple[int, int] = several("B", 2, "rows above and columns left of the image")
    x_zero: int = i8("what stands for 0 in the input")
    zero: int = i8("what stands for 0 in the output")
    low: int = i8("least result")
    high: int = i8("largest result")


@command(4)
@dataclass(frozen=True)
class Conv(_Window):
    """A convolution of a tile; an inner product is one of an image of 1 × 1. Outside the image is x_zero.

    acc = sum of (x - x_zero) * w + b;  v = float32(acc) * multiplier;  residual, slope, gate as specified
    """

    flags: int = u8(
        "writes: 0 int8, 1 fp32 (v), 2 int32 (acc); + 4 depthwise, + 8 residual, + 16 slope, + 32 gate", 0
    )
    outputs: int = u16("output channels; depthwise: channel m reads m // (outputs / channels)", 1)
    dilation: tuple[int, int] = several("B", 2, "from one row or column of the window to the next", (1, 1))
    w: int = u32("weights (outputs, channels, rows, columns), depthwise (outputs, rows, columns)", 0)
    parameters: int = u32(
        "b i32, multiplier f32; slope f32; the gate's start, gain, offset f32: (outputs) each", 0
    )
    residual: int = u32("address of what is added, rows as y's", 0)
    residual_plane: int = u32("bytes from one channel of it to the next", 0)
    residual_zero: int = i8("what stands for 0 in it", 0)
    residual_multiplier: float = f32("its steps in terms of the output's", 0.0)


@command(5)
@dataclass(frozen=True)
class Pool(_Window):
    """Windows of each channel: the largest, or the sum divided by how many cells count; minus x_zero, × multiplier."""

    flags: int = u8("0 max, 1 average; + 2: cells in the padding count", 0)
    end: tuple[int, int] = several(
        "B", 2, "rows below and columns right of the image: up to where cells count", (0, 0)
    )
    multiplier: float = f32("the input's steps in terms of the output's", 1.0)


@command(6)
@dataclass(frozen=True)
class Eltwise(Command):
    """Up to four rows of numbers become one: v = sum, product (of two) or largest of (x - x_zero) * multiplier."""

    operation: int = u8("0 sum, 1 product, 2 largest")
    inputs: int = u8("how many")
    size: int = u32("numbers in the output")
    y: int = u32("address of the output")
    x: tuple[int, int, int, int] = several("I", 4, "addresses of the inputs", (0, 0, 0, 0))
    x_zero: tuple[int, int, int, int] = several("b", 4, "what stands for 0 in each", (0, 0, 0, 0))
    multiplier: tuple[float, float, float, float] = several(
        "f", 4, "each one's steps in terms of the output's; a product's is the first", (0.0, 0.0, 0.0, 0.0)
    )
    repeat: int = u32("product: each number of the second input serves so many of the first", 1)
    zero: int = i8("what stands for 0 in the output", 0)
    low: int = i8("least result", -128)
    high: int = i8("largest result", 127)


@command(7)
@dataclass(frozen=True)
class Table(Command):
    """y = table[x + 128]"""

    size: int = u32("numbers")
    x: int = u32("address of the input")
    y: int = u32("address of the output")
    table: int = u32("address of 256 int8 in the weight buffer")


WORK = (Conv, Pool, Eltwise, Table)  # what computes; the others move
