"""assemble: an integer net becomes a program: works, places, pieces, commands, in an order in which they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...engine.errors import CompileError
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.tensor import Spec
from . import moves as moves
from .emit import Slots, Weights, emit
from .machine import CHIP, Machine
from .places import Unplaceable, fits, place
from .program import DTYPES, End, Program
from .schedule import scheduled
from .works import Refused, works_of

Shapes = Mapping[str, Sequence[int]]


def assemble(net: Net, shapes: Shapes | None = None, machine: Machine = CHIP) -> Program:
    """The program for one image of a net of integer layers. Raises CompileError, with all that the chip refuses.

    shapes  of the inputs; the first axis is the batch, of which the program computes one after the other
    """
    specs = one_image(net, shapes)
    refused = {layer: refusal(layer, net, specs, machine) for layer in net.layers}
    if any(refused.values()):
        reasons = "; ".join(f"{layer}: {why}" for layer, why in refused.items() if why)
        raise CompileError(f"{net.name}: the npu refuses {reasons}")
    works = [(layer, works_of(layer, specs, net.constants)) for layer in net.layers]
    try:
        placed = place(net, works, specs, machine)
    except Unplaceable as error:
        raise CompileError(f"{net.name}: {error} does not fit the npu's buffers") from None
    weights, commands, names = Weights(machine.weights), [], []
    for number, (work, tiling, low) in enumerate(zip(placed.works, placed.tilings, placed.low, strict=True)):
        # every other work begins at the buffer's end: its first loads find room beside the last pieces before it
        slots = Slots(tiling, low, machine.activations, from_top=bool(number % 2))
        made = emit(work, tiling, placed.where, slots, weights)
        commands += made
        names += [work.layer] * len(made)
    commands, names = scheduled(commands, names)
    ends = [
        [_end(name, specs[name], placed.where[name].address) for name in group]
        for group in (net.inputs, net.outputs)
    ]
    return Program(ends[0], ends[1], commands, bytes(weights.image), placed.dram, machine, names).check()


def one_image(net: Net, shapes: Shapes | None = None) -> dict[str, Spec]:
    """The specs of the first image of a batch. Raises CompileError if the net does not take images one by one."""
    full = {name: tuple(map(int, spec.shape)) for name, spec in net.inputs.items()}
    full |= {name: tuple(map(int, shape)) for name, shape in (shapes or {}).items()}
    batch = {shape[:1] for shape in full.values()}
    if len(batch) != 1 or () in batch or (0,) in batch:
        raise CompileError(
            f"{net.name}: its inputs {full} have no batch in common, which the npu takes one by one"
        )
    specs = net.specs({name: (1, *shape[1:]) for name, shape in full.items()})
    return {name: spec.concrete for name, spec in specs.items()}


def refusal(layer: Layer, net: Net, specs: Mapping[str, Spec], machine: Machine = CHIP) -> str:
    """Why the chip cannot compute a layer of one image, '' if it can."""
    try:
        works = works_of(layer, specs, net.constants)
    except Refused as error:
        return str(error)
    if all(fits(work, machine) for work in works):
        return ""
    return f"a result of it needs more than the {machine.activations:,} and {machine.weights:,} bytes of the buffers"


def _end(name: str, spec: Spec, address: int) -> End:
    if spec.dtype.name not in DTYPES:
        raise CompileError(f"the npu's outputs are {', '.join(DTYPES)}, but {name} is {spec}")
    return End(name, spec.dtype.name, tuple(spec.shape), address)
