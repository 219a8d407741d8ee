"""verify: every command of a program, before any runs. No address depends on data, so this is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import singledispatch
from math import isfinite, prod

from ...engine.errors import FileError
from .commands import (
    DEPTHWISE,
    INT32,
    MOST,
    PROD,
    RESIDUAL,
    Conv,
    Eltwise,
    Load,
    Loadw,
    Pool,
    Store,
    Table,
    _Window,
)
from .fields import Command
from .touch import item_bytes, products, touches

ROW_MOST = 1 << 24  # products of a row of an output channel, and cells of a pooling window × 255
REACH_MOST = 1 << 24  # cells of the image and its padding that a command's windows reach


def verify(commands: Iterable[Command], sizes: Mapping[str, int]) -> None:
    """Refuse, with FileError, a command that makes no sense or leaves a memory. sizes: memory -> bytes."""
    for number, command in enumerate(commands):
        who = f"command {number}, {command.name}"
        for problem in _problems(command):
            if problem:
                raise FileError(f"{who}: {problem}")
        found = touches(command)
        for touch in found:
            if touch.end > sizes[touch.memory]:
                verb = "writes" if touch.written else "reads"
                raise FileError(
                    f"{who} {verb} bytes {touch.start} to {touch.end} of the {touch.memory}, "
                    f"which has {sizes[touch.memory]}"
                )
        for touch in found:
            if touch.written and any(touch.meets(other) for other in found if other is not touch):
                raise FileError(f"{who} writes over what it reads")


@singledispatch
def _problems(command: Command) -> Iterable[str]:
    """What is wrong with a command's numbers, whatever the memories' sizes."""
    raise NotImplementedError(type(command).__name__)


@_problems.register(Load)
@_problems.register(Store)
def _(c: Load | Store) -> Iterable[str]:
    yield _positive(run=c.run, count=min(c.count))
    total = c.run * prod(c.count)
    if total > 1 << 24:
        yield f"moves {total:,} bytes at once"


@_problems.register
def _(c: Loadw) -> Iterable[str]:
    yield _positive(size=c.size)


@_problems.register
def _(c: Conv) -> Iterable[str]:
    yield from _window(c, item_bytes(c), c.dilation)
    yield _positive(outputs=c.outputs, dilation=min(c.dilation))
    if c.flags > 63 or c.flags & 3 > INT32:
        yield f"flags are {c.flags}"
    if c.flags & DEPTHWISE and c.outputs % c.channels:
        yield f"{c.outputs} depthwise outputs are no multiple of {c.channels} channels"
    if products(c) * c.y_width > ROW_MOST:
        yield f"a row has {products(c) * c.y_width:,} products, more than {ROW_MOST:,}"
    if c.flags & RESIDUAL and c.residual_plane < c.y_rows * c.y_width:
        yield f"residual_plane is {c.residual_plane} but a channel has {c.y_rows * c.y_width} bytes"
    if not isfinite(c.residual_multiplier):
        yield f"residual_multiplier is {c.residual_multiplier}"


@_problems.register
def _(c: Pool) -> Iterable[str]:
    yield from _window(c, 1, (1, 1))
    if c.flags > 3:
        yield f"flags are {c.flags}"
    if prod(c.kernel) * 255 >= ROW_MOST:
        yield f"a window of {c.kernel[0]} × {c.kernel[1]} cells has a sum that float32 may not hold"
    if prod(c.kernel) * c.y_width > ROW_MOST:
        yield f"a row has {prod(c.kernel) * c.y_width:,} cells, more than {ROW_MOST:,}"
    if not isfinite(c.multiplier):
        yield f"multiplier is {c.multiplier}"


@_problems.register
def _(c: Eltwise) -> Iterable[str]:
    yield _positive(size=c.size, repeat=c.repeat)
    if not 2 <= c.inputs <= (2 if c.operation == PROD else len(c.x)) or c.operation > MOST:
        yield f"operation {c.operation} of {c.inputs} inputs"
    if (c.repeat > 1 and c.operation != PROD) or c.size % c.repeat:
        yield f"repeat is {c.repeat} for {c.size} numbers"
    if not all(map(isfinite, c.multiplier)):
        yield f"multiplier is {c.multiplier}"
    yield _limits(c)


@_problems.register
def _(c: Table) -> Iterable[str]:
    yield _positive(size=c.size)


def _window(c: _Window, item: int, dilation: tuple[int, int]) -> Iterable[str]:
    yield _positive(
        channels=c.channels, height=c.height, width=c.width, x_rows=c.x_rows, y_rows=c.y_rows,
        y_width=c.y_width, kernel=min(c.kernel), stride=min(c.stride),
    )  # fmt: skip
    if c.x_row + c.x_rows > c.height:
        yield f"rows {c.x_row} to {c.x_row + c.x_rows} are not of an image of {c.height}"
    if c.x_plane < c.x_rows * c.width:
        yield f"x_plane is {c.x_plane} but a channel has {c.x_rows * c.width} bytes"
    if c.y_plane < c.y_rows * c.y_width * item:
        yield f"y_plane is {c.y_plane} but a channel has {c.y_rows * c.y_width * item} bytes"
    reached = c.channels * prod(
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip((c.y_rows, c.y_width), c.stride, c.kernel, dilation, strict=True)
    )
    if reached > REACH_MOST:
        yield f"its windows reach {reached:,} cells, more than {REACH_MOST:,}"
    first, end = needed_rows(c, dilation[0])
    if first < end and (first < c.x_row or end > c.x_row + c.x_rows):
        yield f"needs the image's rows {first} to {end}, but has {c.x_row} to {c.x_row + c.x_rows}"
    yield _limits(c)


def needed_rows(c: _Window, dilation: int) -> tuple[int, int]:
    """The first of the image's rows that the windows reach, and the row behind the last."""
    return rows_for(c.y_row, c.y_rows, c.height, c.kernel[0], c.stride[0], dilation, c.pad[0])


def rows_for(
    y_row: int, y_rows: int, height: int, kernel: int, stride: int, dilation: int, pad: int
) -> tuple[int, int]:
    """The rows of an image that some output rows are made of, [first, end); empty if they lie in the padding."""
    first = y_row * stride - pad
    end = first + (y_rows - 1) * stride + (kernel - 1) * dilation + 1
    return max(first, 0), min(end, height)


def _limits(c: _Window | Eltwise) -> str:
    return f"low is {c.low} and high is {c.high}" if c.low > c.high else ""


def _positive(**numbers: int) -> str:
    return next((f"{name} is {number}" for name, number in numbers.items() if number < 1), "")
