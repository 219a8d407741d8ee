"""fbnet layers: the catalogue of layer types, read from their classes."""

from __future__ import annotations

from typing import Any

import click

from ..engine.device import devices
from ..engine.kernel import kernels
from ..engine.layer import layers as types
from ..engine.registry import load_plugins
from .show import json_option, print_json, table


@click.command()
@click.option("--markdown", is_flag=True, help="Print the catalogue as a page of the documentation.")
@json_option
def layers(markdown: bool, as_json: bool) -> None:
    """List every layer type: formula, attributes, and the devices that have kernels for it.

    \b
    fbnet layers
    fbnet layers --markdown > docs/layers.md
    """
    if not markdown:  # the documentation is about what comes with fbnet
        load_plugins()
    rows = catalogue()
    if as_json:
        print_json(rows)
    elif markdown:
        click.echo("# Layers\n\nMade from the layers' classes by `make docs`.")
        for row in rows:
            click.echo(_section(row))
    else:
        cells = [[r["type"], r["formula"], ", ".join(r["kernels"]) or "reference only"] for r in rows]
        table(["type", "formula", "kernels"], cells)


def _section(row: dict[str, Any]) -> str:
    """A layer's part of the page."""
    attributes = "".join(f"- `{a}`\n" for a in row["attributes"])
    named = ", ".join(f"{device}: {', '.join(names)}" for device, names in row["kernels"].items()) or "none"
    return f"\n## {row['type']}\n\n```\n{row['text']}\n```\n\n{attributes}\nKernels: {named}"


def catalogue() -> list[dict[str, Any]]:
    """A row a layer type, by name: formula, whole docstring, attributes, kernels by device."""
    for name in devices:
        devices[name].load_kernels()
    found = []
    for name in sorted(types, key=str.casefold):
        cls, by_device = types[name], {}
        for kernel in kernels.values():
            if kernel.layer == name:
                by_device.setdefault(kernel.device, []).append(kernel.name.split("/")[-1])
        text = [line.removeprefix("    ") for line in (cls.__doc__ or "").strip().splitlines()]
        attributes = [str(a) for a in cls.declared.values()]
        found.append(
            {"type": name, "formula": text[0] if text else "", "text": "\n".join(text)}
            | {"attributes": attributes, "kernels": by_device}
        )
    return found
