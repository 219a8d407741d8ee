"""fbnet new-layer: a layer of one's own to begin with: class, kernel and a test, which passes."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

from ...engine.errors import FileError, InputError
from ...engine.layer import layers
from ..draw import write_text
from ..show import json_option, print_json, say

TEMPLATES = Path(__file__).parent
KINDS = ("elementwise", "weights")


@click.command("new-layer")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder to write to; default: here.",
)
@click.option(
    "--kind", type=click.Choice(KINDS), default="elementwise", show_default=True,
    help="Numbers one by one, or a layer with weights and a shape of its own.",
)  # fmt: skip
@click.option(
    "--package", is_flag=True, help="Also a pyproject.toml: once installed, fbnet finds the layer by itself."
)
@json_option
def new_layer(name: str, output: Path, kind: str, package: bool, as_json: bool) -> None:
    """Write a layer to begin with, called NAME: its class and a kernel for it, and a test of both, which passes.

    \b
    fbnet new-layer SoftCap                writes soft_cap.py and test_soft_cap.py
    python -m pytest test_soft_cap.py
    fbnet --import soft_cap.py layers
    """
    module = checked_name(name)
    files = {f"{module}.py": f"{kind}.txt", f"test_{module}.py": f"test_{kind}.txt"}
    if package:
        files["pyproject.toml"] = "pyproject.txt"
    for file in files:
        if (output / file).exists():
            raise InputError(f"{output / file} is there already: another folder is given by -o")
    words = {"name": name, "module": module, "package": f"fbnet-{module.replace('_', '-')}"}
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{output}: it cannot be written: {error.strerror or error}") from None
    for file, template in files.items():
        write_text(output / file, Template((TEMPLATES / template).read_text("utf-8")).substitute(words))
    if as_json:
        print_json({"type": name, "files": [str(output / file) for file in files]})
        return
    say(", ".join(str(output / file) for file in files))
    say(f"  python -m pytest {output / f'test_{module}.py'}   tries it on every device, by every kernel")
    say(f"  fbnet --import {output / f'{module}.py'} layers   shows it among the others")
    if package:
        say(f"  pip install {output if output.parts else '.'}   and fbnet finds it by itself")


def checked_name(name: str) -> str:
    """The module for a layer called `name`: SoftCap -> soft_cap. Raises InputError if either is no good or taken."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name for a layer type: write it like SoftCap, letters and digits")
    if name in layers:
        raise InputError(
            f"layer type {name!r} is already registered by {layers.owner(name)}: call it otherwise"
        )
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    if keyword.iskeyword(module) or find_spec(module) is not None:
        raise InputError(
            f"a Python module {module!r} is there already, which {module}.py would hide: call it otherwise"
        )
    return module
