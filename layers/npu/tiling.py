"""tiling: into how many pieces a work is cut, so that it fits the buffers and the bus has little to do.

A window's output is cut into parts (output channels, with their weights) and tiles (rows). Tiles read rows that their
neighbours read, too: the halo. Whatever is streamed has two slots in the buffer, so that one is filled or emptied
while the array works on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from .commands import Conv
from .cost import cycles
from .machine import Machine
from .touch import parameter_bytes
from .verify import rows_for
from .works import Flat, Move, Window, Work

ALIGN = 64


@dataclass(frozen=True)
class Tiling:
    """How a work is cut.

    part         output channels of a piece; of a Flat work numbers, of a Move runs of its first axis
    rows         output rows of a piece
    parts_first  every tile of a part before the next part: weights are read once, the input once for each part
    slots        bytes of the slots of x, y and residual (or of each operand), 0 for one that stays in the buffer
    cycles       about how long it takes
    """

    part: int
    rows: int = 1
    parts_first: bool = False
    slots: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    cycles: float = 0.0

    @property
    def room(self) -> int:
        """Bytes of all slots."""
        return sum(size * count for size, count in zip(self.slots, self.counts, strict=True))


@lru_cache(maxsize=1 << 14)
def tiling_of(work: Work, resident: tuple[bool, ...], room: int, machine: Machine) -> Tiling | None:
    """The fastest way to cut a work in so much room; None if there is none.

    resident  of each operand (x, y, residual; or inputs, then the output): it stays in the buffer
    """
    if isinstance(work, Move):
        return _move(work, room, machine)
    found = _windows(work, resident, machine) if isinstance(work, Window) else _flats(work, resident, machine)
    fitting = [tiling for tiling in found if tiling.room <= room]
    return min(fitting, key=lambda t: t.cycles, default=None)


def x_rows(work: Window, row: int, rows: int) -> tuple[int, int]:
    """The rows of the input that some output rows read; one that is there, if all lie in the padding."""
    c = work.command
    first, end = rows_for(row, rows, c.height, c.kernel[0], c.stride[0], work.dilation, c.pad[0])
    first = min(first, c.height - 1)
    return first, max(end, first + 1)


def weight_bytes(work: Window, outputs: int) -> int:
    """Bytes of so many outputs' weights and parameters."""
    if work.w is None:
        return 0
    return outputs * work.w.shape[1] + parameter_bytes(outputs, len(work.parameters) > 2)


@lru_cache(maxsize=1 << 12)
def _windows(work: Window, resident: tuple[bool, ...], m: Machine) -> tuple[Tiling, ...]:
    return tuple(
        _window(work, part, rows, order, resident, m)
        for part in _parts(work, m)
        for rows in _rows(work)
        for order in ((True, False) if part < work.outputs and rows < work.height else (False,))
    )


def _parts(work: Window, m: Machine) -> Iterator[int]:
    """Numbers of output channels to try, whose weights leave room for the next ones', if they can."""
    least = weight_bytes(work, 1)
    limit = m.weights // 2 if least <= m.weights // 2 else m.weights
    most = min(work.outputs, limit // least) if least else work.outputs
    channels = work.command.channels
    unit = 1 if work.dense else work.outputs // channels  # a part has whole channels of the input
    tried = set()
    pieces = 1
    while pieces <= 64:
        part = -(-work.outputs // pieces)
        part = -(-part // m.columns) * m.columns if part > m.columns else part
        part = min(part, most) // unit * unit
        if part and part not in tried:
            tried.add(part)
            yield part
        pieces += 1 if pieces < 8 else pieces // 4
    if most >= unit and not tried:
        yield most // unit * unit


def _rows(work: Window) -> list[int]:
    """Numbers of rows to try: all, and as many as make 2, 3, 4, 6, 8, 12 ... tiles."""
    counts = {1, 2, 3, work.height}
    step = 4
    while step < work.height:
        counts |= {step, step * 3 // 2}
        step *= 2
    return sorted({-(-work.height // count) for count in counts if count <= work.height})


def _window(
    work: Window, part: int, rows: int, parts_first: bool, resident: tuple[bool, ...], m: Machine
) -> Tiling:
    c = work.command
    parts, tiles = -(-work.outputs // part), -(-work.height // rows)
    extent = (c.kernel[0] - 1) * work.dilation + 1
    read = min(c.height, (rows - 1) * c.stride[0] + extent)
    channels = c.channels if work.dense else part * c.channels // work.outputs
    x = channels * read * c.width
    y = part * rows * c.y_width * work.item
    loads = tiles if work.dense and not parts_first else parts * tiles
    loads = 1 if work.dense and tiles == 1 else loads
    many = 2 if parts * tiles > 1 else 1
    slots = tuple(
        0 if there else _aligned(size) for there, size in zip(resident, (x, y, y // work.item), strict=False)
    )
    counts = (2 if loads > 1 else 1, many, many)[: len(slots)]
    held = parts_first or parts == 1  # weights are read once
    weights = weight_bytes(work, work.outputs) * (1 if held else tiles)
    piece = replace(c, y_rows=rows, **({"outputs": part} if isinstance(c, Conv) else {"channels": part}))
    busy = cycles(piece, m) * parts * tiles
    x_total = 0 if resident[0] else loads * x
    y_total = sum(
        work.outputs * work.height * c.y_width * n
        for n, there in zip((work.item, 1), resident[1:], strict=False)
        if not there
    )
    commands = (
        loads * (not resident[0])
        + parts * (1 if held else tiles)
        + parts * tiles * (len(resident) - 1 - sum(resident[1:]))
    )
    bus = (weights + x_total + y_total) / m.bus + commands * m.start
    ends = sum(slots) / m.bus  # before the first piece, and behind the last, only one of the two works
    return Tiling(part, rows, parts_first, slots, counts, max(busy, bus) + ends)


@lru_cache(maxsize=1 << 12)
def _flats(work: Flat, resident: tuple[bool, ...], m: Machine) -> tuple[Tiling, ...]:
    size, streamed = work.command.size, len(resident) - sum(resident)
    unit = getattr(work.command, "repeat", 1)
    found = []
    pieces = 1
    while pieces <= size // unit:
        part = -(-size // unit // pieces) * unit
        count = 2 if part < size else 1
        slots = tuple(
            0 if there else _aligned(part // (unit if at == 1 else 1)) for at, there in enumerate(resident)
        )
        busy = (-(-size // part)) * m.start + size / m.lanes
        bus = streamed * (size / m.bus + -(-size // part) * m.start)
        ends = sum(slots) / m.bus
        found.append(Tiling(part, 1, False, slots, (count,) * len(slots), max(busy, bus) + ends))
        pieces *= 2
    return tuple(found)


def _move(work: Move, room: int, m: Machine) -> Tiling | None:
    """As many runs of the first axis at a time as fit twice."""
    count, *_ = work.axes[0] if work.axes else (1,)
    inner = work.run
    for n, *_ in work.axes[1:]:
        inner *= n
    part = min(count, room // 2 // _aligned(inner)) if inner else 0
    if not part:
        return None
    size = _aligned(part * inner)
    runs = count * inner // work.run
    time = 2 * (runs * -(-work.run // m.bus) + -(-count // part) * m.start)
    return Tiling(part, 1, False, (size,), (2 if part < count else 1,), time)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
