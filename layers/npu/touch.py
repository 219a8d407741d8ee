"""touch: which bytes a command reads and writes, so that addresses can be checked and commands kept in order.

A box of runs counts as all the bytes from its first to its last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from .commands import (
    DEPTHWISE,
    FP32,
    GATE,
    RESIDUAL,
    SLOPE,
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

DRAM, IMAGE, CHIP, WEIGHTS = "DRAM", "weights image", "activation buffer", "weight buffer"


@dataclass(frozen=True)
class Touch:
    """Bytes `start` to `end` of a memory."""

    memory: str
    start: int
    end: int
    written: bool = False

    def meets(self, other: Touch) -> bool:
        """Whether the order matters in which the two happen."""
        overlap = self.start < other.end and other.start < self.end and self.memory == other.memory
        return overlap and (self.written or other.written)


@singledispatch
def touches(command: Command) -> list[Touch]:
    """What a command reads and writes."""
    raise NotImplementedError(type(command).__name__)


@touches.register(Load)
@touches.register(Store)
def _(c: Load | Store) -> list[Touch]:
    loads = isinstance(c, Load)
    dram, chip = (c.run + sum((n - 1) * step for n, step in zip(c.count, steps, strict=True))
                  for steps in (c.dram_step, c.chip_step))  # fmt: skip
    return [Touch(DRAM, c.dram, c.dram + dram, not loads), Touch(CHIP, c.chip, c.chip + chip, loads)]


@touches.register
def _(c: Loadw) -> list[Touch]:
    return [Touch(IMAGE, c.image, c.image + c.size), Touch(WEIGHTS, c.chip, c.chip + c.size, True)]


@touches.register
def _(c: Pool) -> list[Touch]:
    return _window(c, c.channels)


@touches.register
def _(c: Conv) -> list[Touch]:
    rows = parameter_bytes(c.outputs, parameter_rows(c))
    found = [
        *_window(c, c.outputs, item_bytes(c)),
        Touch(WEIGHTS, c.w, c.w + c.outputs * products(c)),
        Touch(WEIGHTS, c.parameters, c.parameters + rows),
    ]
    if c.flags & RESIDUAL:
        last = (c.outputs - 1) * c.residual_plane + c.y_rows * c.y_width
        found.append(Touch(CHIP, c.residual, c.residual + last))
    return found


def _window(c: _Window, outputs: int, item: int = 1) -> list[Touch]:
    x = (c.channels - 1) * c.x_plane + c.x_rows * c.width
    y = (outputs - 1) * c.y_plane + c.y_rows * c.y_width * item
    return [Touch(CHIP, c.x, c.x + x), Touch(CHIP, c.y, c.y + y, True)]


@touches.register
def _(c: Eltwise) -> list[Touch]:
    sizes = [c.size] * c.inputs
    if c.repeat > 1:
        sizes[1] = c.size // c.repeat
    read = [Touch(CHIP, x, x + size) for x, size in zip(c.x, sizes, strict=False)]
    return [*read, Touch(CHIP, c.y, c.y + c.size, True)]


@touches.register
def _(c: Table) -> list[Touch]:
    return [
        Touch(CHIP, c.x, c.x + c.size),
        Touch(WEIGHTS, c.table, c.table + 256),
        Touch(CHIP, c.y, c.y + c.size, True),
    ]


def products(c: Conv) -> int:
    """How many products each result is a sum of."""
    return c.kernel[0] * c.kernel[1] * (1 if c.flags & DEPTHWISE else c.channels)


def item_bytes(c: Conv) -> int:
    """Bytes of a result."""
    return 4 if c.flags & 3 >= FP32 else 1


def parameter_rows(c: Conv) -> int:
    """b and multiplier; slope; the gate's start, gain and offset."""
    return 2 + bool(c.flags & SLOPE) + 3 * bool(c.flags & GATE)


def parameter_bytes(outputs: int, rows: int) -> int:
    """Bytes of a CONV's parameters."""
    return outputs * rows * 4
