"""fbnet convert: another framework's model becomes one .fbnet file, with labels and image preparation in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import click

from ..engine.errors import CheckError, InputError
from ..engine.format import format_of
from ..engine.net import Net
from ..engine.rewrite import apply
from ..formats import convert as read_model
from ..formats import load, save
from .image import Recipe
from .options import Shape, image_options, read_labels, recipe_changes
from .show import json_option, print_json, table, working

_FLAGS = {
    "random_weights": "random-weights",
    "shapes": "shape",
}  # options of importers, as they are typed here


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC [SRC2]", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .fbnet file to write."
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file with one class name a line.")
@image_options
@click.option("--random-weights", type=int, metavar="SEED", help="Make up the weights that a prototxt lacks.")
@click.option(
    "--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape, if the file has none."
)
@json_option
def convert(
    sources: tuple[Path, ...],
    output: Path,
    labels: Path | None,
    random_weights: int | None,
    shape: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
    **image: Any,
) -> None:
    """Turn a model into one .fbnet file.

    \b
    fbnet convert deploy.prototxt weights.caffemodel -o net.fbnet --labels names.txt --mean 104,117,123
    fbnet convert model.onnx -o net.fbnet
    """
    if output.suffix.lower() != ".fbnet":
        raise InputError(f"{output}: the file to write must end in .fbnet")
    names = read_labels(labels) if labels else []
    options: dict[str, Any] = {} if random_weights is None else {"random_weights": random_weights}
    options |= {"shapes": dict(shape)} if shape else {}
    with working("converting"):
        net = convert_with(sources, labels=names, image=recipe_changes(image), **options)
        save_checked(net, output)
        lean = apply(net)
    before = sum(source.stat().st_size for source in sources)
    after = output.stat().st_size
    weights = sum(constant.spec.size for constant in net.constants.values())
    if as_json:
        print_json(
            {
                "sources": [str(source) for source in sources], "source_bytes": before,
                "output": str(output), "bytes": after, "name": net.name,
                "layers": len(net), "layers_fused": len(lean), "parameters": weights,
                "inputs": {name: str(spec) for name, spec in net.inputs.items()},
                "outputs": list(net.outputs), "labels": len(net.metadata.get("labels", ())),
            }
        )  # fmt: skip
        return
    table(
        ["", "before", "after"],
        [
            ["file", " + ".join(source.name for source in sources), str(output)],
            ["bytes", f"{before:,}", f"{after:,}"],
            ["layers", f"{len(net)} as written", f"{len(lean)} when folded and fused"],
            ["weights", f"{weights:,}", f"{sum(c.spec.size for c in lean.constants.values()):,}"],
            ["reads", "", ", ".join(f"{name} {spec}" for name, spec in net.inputs.items())],
            ["writes", "", ", ".join(net.outputs)],
            ["labels", "", str(len(net.metadata.get("labels", ()))) or "none"],
        ],
    )


def convert_with(
    sources: Sequence[Path],
    *,
    labels: Sequence[str] = (),
    image: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Net:
    """The model in `sources`, with labels, image preparation and other metadata of the caller's added to its own.

    options are the importer's. Raises InputError, FileError, ConversionError.
    """
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: there is no such file")
    taken = signature(format_of(sources[0]).read).parameters
    if refused := [f"--{_FLAGS[name]}" for name in options if name not in taken]:
        raise InputError(f"{sources[0].name}: its importer does not take {', '.join(refused)}")
    net = read_model(*sources, **options)
    merged = dict(net.metadata) | dict(metadata or {})
    if labels:
        merged["labels"] = list(labels)
    if image:
        recipe = dict(merged.get("image", {})) | dict(image)
        Recipe.of(recipe)  # refuses what makes no sense now, not when the file is used
        merged["image"] = recipe
    return net.replace(metadata=merged)


def save_checked(net: Net, path: Path) -> None:
    """Write the net, open the file again, and see that it holds the same net. Raises FileError, CheckError."""
    save(net, path)
    if load(path).digest != net.digest:
        raise CheckError(f"{path} was written but holds another net than it should: report this")
