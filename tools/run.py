"""fbnet run: a model on images. Photos in, labels out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..engine.errors import InputError, ShapeError
from ..engine.net import Net
from ..formats.ends import checked, reads_pixels, with_image_input
from .answers import described, show
from .image import colors_of, opened, pixels
from .model import Runner, open_model
from .options import image_options, read_labels, recipe_changes, tune_option
from .show import json_option, print_json, progress_bar, say, warn

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to name.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images run at once.")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Where to run: cpu, cuda, opencl, reference (slow), or lib:./libnet.so.",
)
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are.")
@click.option(
    "--trust-plans", is_flag=True, help="Use the plans in the file. They are code: only from files you trust."
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file with one class name a line.")
@image_options
@tune_option
@json_option
def run(
    model: Path,
    images: tuple[Path, ...],
    top: int,
    batch: int,
    device: str,
    threads: int | None,
    trust_plans: bool,
    labels: Path | None,
    as_json: bool,
    **image: Any,
) -> int:
    """Run MODEL on IMAGES: files, or folders of them.

    With --json, one line of JSON for each image. What cannot be read is named, and the others are run.
    """
    net = open_model([model], trust_plans)
    changes = recipe_changes(image)
    told = bool(reads_pixels(net) or net.metadata.get("image") or changes)
    net = with_pixels(net, changes)
    if not told:
        warn(f"{model} does not say how images are prepared: taking raw {colors_of(net)} pixels, stretched")
    names = read_labels(labels) if labels else list(net.metadata.get("labels", ()))
    paths = found_images(images)
    bad = 0
    with (
        Runner(net, device, threads) as runner,
        progress_bar("running", len(paths), quiet=len(paths) < 2) as advance,
    ):
        for result in results(runner, paths, batch):
            advance(1, result["file"].name)
            if "error" in result:
                bad += 1
                warn(result["error"])
            else:
                outputs = result.pop("outputs")
                result |= described(outputs, names, top, net)
            if as_json:
                print_json(result)
            elif "error" not in result:
                say(f"{result['file']}  ({result['ms']:.1f} ms)")
                show(result)
    return 2 if bad else 0


def with_pixels(net: Net, changes: Mapping[str, Any] = {}) -> Net:
    """The net if it prepares images itself; else with layers that do, by its metadata and `changes`.

    Raises InputError if it does not read one image, or if there are changes but nothing left to change.
    """
    if len(net.inputs) != 1:
        raise InputError(
            f"{net.name} reads {', '.join(net.inputs)}: fbnet run takes a net that reads one image"
        )
    if reads_pixels(net):
        if changes:
            raise InputError(
                f"{net.name} prepares images itself: convert its source again with other options than "
                f"{', '.join(changes)}"
            )
        return net
    return with_image_input(net, **checked(dict(net.metadata.get("image", {})) | dict(changes)))


def found_images(places: Sequence[Path]) -> list[Path]:
    """Files as given; in folders, and folders in them, every file that is called like an image, in order."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise InputError(f"{place}: there is no image in this folder ({', '.join(sorted(SUFFIXES))})")
            found += inside
        else:
            found.append(place)
    return found


def results(runner: Runner, paths: Sequence[Path], batch: int) -> Iterator[dict[str, Any]]:
    """One result a path, in order: {"file", "outputs", "ms"}, or {"file", "error"} for what cannot be read.

    Each photo is prepared by itself; neighbours that are then of one shape run together, up to `batch` of them.
    outputs: name -> array without the batch axis.
    """
    for start in range(0, len(paths), batch):
        prepared = [_prepared(runner, path) for path in paths[start : start + batch]]
        for shapes, group in groupby(prepared, key=lambda item: item.shapes):
            items = list(group)
            if shapes is None:
                yield from ({"file": item.path, "error": item.error} for item in items)
                continue
            tensors = {name: np.concatenate([item.tensors[name] for item in items]) for name in shapes}
            runner.prepare_rest(tensors)
            since = time.perf_counter()
            outputs = runner.rest(tensors)
            ms = (time.perf_counter() - since) * 1e3 / len(items)
            for i, item in enumerate(items):
                yield {
                    "file": item.path,
                    "outputs": {k: _nth(v, i, len(items)) for k, v in outputs.items()},
                    "ms": item.ms + ms,
                }


@dataclass
class _Prepared:
    """A photo after the net's first layers: tensors that the rest of it reads; or why there are none."""

    path: Path
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    ms: float = 0.0
    error: str = ""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]] | None:
        return None if self.error else {name: array.shape for name, array in self.tensors.items()}


def _prepared(runner: Runner, path: Path) -> _Prepared:
    (name,) = runner.net.inputs
    try:
        x = pixels(opened(path), colors_of(runner.net))
        runner.prepare({name: x})
        since = time.perf_counter()
        tensors = runner.first({name: x})
        return _Prepared(path, tensors, (time.perf_counter() - since) * 1e3)
    except ShapeError as error:  # a photo too small to cut something out of it
        return _Prepared(path, error=f"{path}: {error}")
    except InputError as error:
        return _Prepared(path, error=str(error))


def _nth(output: np.ndarray, i: int, n: int) -> np.ndarray:
    """Image i's part of an output; all of it if the output has no batch axis."""
    return output[i] if output.ndim and output.shape[0] == n else output
