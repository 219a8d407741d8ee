"""tiling: into how many pieces a work is cut, so that it fits the buffers and the bus has little to do.

A window's output is cut into parts (output channels, with their weights) and tiles (rows). Tiles read rows that their
neighbours read, too: the halo. Where not even one row fits, rows are cut into strips of columns, each of which is an
image of its own to the array. Whatever is streamed has two slots in the buffer, so that one is filled or emptied while
the array works on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

from .commands import Conv
from .cost import cycles
from .machine import Machine
from .touch import parameter_bytes
from .verify import rows_for
from .works import Chain, Flat, Move, Window, Work

ALIGN = 64


@dataclass(frozen=True)
class Tiling:
    """How a work is cut.

    part         output channels of a piece; of a Flat work numbers, of a Move runs of its first axis
    rows         output rows of a piece; of a Chain the last stage's
    columns      output columns of a piece, 0 for whole rows
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
    columns: int = 0

    @property
    def room(self) -> int:
        """Bytes of all slots."""
        return sum(size * count for size, count in zip(self.slots, self.counts, strict=True))


def tiling_of(work: Work, resident: tuple[bool, ...], room: int, machine: Machine) -> Tiling | None:
    """The fastest way to cut a work in so much room; None if there is none. Kept on the work.

    resident  of each operand (x, y, residual; or inputs, then the output): it stays in the buffer
    """
    kept = vars(work).setdefault("_tilings", {})
    key = resident, machine
    if key not in kept:
        kept[key] = sorted(_ways[type(work)](work, resident, machine), key=lambda tiling: tiling.cycles)
    return next((tiling for tiling in kept[key] if tiling.room <= room), None)


def x_rows(work: Window, row: int, rows: int) -> tuple[int, int]:
    """The rows of the input that some output rows read; one that is there, if all lie in the padding."""
    c = work.command
    first, end = rows_for(row, rows, c.height, c.kernel[0], c.stride[0], work.dilation, c.pad[0])
    first = min(first, c.height - 1)
    return first, max(end, first + 1)


def x_columns(work: Window, column: int, columns: int) -> tuple[int, int, int]:
    """The columns of the input that some output columns read, [first, end), and how many lie left of the image."""
    c = work.command
    start = column * c.stride[1] - c.pad[1]
    end = start + (columns - 1) * c.stride[1] + (c.kernel[1] - 1) * work.dilation_across + 1
    first = max(start, 0)
    return first, max(min(end, c.width), first + 1), max(-start, 0)


def weight_bytes(work: Window, outputs: int) -> int:
    """Bytes of so many outputs' weights and parameters."""
    if work.w is None:
        return 0
    return outputs * work.w.shape[1] + parameter_bytes(outputs, len(work.parameters))


def _windows(work: Window, resident: tuple[bool, ...], m: Machine) -> list[Tiling]:
    ways = [
        _window(work, part, rows, 0, order, resident, m)
        for part in _parts(work, m)
        for rows in _rows(work)
        for order in ((True, False) if part < work.outputs and rows < work.height else (False,))
    ]
    if any(resident) or any(way.room <= m.room(0) for way in ways):
        return ways
    return [
        _window(work, part, rows, columns, order, resident, m)
        for part in _parts(work, m)
        for rows in _halves(work.height)[-4:]
        for columns in _strips(work)
        for order in ((True, False) if part < work.outputs else (False,))
    ]


