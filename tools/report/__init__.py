"""fbnet report: everything about a model and one run of it, as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..draw import write_text
from ..feed import prepared, run_options
from ..show import json_option, print_json, say, working
from .gather import gathered
from .page import page


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write; default: the model's name, here."
)
@click.option(
    "--rounds", type=click.IntRange(0), default=10, show_default=True, help="Runs; times are their median."
)
@run_options
@json_option
def report(output: Path | None, rounds: int, as_json: bool, **how: Any) -> None:
    """Write one HTML page about MODEL: its graph, a page a layer, time, memory, and a photo on its way through.

    The page holds all it needs, and asks no network. Layers are those that run, folded and fused.

    \b
    fbnet report net.fbnet --image cat.jpg        writes net.html
    """
    output = output or Path(f"{how['model'][0].stem}.html")
    net, plan, inputs = prepared(**how)
    photo = how["image"].name if how["image"] else ""
    with working("running"):
        found = gathered(net, plan, inputs, rounds, photo)
    text = page(found)
    write_text(output, text)
    if as_json:
        layers = [{"layer": item.visit.name, "us": item.visit.time_us} for item in found.layers]
        print_json({"file": str(output), "bytes": len(text.encode()), "layers": layers, "us": found.time_us})
    else:
        say(
            f"{output}: {len(found.layers)} layers, {found.time_us / 1e3:.2f} ms, {len(text.encode()):,} bytes"
        )
