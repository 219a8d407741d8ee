"""timing: how long a program takes on the chip, what goes over its bus, and what the array is used for.

Nothing here depends on data. The chip's commands wait for those before them that touch the same bytes: written in
blocks of 64 bytes (DRAM: of 1 KiB), for each of which it is known when it was last written and read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .commands import WORK, Load, Loadw, Store
from .cost import cycles, macs, moved
from .fields import SIZE, Command
from .program import End, Program
from .touch import CHIP, DRAM, WEIGHTS, touches

_BLOCK = {DRAM: 1024, CHIP: 64, WEIGHTS: 64}


@dataclass(frozen=True)
class Timing:
    """What one image takes.

    cycles   from the first command's begin to the last one's end
    array    cycles in which the array computes; bus: in which something is transferred
    macs     multiply-adds, with those computed twice;  peak: as many as the array could do in `cycles`
    traffic  bytes over the bus: weights, inputs, outputs, activations, commands
    layers   layer -> [cycles of the array, cycles of the bus, multiply-adds, bytes], where it is known
    """

    cycles: int
    array: int
    bus: int
    macs: int
    peak: int
    seconds: float
    traffic: Mapping[str, int]
    layers: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def utilisation(self) -> float:
        """Multiply-adds, as a share of those that the array could do in this time."""
        return self.macs / self.peak if self.peak else 0.0

    @property
    def dram_bytes(self) -> int:
        return sum(self.traffic.values())


def timing(program: Program) -> Timing:
    """How long a program takes."""
    m = program.machine
    sizes = {DRAM: program.dram, CHIP: m.activations, WEIGHTS: m.weights}
    written = {name: np.zeros(size // _BLOCK[name] + 1, np.int64) for name, size in sizes.items()}
    read = {name: blocks.copy() for name, blocks in written.items()}
    free = {"array": 0, "bus": 0}
    busy, traffic, layers = Counter[str](), Counter[str](), {}
    for number, command in enumerate(program.commands):
        part = "array" if isinstance(command, WORK) else "bus"
        start, places = free[part], []
        for touch in touches(command):
            if touch.memory not in written:
                continue  # the weights image is never written
            block = _BLOCK[touch.memory]
            places.append((touch, slice(touch.start // block, -(-touch.end // block))))
        for touch, place in places:
            start = max(start, int(written[touch.memory][place].max()))
            if touch.written:
                start = max(start, int(read[touch.memory][place].max()))
        took = cycles(command, m)
        for touch, place in places:
            known = written if touch.written else read
            np.maximum(known[touch.memory][place], start + took, out=known[touch.memory][place])
        free[part] = start + took
        busy[part] += took
        traffic[kind_of(command, program)] += moved(command)
        if program.names:
            row = layers.setdefault(program.names[number], [0, 0, 0, 0])
            for column, amount in enumerate(
                (took * (part == "array"), took * (part == "bus"), macs(command), moved(command))
            ):
                row[column] += amount
    traffic["commands"] = SIZE * len(program.commands)
    del traffic[""]
    total = max(free.values())
    done = sum(map(macs, program.commands))
    peak = total * m.columns * m.products
    return Timing(total, busy["array"], busy["bus"], done, peak, total / m.hertz, dict(traffic), layers)


def kind_of(command: Command, program: Program) -> str:
    """What a transfer is of: weights, inputs, outputs or activations; '' for a command that computes."""
    if isinstance(command, Loadw):
        return "weights"
    if not isinstance(command, (Load, Store)):
        return ""
    if isinstance(command, Load) and any(_in(command.dram, end) for end in program.inputs):
        return "inputs"
    if isinstance(command, Store) and any(_in(command.dram, end) for end in program.outputs):
        return "outputs"
    return "activations"


def _in(address: int, end: End) -> bool:
    return end.dram <= address < end.dram + end.nbytes