def _strips(work: Window) -> list[int]:
    """Numbers of columns to try. A strip has to begin within the image: what lies left of it is padding."""
    c = work.command
    last = {n: (c.y_width - 1) // n * n * c.stride[1] - c.pad[1] for n in _halves(c.y_width)[1:]}
    return [n for n, start in last.items() if start < c.width]


def _halves(size: int) -> list[int]:
    """The size, its half, a quarter, and so on down to one."""
    return sorted({-(-size // (1 << n)) for n in range(size.bit_length())}, reverse=True)


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
    work: Window,
    part: int,
    rows: int,
    columns: int,
    parts_first: bool,
    resident: tuple[bool, ...],
    m: Machine,
) -> Tiling:
    c = work.command
    y_width = columns or c.y_width
    parts, tiles = -(-work.outputs // part), -(-work.height // rows) * -(-c.y_width // y_width)
    extent = (c.kernel[0] - 1) * work.dilation + 1
    read = min(c.height, (rows - 1) * c.stride[0] + extent)
    across = (c.kernel[1] - 1) * work.dilation_across + 1
    width = min(c.width, (columns - 1) * c.stride[1] + across) if columns else c.width
    channels = c.channels if work.dense else part * c.channels // work.outputs
    x = channels * read * width
    y = part * rows * y_width * work.item
    loads = tiles if work.dense and not parts_first else parts * tiles
    loads = 1 if work.dense and tiles == 1 else loads
    many = 2 if parts * tiles > 1 else 1
    slots = tuple(
        0 if there else _aligned(size) for there, size in zip(resident, (x, y, y // work.item), strict=False)
    )
    counts = (2 if loads > 1 else 1, many, many)[: len(slots)]
    held = parts_first or parts == 1  # weights are read once
    weights = weight_bytes(work, work.outputs) * (1 if held else tiles)
    piece = replace(
        c, y_rows=rows, y_width=y_width, **({"outputs": part} if isinstance(c, Conv) else {"channels": part})
    )
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
    return Tiling(part, rows, parts_first, slots, counts, max(busy, bus) + ends, columns)


def _flats(work: Flat, resident: tuple[bool, ...], m: Machine) -> list[Tiling]:
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
    return found


def _moves(work: Move, resident: tuple[bool, ...], m: Machine) -> list[Tiling]:
    """So many runs of the first axis at a time; both ends are in DRAM."""
    run, ((count, *_), *rest) = work.pieces
    inner = run * prod(n for n, *_ in rest)
    found = []
    pieces = 1
    while pieces <= count:
        part = -(-count // pieces)
        runs = count * inner // run
        time = 2 * (runs * -(-run // m.bus) + -(-count // part) * m.start)
        found.append(Tiling(part, 1, False, (_aligned(part * inner),), (2 if part < count else 1,), time))
        pieces *= 2
    return found


def chain_rows(work: Chain, row: int, rows: int) -> list[tuple[int, int]]:
    """Of each stage the first output row, and how many, that so many of the last one's are made of."""
    found = [(row, rows)]
    for stage in reversed(work.stages[1:]):
        first, end = x_rows(stage, *found[0])
        found.insert(0, (first, end - first))
    return found


def _chains(work: Chain, resident: tuple[bool, ...], m: Machine) -> list[Tiling]:
    """Tiles of rows; every stage's weights are in the buffer all the time.

    slots  x, y, residual, and one for what lies behind each stage but the last
    """
    weights = sum(_aligned(weight_bytes(stage, stage.outputs)) for stage in work.stages)
    if weights > m.weights // 2:
        return []
    first, last = work.stages[0], work.stages[-1]
    there = (*resident, True)[:3]
    found = []
    for rows in _rows(last):
        tiles = [chain_rows(work, row, min(rows, last.height - row)) for row in range(0, last.height, rows)]
        most = [max(count for _, count in stage) for stage in zip(*tiles, strict=True)]
        sizes = [
            n * stage.outputs * stage.command.y_width * stage.item
            for n, stage in zip(most, work.stages, strict=True)
        ]
        reads = [x_rows(first, *tile[0]) for tile in tiles]
        row = first.command.channels * first.command.width
        x = max(end - start for start, end in reads) * row
        ends = [
            0 if t else _aligned(n)
            for t, n in zip(there, (x, sizes[-1], sizes[-1] // last.item), strict=True)
        ]
        count = 2 if len(tiles) > 1 else 1
        busy = sum(
            cycles(replace(stage.command, y_rows=n), m)
            for tile in tiles
            for (_, n), stage in zip(tile, work.stages, strict=True)
        )
        y = last.outputs * last.height * last.command.y_width
        moved = [sum(end - start for start, end in reads) * row, y * last.item, y]
        bus = sum(n for n, t in zip(moved, there, strict=True) if not t)
        time = (weights + bus) / m.bus + (len(work.stages) + len(tiles) * there.count(False)) * m.start
        slots = (*ends, *map(_aligned, sizes[:-1]))
        counts = (count,) * 3 + (1,) * (len(sizes) - 1)
        found.append(Tiling(last.outputs, rows, False, slots, counts, max(busy, time) + sum(ends) / m.bus))
    return found


_ways: dict[type, Callable[..., list[Tiling]]] = {
    Window: _windows,
    Flat: _flats,
    Move: _moves,
    Chain: _chains,
}


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
