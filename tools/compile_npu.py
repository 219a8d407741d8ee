"""fbnet compile --target npu: the integer layers of a model become programs for the npu, each a .npu file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.device import device_of
from ..engine.errors import CompileError, FileError
from ..engine.net import Net
from ..engine.several import Several
from ..engine.split import Cut, Segment
from ..layers.npu.assemble import assemble
from ..layers.npu.program import Program
from ..layers.npu.timing import Timing, timing
from .show import print_json, say, table


@dataclass(frozen=True)
class Written:
    """A program in its file, and how long it takes."""

    path: Path
    segment: Segment
    program: Program
    timing: Timing


def compile_npu(
    net: Net, folder: Path, name: str, shapes: Mapping[str, Sequence[int]], as_json: bool
) -> None:
    """Write a file for each piece that the npu runs, and say what is left to the host.

    Raises CompileError, FileError.
    """
    device = device_of("npu+cpu")
    assert isinstance(device, Several)
    full = {given: tuple(map(int, spec.shape)) for given, spec in net.inputs.items()} | dict(shapes)
    cut = device.cut(net, full, 1)
    segments = [segment for segment in cut.segments if segment.device.name == "npu"]
    if not segments:
        why = "; ".join(
            f"{layer}: {refused['npu']}" for layer, refused in cut.refusals.items() if "npu" in refused
        )
        raise CompileError(
            f"{net.name}: the npu computes none of its layers: {why}. Quantize it first: fbnet quantize"
        )
    made = []
    for number, segment in enumerate(segments):
        path = folder / (f"{name}.npu" if len(segments) == 1 else f"{name}.{number}.npu")
        program = assemble(segment.net, segment.shapes)
        made.append(Written(path, segment, program, timing(program)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for written in made:
            written.path.write_bytes(written.program.write())
    except OSError as error:
        raise FileError(f"{folder}: it cannot be written: {error.strerror or error}") from None
    if as_json:
        print_json({"files": [facts(written) for written in made], "host": left(cut)})
    else:
        show(made, left(cut))


def left(cut: Cut) -> dict[str, str]:
    """Layer -> why the npu does not compute it."""
    return {layer: refused["npu"] for layer, refused in cut.refusals.items() if "npu" in refused}


def facts(written: Written) -> dict[str, object]:
    """What was made, for programs."""
    t, (once, apart) = written.timing, bounds(written)
    return {
        "file": str(written.path),
        "bytes": written.path.stat().st_size,
        "layers": [layer.name for layer in written.segment.net],
        "commands": len(written.program.commands),
        "cycles": t.cycles,
        "array_cycles": t.array,
        "bus_cycles": t.bus,
        "macs": macs(written),
        "computed_macs": t.macs,
        "utilisation": macs(written) / t.peak if t.peak else 0.0,
        "dram_bytes": dict(t.traffic),
        "least_dram_bytes": once,
        "least_layer_by_layer": apart,
    }


def macs(written: Written) -> int:
    """Multiply-adds of the layers for one image; the program may compute rows at the edges of tiles again."""
    net, shapes = written.segment.net, written.segment.shapes
    specs = net.specs({name: (1, *shape[1:]) for name, shape in shapes.items()})
    return sum(layer.macs(*[specs.get(name) for name in layer.inputs]) for layer in net.layers)


def bounds(written: Written) -> tuple[int, int]:
    """The least bytes over the bus: weights, inputs and outputs once; and if every layer were computed before the next,
    so that what is larger than the buffer goes out and comes in again."""
    net, program = written.segment.net, written.program
    specs = net.specs({name: (1, *shape[1:]) for name, shape in written.segment.shapes.items()})
    sizes = [specs[name].nbytes for layer in net.layers for name in layer.outputs if name not in net.outputs]
    once = len(program.image) + sum(end.nbytes for end in (*program.inputs, *program.outputs))
    return once, once + sum(2 * size for size in sizes if size > program.machine.activations)


def show(made: Sequence[Written], host: Mapping[str, str]) -> None:
    """What was made, for people."""
    for written in made:
        t, program = written.timing, written.program
        ends = (
            ", ".join(f"{e.name} {e.dtype}{list(e.shape)}" for e in es)
            for es in (program.inputs, program.outputs)
        )
        say(f"{written.path}: {' -> '.join(ends)}")
        size = f"{len(program.commands)} commands, {written.path.stat().st_size:,} bytes"
        busy = f"of which the array computes {t.array:,} and the bus moves {t.bus:,}"
        say(f"{len(written.segment.net)} layers, {size}; {t.cycles:,} cycles an image, {busy}")
        used = 100 * macs(written) / t.peak if t.peak else 0
        say(f"{macs(written):,} multiply-adds, {used:.1f} % of what the array could do in this time")
        rows = [[kind, f"{nbytes:,}"] for kind, nbytes in t.traffic.items()]
        rows.append(["all", f"{t.dram_bytes:,}"])
        names = "weights, inputs, outputs once", "and one layer after the other"
        rows += [[name, f"{nbytes:,}"] for name, nbytes in zip(names, bounds(written), strict=True)]
        table(["DRAM", ">bytes"], rows)
    if host:
        table(["left to the host", "why"], [[layer, why] for layer, why in host.items()])
