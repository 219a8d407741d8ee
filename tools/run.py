"""fbnet run: a model on images. Photos in, labels out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..engine.errors import InputError
from ..engine.net import Net
from .image import Recipe, opened, prepare
from .model import Runner, open_model
from .options import image_options, read_labels, recipe_changes
from .show import bar, json_option, print_json, progress_bar, say, warn

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to name.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images run at once.")
@click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, or reference (slow).")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are.")
@click.option("--labels", type=click.Path(path_type=Path), help="Text file with one class name a line.")
@image_options
@json_option
def run(
    model: Path,
    images: tuple[Path, ...],
    top: int,
    batch: int,
    device: str,
    threads: int | None,
    labels: Path | None,
    as_json: bool,
    **image: Any,
) -> int:
    """Run MODEL on IMAGES: files, or folders of them.

    With --json, one line of JSON for each image. What cannot be read is named, and the others are run.
    """
    net = open_model([model])
    recipe = recipe_of(net, recipe_changes(image))
    if not net.metadata.get("image") and not any(image.values()):
        warn(
            f"{model} does not say how images are prepared: taking raw {recipe.order} pixels, {recipe.crop}ed"
        )
    names = read_labels(labels) if labels else list(net.metadata.get("labels", ()))
    paths = found_images(images)
    bad = 0
    with (
        Runner(net, device, threads) as runner,
        progress_bar("running", len(paths), quiet=len(paths) < 2) as advance,
    ):
        for result in results(runner, paths, recipe, batch):
            advance(1, result["file"].name)
            if "error" in result:
                bad += 1
                warn(result["error"])
            else:
                outputs = result.pop("outputs")
                result |= described(outputs, names, top)
            if as_json:
                print_json(result)
            elif "error" not in result:
                _print(result)
    return 2 if bad else 0


def recipe_of(net: Net, changes: Mapping[str, Any] = {}) -> Recipe:
    """How to prepare an image for the net: its metadata, then `changes`, then what its input's shape says.

    Raises InputError if the net does not read one image.
    """
    if len(net.inputs) != 1:
        raise InputError(
            f"{net.name} reads {', '.join(net.inputs)}: fbnet run takes a net that reads one image"
        )
    ((name, spec),) = net.inputs.items()
    if spec.ndim != 4 or not {1, 3} & {*map(int, spec.shape[1::2])}:
        raise InputError(
            f"{net.name} reads {name} {spec}, which is no image: fbnet run takes (N,3,H,W) or (N,1,H,W)"
        )
    channels, *size = (spec.shape[i] for i in ((3, 1, 2) if channels_last(net) else (1, 2, 3)))
    known = {"order": "GRAY" if channels == 1 else "RGB", "size": [int(side) for side in size]}
    recipe = Recipe.of(known | dict(net.metadata.get("image", {})) | dict(changes))
    if (channels == 1) != (recipe.order == "GRAY"):
        raise InputError(f"{net.name} reads {name} {spec}: {recipe.order} has the wrong number of channels")
    return recipe


def channels_last(net: Net) -> bool:
    """Whether the net reads (N,H,W,C), as some ONNX models do."""
    (spec,) = net.inputs.values()
    return spec.shape[1] not in (1, 3)


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


def results(runner: Runner, paths: Sequence[Path], recipe: Recipe, batch: int) -> Iterator[dict[str, Any]]:
    """One result a path, in order: {"file", "outputs", "ms"}, or {"file", "error"} for what cannot be read.

    Neighbours of one shape run together, up to `batch` of them. outputs: name -> array without the batch axis.
    """
    for start in range(0, len(paths), batch):
        prepared = [_prepared(path, recipe) for path in paths[start : start + batch]]
        for readable, group in groupby(prepared, key=lambda item: getattr(item[1], "shape", None)):
            if readable is None:
                yield from ({"file": path, "error": str(error)} for path, error in group)
                continue
            files, arrays = zip(*group, strict=True)
            x = np.concatenate(arrays)
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if channels_last(runner.net) else x
            runner.prepare(x.shape)
            since = time.perf_counter()
            outputs = runner(x)
            ms = (time.perf_counter() - since) * 1e3 / len(files)
            for i, file in enumerate(files):
                yield {
                    "file": file,
                    "outputs": {k: _nth(v, i, len(files)) for k, v in outputs.items()},
                    "ms": ms,
                }


def _prepared(path: Path, recipe: Recipe) -> tuple[Path, np.ndarray | InputError]:
    try:
        return path, prepare(opened(path), recipe)
    except InputError as error:
        return path, error


def _nth(output: np.ndarray, i: int, n: int) -> np.ndarray:
    """Image i's part of an output; all of it if the output has no batch axis."""
    return output[i] if output.ndim and output.shape[0] == n else output


def described(outputs: Mapping[str, np.ndarray], labels: Sequence[str], top: int) -> dict[str, Any]:
    """The best classes if the net writes one score a class, else each output's shape and range."""
    if len(outputs) == 1:
        (scores,) = outputs.values()
        if scores.size > 1 and scores.size == max(scores.shape):
            scores = scores.ravel()
            best = np.argsort(-scores, kind="stable")[:top]
            return {
                "top": [
                    {
                        "index": int(i),
                        "score": float(scores[i]),
                        "label": labels[i] if i < len(labels) else str(i),
                    }
                    for i in best
                ]
            }
    return {
        "outputs": {
            name: {
                "shape": list(y.shape),
                "min": float(y.min()),
                "max": float(y.max()),
                "mean": float(y.mean()),
            }
            for name, y in outputs.items()
            if y.size
        }
    }


def _print(result: Mapping[str, Any]) -> None:
    say(f"{result['file']}  ({result['ms']:.1f} ms)")
    for row in result.get("top", ()):
        say(f"  {row['score']:7.4f}  {bar(row['score'])}  {row['label']}")
    for name, y in result.get("outputs", {}).items():
        say(f"  {name} {y['shape']}: {y['min']:.6g} to {y['max']:.6g}, mean {y['mean']:.6g}")
