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
    t = written.timing
    return {
        "file": str(written.path),
        "bytes": written.path.stat().st_size,
        "layers": [layer.name for layer in written.segment.net],
        "commands": len(written.program.commands),
        "cycles": t.cycles,
        "array_cycles": t.array,
        "bus_cycles": t.bus,
        "macs": t.macs,
        "utilisation": t.utilisation,
        "dram_bytes": dict(t.traffic),
        "least_dram_bytes": least(written),
    }


def least(written: Written) -> int:
    """What any program moves that computes layer after layer: weights, inputs and outputs once; and what is larger than
    the buffer out and in again."""
    net, program = written.segment.net, written.program
    specs = net.specs(written.segment.shapes)
    made = [specs[name] for layer in net.layers for name in layer.outputs if name not in net.outputs]
    large = [
        2 * spec.nbytes // spec.shape[0]
        for spec in made
        if spec.nbytes // spec.shape[0] > program.machine.activations
    ]
    ends = [end.nbytes for end in (*program.inputs, *program.outputs)]
    return len(program.image) + sum(ends) + sum(large)


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
        say(f"{t.macs:,} multiply-adds, {100 * t.utilisation:.1f} % of what the array could do in this time")
        rows = [[kind, f"{nbytes:,}"] for kind, nbytes in t.traffic.items()]
        table(["DRAM", ">bytes"], [*rows, ["all", f"{t.dram_bytes:,}"], ["at least", f"{least(written):,}"]])
    if host:
        table(["left to the host", "why"], [[layer, why] for layer, why in host.items()])
