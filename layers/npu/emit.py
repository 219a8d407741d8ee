"""emit: the commands of a work, piece by piece: load what the piece reads, compute, store what it wrote.

They are in an order that is right one after the other; see schedule for how they come to overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from .commands import Conv, Load, Loadw, Store
from .fields import Command
from .tiling import Tiling, chain_rows, x_columns, x_rows
from .works import Chain, Flat, Move, Ref, Window, Work


@dataclass(frozen=True)
class At:
    """Where a tensor lies: in the activation buffer, or in DRAM."""

    resident: bool
    address: int


@dataclass
class Weights:
    """The weights image as it grows, and the weight buffer, which is filled round and round."""

    size: int
    image: bytearray = field(default_factory=bytearray)
    _next: int = 0

    def put(self, data: bytes) -> int:
        """Add to the image; returns where it lies."""
        self.image += bytes(-len(self.image) % 16)
        self.image += data
        return len(self.image) - len(data)

    def load(self, image: int, size: int) -> Loadw:
        """The command that brings part of the image into the buffer, behind what was brought last."""
        start = 0 if self._next + size > self.size else self._next
        self._next = -(-(start + size) // 16) * 16
        return Loadw(size, image, start)


class Slots:
    """Places in the buffer for what is streamed: one or two each, taken in turn."""

    def __init__(self, tiling: Tiling, low: int, high: int, from_top: bool):
        self._places: list[list[int]] = []
        self._turn = [0] * len(tiling.slots)
        at = 0
        for size, count in zip(tiling.slots, tiling.counts, strict=True):
            starts = [at + n * size for n in range(count)]
            at += size * count
            self._places.append([high - start - size if from_top else low + start for start in starts])

    def take(self, operand: int) -> int:
        """The address of the slot that is this operand's next."""
        places = self._places[operand]
        self._turn[operand] += 1
        return places[(self._turn[operand] - 1) % len(places)]


def emit(
    work: Work, tiling: Tiling, where: Mapping[str, At], slots: Slots, weights: Weights
) -> list[Command]:
    """All commands of a work."""
    if isinstance(work, Window):
        return _Window(work, tiling, where, slots, weights, []).commands()
    if isinstance(work, Chain):
        return _chain(work, tiling, where, slots, weights)
    if isinstance(work, Flat):
        return _flat(work, tiling, where, slots, weights)
    return _move(work, tiling, where, slots)


