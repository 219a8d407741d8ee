"""fbnet explain: which kernel computes each layer, and why not another; and where each runs, on several devices."""

from __future__ import annotations

from pathlib import Path

import click

from ..engine.device import device_of
from ..engine.plan import Plan
from ..engine.several import Several
from ..engine.split import Cut
from .model import open_model
from .options import Shape, tune_option
from .show import compiling, json_option, print_json, say, table


@click.command()
@click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape to plan for.")
@click.option("--device", default="cpu", show_default=True, help="The device to plan for.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the plan.")
@tune_option
@json_option
def explain(model: tuple[Path, ...], shape: tuple, device: str, threads: int | None, as_json: bool) -> None:
    """Show the steps of a model's plan: the kernel of each, and why it was chosen.

    \b
    fbnet explain net.fbnet
    fbnet explain net.fbnet --shape data=1,3,227,227 --threads 1
    fbnet explain net.fbnet --device npu,cpu
    """
    with compiling("planning"):
        plan = open_model(model).compile(device=device, threads=threads, shapes=dict(shape))
    placed = device_of(plan.device)
    if isinstance(placed, Several):
        show_cut(placed.cut(plan.net, plan.shapes(), plan.threads), plan, as_json)
        return
    rows = [[s.layer, s.kernel.split("/", 2)[-1], plan.notes.get(s.layer, "")] for s in plan.different_steps]
    if as_json:
        print_json([dict(zip(("layer", "kernel", "why"), row, strict=True)) for row in rows])
        return
    say(str(plan).splitlines()[0])
    table(["layer", "kernel", "why"], rows)


def show_cut(cut: Cut, plan: Plan, as_json: bool) -> None:
    """The segments of a net on several devices, what crosses their borders, and why each layer is where it is."""
    segments = [
        [
            str(number),
            s.device.name,
            plan.steps[number].layer.split(": ", 1)[1],
            str(len(s.net)),
            _us(s.seconds),
        ]
        for number, s in enumerate(cut.segments)
    ]
    borders = [
        [
            b.tensor,
            str(b.spec),
            _end(b.source, "caller"),
            _end(b.target, "caller"),
            f"{b.spec.nbytes:,}",
            _us(b.seconds),
        ]
        for b in cut.borders
    ]
    layers = [
        [layer.name, layer.type, str(number), plan.notes[layer.name]]
        for number, segment in enumerate(cut.segments)
        for layer in segment.net
    ]
    tables = {
        "segments": (["segment", "device", "layers", ">count", ">us"], segments),
        "borders": (["tensor", "what", "from", "to", ">bytes", ">us"], borders),
        "layers": (["layer", "type", "segment", "why"], layers),
    }
    if as_json:
        plain = {key: [name.lstrip(">") for name in columns] for key, (columns, _) in tables.items()}
        print_json(
            {
                key: [dict(zip(plain[key], row, strict=True)) for row in rows]
                for key, (_, rows) in tables.items()
            }
        )
        return
    say(str(plan).splitlines()[0] + f"; about {_us(cut.seconds)} us a run")
    for columns, rows in tables.values():
        table(columns, rows)


def _end(number: int | None, caller: str) -> str:
    return caller if number is None else f"segment {number}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"
