"""fbnet export: a model becomes a file of another framework; the ending says which."""

from __future__ import annotations

from pathlib import Path

import click

from ..engine.errors import CheckError, InputError
from ..engine.format import format_of, write
from ..engine.net import Net
from ..formats import convert as read_model
from ..formats.ends import without_image_input
from .model import open_model
from .numbers import random_inputs, relative_error
from .options import Shape
from .show import json_option, print_json, say, working

CLOSE = 1e-4  # relative to the largest number of an output


@click.command()
@click.argument("model", nargs=-1, required=True, metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .onnx file to write."
)
@click.option(
    "--shape",
    type=Shape(),
    multiple=True,
    metavar="NAME=N,C,H,W",
    help="Fix an input's sizes; else they stay open.",
)
@click.option("--verify", is_flag=True, help="Read the file back and compare the two nets on random numbers.")
@json_option
def export(model: tuple[Path, ...], output: Path, shape: tuple, verify: bool, as_json: bool) -> None:
    """Write a model as ONNX, for other engines and tools.

    \b
    fbnet export net.fbnet -o net.onnx
    fbnet export net.fbnet -o net.onnx --shape data=1,3,224,224 --verify
    """
    if output.suffix.lower() == ".fbnet":
        raise InputError(f"{output}: `fbnet convert` writes .fbnet files")
    format_of(output)
    with working("exporting"):
        whole = open_model(model)
        net = fixed(without_image_input(whole), dict(shape))
        write(net, output)
    error = 0.0
    if verify:
        with working("comparing"):
            error = compared(net, output)
    if as_json:
        found = {"output": str(output), "bytes": output.stat().st_size, "name": net.name, "layers": len(net)}
        print_json(found | ({"error": error} if verify else {}))
        return
    inputs = ", ".join(f"{name} {spec}" for name, spec in net.inputs.items())
    if len(net) < len(whole):
        say("the layers that prepare images stay behind: ONNX has no such, and whoever runs the file does it")
    say(f"{output}: {output.stat().st_size:,} bytes, {inputs} -> {', '.join(net.outputs)}")
    if verify:
        say(f"read back, its results differ by at most {error:.1e} of their largest number")


def fixed(net: Net, shapes: dict[str, tuple[int, ...]]) -> Net:
    """The net with inputs of these shapes. Raises InputError, ShapeError."""
    net.specs(shapes)  # refuses unknown names and shapes that do not fit
    specs = {name: spec.replace(shape=shapes.get(name, spec.shape)) for name, spec in net.inputs.items()}
    return net.replace(inputs=specs)


def compared(net: Net, path: Path) -> float:
    """The error of the net in `path` against `net`, on random numbers. Raises CheckError if it is too large."""
    inputs = random_inputs(net.inputs)
    wanted, got = net.forward(**inputs), read_model(path).forward(**inputs)
    error = max(relative_error(got[name], wanted[name]) for name in net.outputs)
    if not error <= CLOSE:
        raise CheckError(
            f"{path} was written but computes something else: its error is {error:.1e}; report this"
        )
    return error