class _Window:
    """A window's commands as they are made."""

    def __init__(
        self,
        work: Window,
        tiling: Tiling,
        where: Mapping[str, At],
        slots: Slots,
        weights: Weights,
        made: list[Command],
    ):
        self.work, self.tiling, self.slots, self.weights = work, tiling, slots, weights
        self.x, self.y = (_at(ref, where) for ref in (work.x, work.y))
        self.residual = _at(work.residual, where) if work.residual else None
        self.made = made
        self.images: dict[int, tuple[int, int]] = {}  # part -> where in the image, and bytes

    def commands(self) -> list[Command]:
        parts = range(0, self.work.outputs, self.tiling.part)
        width = self.work.command.y_width
        strips = range(0, width, self.tiling.columns or width)
        tiles = list(product(range(0, self.work.height, self.tiling.rows), strips))
        if self.tiling.parts_first:
            order = [(part, tile) for part in parts for tile in tiles]
        else:
            order = [(part, tile) for tile in tiles for part in parts]
        in_buffer: object = None
        loaded: dict = {}
        w = 0
        for part, (tile, strip) in order:
            if in_buffer != part:
                w, in_buffer = self.load_weights(part), part
            rows = min(self.tiling.rows, self.work.height - tile)
            columns = slice(strip, min(strip + (self.tiling.columns or width), width))
            key = (tile, strip) if self.work.dense else (part, tile, strip)
            if key not in loaded:
                loaded = {key: self.load_x(part, tile, rows, columns)}
            self.compute(part, tile, rows, w, loaded[key], columns=columns)
        return self.made

    def _outputs(self, part: int) -> int:
        return min(self.tiling.part, self.work.outputs - part)

    def load_weights(self, part: int) -> int:
        """Weights, and behind them parameters, of one part; returns their address. 0 if there are none."""
        if self.work.w is None:
            return 0
        if part not in self.images:
            rows = slice(part, part + self._outputs(part))
            data = b"".join(
                np.ascontiguousarray(a[rows]).tobytes() for a in (self.work.w, *self.work.parameters)
            )
            self.images[part] = self.weights.put(data), len(data)
        command = self.weights.load(*self.images[part])
        self.made.append(command)
        return command.chip

    def load_x(self, part: int, tile: int, rows: int, columns: slice | None = None) -> dict[str, Any]:
        """The fields of the command that say where the input's rows are, after they are there."""
        c, work = self.work.command, self.work
        share = 1 if work.dense else work.outputs // c.channels
        first_channel = 0 if work.dense else part // share
        channels = c.channels if work.dense else self._outputs(part) // share
        plane = c.height * c.width
        if self.x.resident:
            return dict(x=self.x.address + first_channel * plane, x_row=0, x_rows=c.height, x_plane=plane)
        first, end = x_rows(work, tile, rows)
        left, right, outside = (0, c.width, c.pad[1])
        if columns is not None and self.tiling.columns:  # a strip is an image of its own
            left, right, outside = x_columns(work, columns.start, columns.stop - columns.start)
        width, slot = right - left, self.slots.take(0)
        size = (end - first) * width
        dram = self.x.address + first_channel * plane + first * c.width + left
        axes = [(channels, plane, size), (end - first, c.width, width)]
        self.made.append(Load(**_box(width, dram, slot, axes)))
        strip = dict(width=width, pad=(c.pad[0], outside)) if self.tiling.columns else {}
        return dict(x=slot, x_row=first, x_rows=end - first, x_plane=size) | strip

    def compute(
        self,
        part: int,
        tile: int,
        rows: int,
        w: int,
        x: dict[str, Any],
        y: dict[str, int] | None = None,
        columns: slice | None = None,
    ) -> None:
        """`rows` output rows from `tile` on; into y, if that says where, else where the output lies."""
        work, c = self.work, self.work.command
        outputs = self._outputs(part)
        first, width = (columns.start, columns.stop - columns.start) if columns else (0, c.y_width)
        row, plane = c.y_width * work.item, work.height * c.y_width * work.item
        offset = part * plane + tile * row + first * work.item
        fields: dict[str, Any] = dict(x) | dict(y_row=tile, y_rows=rows, y_width=width)
        if isinstance(c, Conv):
            assert work.w is not None
            fields |= dict(outputs=outputs, w=w, parameters=w + outputs * work.w.shape[1])
        if not work.dense:
            fields["channels"] = outputs // (work.outputs // c.channels)
        if self.residual is not None:
            fields |= self._load_residual(outputs, rows, width, offset // work.item)
        if y is not None:
            self.made.append(replace(c, **fields, **y))
            return
        slot = self.y.address + offset if self.y.resident else self.slots.take(1)
        piece = width * work.item
        fields |= dict(y=slot, y_plane=plane if self.y.resident else rows * piece)
        self.made.append(replace(c, **fields))
        if not self.y.resident:
            axes = [(outputs, plane, rows * piece), (rows, row, piece)]
            self.made.append(Store(**_box(piece, self.y.address + offset, slot, axes)))

    def _load_residual(self, outputs: int, rows: int, width: int, offset: int) -> dict[str, int]:
        c, residual = self.work.command, self.residual
        assert residual is not None
        plane, size = self.work.height * c.y_width, rows * width
        if residual.resident:
            return dict(residual=residual.address + offset, residual_plane=plane)
        slot, axes = self.slots.take(2), [(outputs, plane, size), (rows, c.y_width, width)]
        self.made.append(Load(**_box(width, residual.address + offset, slot, axes)))
        return dict(residual=slot, residual_plane=size)


def _chain(
    work: Chain, tiling: Tiling, where: Mapping[str, At], slots: Slots, weights: Weights
) -> list[Command]:
    """Tile by tile, all stages in a row; each reads from the slot of the one before."""
    made: list[Command] = []
    between = {stage.y.tensor: At(False, 0) for stage in work.stages[:-1]}  # in slots: 3, 4, ...
    stages = [
        _Window(stage, Tiling(stage.outputs), {**where, **between}, slots, weights, made)
        for stage in work.stages
    ]
    loaded = [stage.load_weights(0) for stage in stages]
    for start in range(0, work.stages[-1].height, tiling.rows):
        rows = chain_rows(work, start, min(tiling.rows, work.stages[-1].height - start))
        x = stages[0].load_x(0, *rows[0])
        for number, (stage, w, (row, count)) in enumerate(zip(stages[:-1], loaded, rows, strict=False)):
            plane, slot = count * stage.work.command.y_width, slots.take(3 + number)
            stage.compute(0, row, count, w, x, dict(y=slot, y_plane=plane))
            x = dict(x=slot, x_row=row, x_rows=count, x_plane=plane)
        stages[-1].compute(0, *rows[-1], loaded[-1], x)
    return made


def _flat(
    work: Flat, tiling: Tiling, where: Mapping[str, At], slots: Slots, weights: Weights
) -> list[Command]:
    made: list[Command] = []
    operands = [_at(ref, where) for ref in (*work.xs, work.y)]
    command, repeat = work.command, getattr(work.command, "repeat", 1)
    if work.table:
        made.append(weights.load(weights.put(work.table), len(work.table)))
        command = replace(command, table=made[-1].chip)
    for start in range(0, command.size, tiling.part):
        size = min(tiling.part, command.size - start)
        addresses = []
        for number, at in enumerate(operands):
            share = repeat if number == 1 else 1
            is_input = number < len(work.xs)
            address = at.address + start // share if at.resident else slots.take(number)
            addresses.append(address)
            if is_input and not at.resident:
                made.append(Load(**_box(size // share, at.address + start // share, address, [])))
        xs, y = addresses[:-1], addresses[-1]
        x = xs[0] if work.table else (*xs, *[0] * (4 - len(xs)))
        made.append(replace(command, size=size, x=x, y=y))
        if not operands[-1].resident:
            made.append(Store(**_box(size, operands[-1].address + start, y, [])))
    return made


def _move(work: Move, tiling: Tiling, where: Mapping[str, At], slots: Slots) -> list[Command]:
    """Gather into the buffer, close together; scatter from there."""
    x, y = _at(work.x, where), _at(work.y, where)
    run, ((count, x_step, y_step), *inner) = work.pieces
    size, made = run * prod(n for n, _, _ in inner), []
    packed, steps = size, []  # the buffer's step of each axis
    for n, _, _ in inner:
        packed //= n
        steps.append(packed)
    for start in range(0, count, tiling.part):
        some, slot = min(tiling.part, count - start), slots.take(0)
        for kind, at, which, step in ((Load, x, 0, x_step), (Store, y, 1, y_step)):
            axes = [(some, step, size)]
            axes += [(n, ends[which], chip) for (n, *ends), chip in zip(inner, steps, strict=True)]
            made.append(kind(**_box(run, at.address + start * step, slot, axes)))
    return made


def _at(ref: Ref, where: Mapping[str, At]) -> At:
    at = where[ref.tensor]
    return At(at.resident, at.address + ref.offset)


def _box(run: int, dram: int, chip: int, axes: list[tuple[int, int, int]]) -> dict:
    """The fields of a transfer of `run` bytes at each place of a box of axes (count, DRAM's step, buffer's step)."""
    axes = [axis for axis in axes if axis[0] > 1]
    while axes and axes[-1][1:] == (run, run):  # without a gap on either side it is one run
        run *= axes.pop()[0]
    axes = [(1, 0, 0)] * (3 - len(axes)) + axes
    count, dram_step, chip_step = zip(*axes, strict=True)
    return dict(run=run, dram=dram, chip=chip, count=count, dram_step=dram_step, chip_step=chip_step)
