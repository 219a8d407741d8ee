"""fbnet draw: a model as a picture. SVG by itself; Mermaid and DOT as text for other programs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..engine.errors import FileError, InputError
from ..engine.net import Net
from ..engine.plan import Plan
from .model import open_model
from .options import Shape, tune_option
from .picture.fold import repeats
from .picture.graph import Graph, graph_of, running
from .picture.svg import svg
from .picture.text import dot, mermaid
from .show import compiling, json_option, print_json, say

FORMATS = {"svg": svg, "mermaid": mermaid, "dot": dot}
SUFFIXES = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}
MANY = 40  # layers from which on repeated blocks are folded, unless told otherwise


@click.command()
@click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="File to write, or - for stdout; default: the model's name, here.")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), help="Default: by the file's ending.")
@click.option(
    "--fold/--no-fold", default=None, help=f"Draw repeated blocks once.  [default: from {MANY} layers on]"
)
@click.option("--device", help="Draw what this device runs: layers fused, where each runs, its kernel.")
@click.option("--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape to plan for.")
@tune_option
@json_option
def draw(
    model: tuple[Path, ...],
    output: str | None,
    format_: str | None,
    fold: bool | None,
    device: str | None,
    shape: tuple,
    as_json: bool,
) -> None:
    """Draw MODEL: a card a layer, the shapes on the lines between them.

    \b
    fbnet draw net.fbnet                          writes net.svg
    fbnet draw net.fbnet --device cpu -o run.svg  as it runs: fused, and by which kernels
    fbnet draw net.fbnet --format mermaid -o -    for a page in Markdown
    """
    if output is None:
        output = f"{model[0].stem}.{ {'mermaid': 'mmd'}.get(format_ or '', format_ or 'svg') }"
    kind = format_ or ("svg" if output == "-" else SUFFIXES.get(Path(output).suffix.lower(), ""))
    if not kind:
        raise InputError(f"{output}: what to draw? Give it the ending {', '.join(SUFFIXES)}, or --format")
    net = open_model(model)
    plan = None
    if device is not None:
        with compiling("planning"):
            plan = net.compile(device=device, shapes=dict(shape))
    graph = drawn(net, plan, fold)
    text = FORMATS[kind](graph)
    if output == "-":
        click.echo(text, nl=False)
        return
    write_text(output, text)
    if as_json:
        print_json(
            {
                "file": output, "format": kind, "bytes": len(text.encode()), "cards": len(graph.nodes),
                "lines": len(graph.edges),
                "folded": [{"times": f.times, "layers": [list(names) for names in f.names]} for f in graph.frames],
            }
        )  # fmt: skip
        return
    folded = "".join(f", a block of {len(f.keys)} layers drawn once for {f.times}" for f in graph.frames)
    say(f"{output}: {len(graph.nodes)} cards, {len(graph.edges)} lines{folded}")


def drawn(net: Net, plan: Plan | None = None, fold: bool | None = None) -> Graph:
    """What is drawn of a net, or of a plan of it: repeated blocks once if `fold`, or if it is long."""
    shown = running(net, plan)
    fold = len(shown) >= MANY if fold is None else fold
    return graph_of(net, plan, repeats(shown) if fold else ())


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole, or leave what was there. Raises FileError."""
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise FileError(f"{path}: it cannot be written: {error.strerror or error}") from None
