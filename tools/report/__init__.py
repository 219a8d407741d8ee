"""fbnet report: everything about a model and one run of it, as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..draw import write_text
from ..feed import feed
from ..model import open_model
from ..options import Shape, image_options, tune_option
from ..show import compiling, json_option, print_json, say, working
from .gather import gathered
from .page import page


@click.command()
@click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write; default: the model's name, here."
)
@click.option("--image", type=click.Path(path_type=Path), help="The photo that is run; default: an example.")
@click.option("--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Shape of the example.")
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Runs of which times are the median.",
)
@click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, or reference (slow).")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are.")
@image_options
@tune_option
@json_option
def report(
    model: tuple[Path, ...],
    output: Path | None,
    image: Path | None,
    shape: tuple,
    rounds: int,
    device: str,
    threads: int | None,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Write one HTML page about MODEL: its graph, a page a layer, time, memory, and a photo on its way through.

    The page holds all it needs, and asks no network. Layers are those that run, folded and fused.

    \b
    fbnet report net.fbnet --image cat.jpg        writes net.html
    """
    output = output or Path(f"{model[0].stem}.html")
    with working("reading"):
        net, inputs = feed(open_model(model), image, recipe, dict(shape))
    with compiling():
        shapes = {name: array.shape for name, array in inputs.items()}
        plan = net.compile(device=device, threads=threads, shapes=shapes)
    with working("running"):
        found = gathered(net, plan, inputs, rounds, image.name if image else "")
    text = page(found)
    write_text(output, text)
    if as_json:
        layers = [{"layer": item.visit.name, "us": item.visit.time_us} for item in found.layers]
        print_json({"file": str(output), "bytes": len(text.encode()), "layers": layers, "us": found.time_us})
    else:
        say(
            f"{output}: {len(found.layers)} layers, {found.time_us / 1e3:.2f} ms, {len(text.encode()):,} bytes"
        )
