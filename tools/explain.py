"""fbnet explain: which kernel computes each layer, and why not another."""

from __future__ import annotations

from pathlib import Path

import click

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
    """
    with compiling("planning"):
        plan = open_model(model).compile(device=device, threads=threads, shapes=dict(shape))
    rows = [[s.layer, s.kernel.split("/", 2)[-1], plan.notes.get(s.layer, "")] for s in plan.steps]
    if as_json:
        print_json([dict(zip(("layer", "kernel", "why"), row, strict=True)) for row in rows])
        return
    say(str(plan).splitlines()[0])
    table(["layer", "kernel", "why"], rows)
