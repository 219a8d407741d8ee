"""cost: what a command costs: cycles of the array and its neighbours, or of the bus, and multiply-adds.

    CONV       pixels × ceil(outputs / columns) × ceil(products / 32)
    depthwise  pixels × ceil(outputs / columns) × ceil(products / 32), or as long as its rows take to be read
    POOL       as depthwise
    ELTWISE, TABLE  ceil(numbers / lanes)
    LOAD, STORE, LOADW  a run begins and ends at multiples of the bus's width: ceil, and one more if it may lie across

each after `start` cycles.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod

from .commands import DEPTHWISE, Conv, Eltwise, Load, Loadw, Pool, Store, Table, _Window
from .fields import Command
from .machine import Machine
from .touch import products


@singledispatch
def cycles(command: Command, machine: Machine) -> int:
    """How long the command keeps its part of the chip busy."""
    raise NotImplementedError(type(command).__name__)


@cycles.register
def _(c: Conv, m: Machine) -> int:
    groups = _ceil(c.outputs, m.columns)
    if c.flags & DEPTHWISE:
        return m.start + _each_channel(c, groups, m)
    return m.start + c.y_rows * c.y_width * groups * _ceil(products(c), m.products)


@cycles.register
def _(c: Pool, m: Machine) -> int:
    return m.start + _each_channel(c, _ceil(c.channels, m.columns), m)


def _each_channel(c: _Window, groups: int, m: Machine) -> int:
    """A column keeps its channel's window, and is given the rows of one or more new columns of the image."""
    new_cells = c.kernel[0] * min(c.stride[1], c.kernel[1])
    return c.y_rows * c.y_width * groups * max(_ceil(prod(c.kernel), m.products), _ceil(new_cells, m.port))


@cycles.register(Eltwise)
@cycles.register(Table)
def _(c: Eltwise | Table, m: Machine) -> int:
    return m.start + _ceil(c.size, m.lanes)


@cycles.register(Load)
@cycles.register(Store)
def _(c: Load | Store, m: Machine) -> int:
    return m.start + beats(c.run, c.dram, c.count, c.dram_step, m)


@cycles.register
def _(c: Loadw, m: Machine) -> int:
    return m.start + beats(c.size, c.image, (), (), m)


def beats(run: int, dram: int, count: tuple[int, ...], steps: tuple[int, ...], m: Machine) -> int:
    """Cycles of the bus: runs that follow one another without a gap are one run."""
    axes = [(n, step) for n, step in zip(count, steps, strict=True) if n > 1]
    while axes and axes[-1][1] == run:
        run *= axes.pop()[0]
    aligned = all(step % m.bus == 0 for _, step in axes)
    across = (dram % m.bus) if aligned else (m.bus - 1)
    return prod(n for n, _ in axes) * _ceil(run + across, m.bus)


def macs(c: Command) -> int:
    """Multiply-adds that a command is for."""
    return c.y_rows * c.y_width * c.outputs * products(c) if isinstance(c, Conv) else 0


def moved(c: Command) -> int:
    """Bytes that a command moves over the bus."""
    if isinstance(c, (Load, Store)):
        return c.run * prod(c.count)
    return c.size if isinstance(c, Loadw) else 0


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
