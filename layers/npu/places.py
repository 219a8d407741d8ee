"""places: which tensors share bytes, which stay in the activation buffer, and where the others lie in DRAM.

A part that is joined lies in the whole from the start, a slice stays where it is, another shape is the same bytes:
nothing is done for them. What remains is placed in the buffer from its first to its last use, if the works meanwhile
still fit beside it and the whole takes less time; else in DRAM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...engine.layer import Layer
from ...engine.memory import Block, arrange
from ...engine.net import Net
from ...engine.tensor import Spec
from .chain import chained
from .emit import At
from .machine import Machine
from .tiling import Tiling, tiling_of
from .works import Move, Ref, Work, operands

Specs = Mapping[str, Spec]


@dataclass(frozen=True)
class Placed:
    """The works that are left, where every tensor lies, and how each work is cut.

    low   of each work, where the buffer is free, up to its end
    dram  bytes of DRAM
    """

    works: Sequence[Work]
    where: Mapping[str, At]
    tilings: Sequence[Tiling]
    low: Sequence[int]
    dram: int


class Unplaceable(Exception):
    """A work that fits the buffer in no way."""


def place(net: Net, works: Sequence[tuple[Layer, Sequence[Work]]], specs: Specs, machine: Machine) -> Placed:
    """Where everything lies. Raises Unplaceable with the layer's name."""
    roots, left = share(net, works, specs)
    chip = _fitted(net, left, roots, specs, machine)
    joined = chained(net, left, roots, set(chip.blocks), chip.tilings, chip.low, machine)
    if len(joined) < len(left):
        other = _fitted(net, joined, roots, specs, machine)
        if other.cycles < chip.cycles:
            chip, left = other, joined
    dram = {name: block for name, block in _lives(net, left, roots, specs).items() if name not in chip.blocks}
    size = arrange(list(dram.values()))
    where = {name: At(True, block.offset) for name, block in chip.blocks.items()}
    where |= {name: At(False, block.offset) for name, block in dram.items()}
    for name, ref in roots.items():
        if ref.tensor in where:
            at = where[ref.tensor]
            where[name] = At(at.resident, at.address + ref.offset)
    return Placed(left, where, chip.tilings, chip.low, size)


def share(
    net: Net, works: Sequence[tuple[Layer, Sequence[Work]]], specs: Specs
) -> tuple[dict[str, Ref], list[Work]]:
    """Tensor -> whose bytes it is part of, itself where it has its own; and the works that are still to be done."""
    roots = {name: Ref(name) for name in specs}

    def resolved(ref: Ref) -> Ref:
        root = roots[ref.tensor]
        return ref if root.tensor == ref.tensor else resolved(Ref(root.tensor, root.offset + ref.offset))

    left: list[Work] = []
    for layer, some in works:
        if layer.alias:
            roots[layer.outputs[0]] = Ref(layer.inputs[0])
        for work in some:
            if isinstance(work, Move) and layer.type in ("Concat", "Slice"):
                whole, part = (work.y, work.x) if layer.type == "Concat" else (work.x, work.y)
                own = resolved(Ref(part.tensor))
                together = len(work.axes) == 1 and work.axes[0][0] == 1
                fixed = part.tensor in net.inputs or own != Ref(part.tensor)
                within = resolved(whole).tensor
                if together and not fixed and within != part.tensor and layer.inputs.count(part.tensor) < 2:
                    roots[part.tensor] = whole
                    continue
            left.append(work)
    return {name: resolved(Ref(name)) for name in roots}, left


def _lives(net: Net, works: Sequence[Work], roots: Mapping[str, Ref], specs: Specs) -> dict[str, Block]:
    """Root tensor -> its bytes, from the first work that writes it to the last that reads it."""
    lives: dict[str, Block] = {}

    def used(name: str, time: int) -> None:
        root = roots[name].tensor
        block = lives.setdefault(root, Block(specs[root].nbytes, time, time))
        block.first, block.last = min(block.first, time), max(block.last, time)

    for time, work in enumerate(works):
        for ref in operands(work):
            used(ref.tensor, time)
    for name in (*net.inputs, *net.outputs):  # nothing else ever lies where the caller reads and writes
        used(name, -1)
        used(name, len(works))
    return lives


@dataclass
class _Chip:
    """What stays in the buffer, and what that makes of the works."""

    blocks: dict[str, Block]
    tilings: list[Tiling]
    low: list[int]

    @property
    def cycles(self) -> float:
        return sum(tiling.cycles for tiling in self.tilings)


def _fitted(
    net: Net, works: Sequence[Work], roots: Mapping[str, Ref], specs: Specs, machine: Machine
) -> _Chip:
    """One tensor after the other stays, small and short-lived ones first, if that saves time."""
    lives = _lives(net, works, roots, specs)
    outside = {roots[name].tensor for name in (*net.inputs, *net.outputs)}
    outside |= {roots[ref.tensor].tensor for w in works if isinstance(w, Move) for ref in (w.x, w.y)}
    chip = _cut(works, roots, {}, machine)
    if chip is None:
        raise Unplaceable(next(w.layer for w in works if not fits(w, machine)))
    order = sorted(lives, key=lambda name: lives[name].nbytes * (1 + lives[name].last - lives[name].first))
    for name in order:
        if name in outside or lives[name].nbytes > machine.activations:
            continue
        stay = {other: lives[other] for other in (*chip.blocks, name)}
        blocks = {key: Block(b.nbytes, b.first, b.last) for key, b in stay.items()}
        if arrange(list(blocks.values())) <= machine.activations:
            tried = _cut(works, roots, blocks, machine)
            if tried is not None and tried.cycles < chip.cycles:
                chip = tried
    return chip


def _cut(
    works: Sequence[Work], roots: Mapping[str, Ref], blocks: dict[str, Block], machine: Machine
) -> _Chip | None:
    """Every work cut to fit beside what stays; None if one does not fit."""
    tilings, low = [], []
    for time, work in enumerate(works):
        alive = [b.offset + b.nbytes for b in blocks.values() if b.first <= time <= b.last]
        low.append(-(-max(alive, default=0) // 64) * 64)
        resident = tuple(roots[ref.tensor].tensor in blocks for ref in operands(work))
        tiling = tiling_of(work, resident, machine.room(low[-1]), machine)
        if tiling is None:
            return None
        tilings.append(tiling)
    return _Chip(blocks, tilings, low)


def fits(work: Work, machine: Machine) -> bool:
    """Whether a work can be done at all, with everything in DRAM."""
    return tiling_of(work, (False,) * len(operands(work)), machine.room(0), machine) is not None
