"""Options that several commands share: how images are prepared, shapes, labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..engine.errors import InputError
from ..engine.settings import tuned


class Numbers(click.ParamType):
    """'104,117,123' -> [104.0, 117.0, 123.0]"""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> list[float]:
        if isinstance(value, list):
            return value
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not like 104,117,123.", param, context)


class Size(click.ParamType):
    """'227' or '224x320' (height x width) -> [227, 227] or [224, 320]; 'any' -> []"""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        if value == "any":
            return []
        if not re.fullmatch(r"[0-9]{1,5}(x[0-9]{1,5})?", value):
            self.fail(f"{value!r} is not like 227 or 224x320 (height x width).", param, context)
        sizes = [int(part) for part in value.split("x")]
        return sizes * 2 if len(sizes) == 1 else sizes


class Sizes(click.ParamType):
    """'1,3,224,224' -> (1, 3, 224, 224)"""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", value):
            self.fail(f"{value!r} is not like 1,3,224,224.", param, context)
        return tuple(map(int, value.split(",")))


class Shape(click.ParamType):
    """'data=1,3,227,227' -> ("data", (1, 3, 227, 227))"""

    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        name, equals, sizes = value.rpartition("=")
        if not equals or not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", sizes):
            self.fail(f"{value!r} is not like data=1,3,227,227.", param, context)
        return name, tuple(map(int, sizes.split(",")))


class PlanFor(click.ParamType):
    """'cpu:2' -> ("cpu", 2); 'cpu' -> ("cpu", None): as many threads as there are cores"""

    name = "plan"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[\w-]+(:[1-9][0-9]{0,3})?", value):
            self.fail(f"{value!r} is not like cpu:2.", param, context)
        device, _, threads = value.partition(":")
        return device, int(threads) if threads else None


class Counts(click.ParamType):
    """'1,2,16' -> [1, 2, 16]"""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        if not re.fullmatch(r"[1-9][0-9]{0,2}(,[1-9][0-9]{0,2})*", value):
            self.fail(f"{value!r} is not like 1,2,16.", param, context)
        return [int(part) for part in value.split(",")]


_IMAGE = (
    click.option(
        "--size",
        type=Size(),
        metavar="HxW",
        help="What the net reads: 227, or 224x320 (height x width), or any.",
    ),
    click.option(
        "--crop", type=Size(), metavar="HxW", help="Cut this size out of the middle, scaled to just cover it."
    ),
    click.option(
        "--resize", type=click.IntRange(1), metavar="N", help="Shorter side before the middle is cut out."
    ),
    click.option("--letterbox", is_flag=True, help="The whole image inside the size, and a frame around it."),
    click.option(
        "--fit",
        type=click.Choice(["stretch", "crop", "cut", "letterbox", "multiple"]),
        help="How an image comes to the size; default: stretch.",
    ),
    click.option("--fill", type=click.IntRange(0, 255), help="The letterbox's frame; default: 0."),
    click.option(
        "--filter",
        type=click.Choice(["bilinear", "corners", "antialias", "antialias_cubic"]),
        help="How pixels are resampled; default: bilinear.",
    ),
    click.option("--mean", type=Numbers(), metavar="A,B,C", help="Subtracted, in the net's channel order."),
    click.option(
        "--scale", type=Numbers(), metavar="A,B,C", help="Multiplied with afterwards; one number or three."
    ),
    click.option("--input-color", type=click.Choice(["bgr", "rgb", "gray"]), help="The net's channel order."),
    click.option(
        "--pixels",
        type=click.Choice(
            ["RGB", "BGR", "RGBA", "BGRA", "GRAY", "NV12", "NV21", "I420"], case_sensitive=False
        ),
        help="The colours of the pixels that come in; default: RGB, or GRAY.",
    ),
)


def tune_option(command: Callable) -> Callable:
    """Add --tune/--no-tune to a command that compiles; it holds while the command runs."""

    def hold(context: click.Context, _param: click.Parameter, value: bool | None) -> None:
        if value is not None:
            context.with_resource(tuned(value))

    return click.option(
        "--tune/--no-tune", default=None, expose_value=False, callback=hold,
        help="Choose kernels by measuring them here (once), or by their scores.  [default: by measuring]",
    )(command)  # fmt: skip


def image_options(command: Callable) -> Callable:
    """Add the options of image preparation to a command, which gets them as `**image`."""
    for option in reversed(_IMAGE):
        command = option(command)
    return command


def recipe_changes(image: dict[str, Any]) -> dict[str, Any]:
    """The image options as changes of a net's metadata["image"]. Raises InputError if they contradict each other."""
    plain = ("size", "fit", "fill", "filter", "mean", "scale", "pixels")
    changes = {key: image[key] for key in plain if image.get(key) is not None}
    if image.get("input_color"):
        changes["order"] = image["input_color"].upper()
    if image.get("crop"):
        changes |= {"size": image["crop"], "fit": "crop"}
    if image.get("resize"):
        changes |= {"shorter": image["resize"], "fit": "crop"}
    if image.get("letterbox"):
        changes["fit"] = "letterbox"
    asked = {"crop": image.get("crop") or image.get("resize"), "letterbox": image.get("letterbox")}
    ways = {way for way, given in asked.items() if given} | ({image["fit"]} if image.get("fit") else set())
    if len(ways) > 1:
        raise InputError(f"an image comes to its size by one way, not by {' and '.join(sorted(ways))}")
    if image.get("crop") and image.get("size"):
        raise InputError("--crop says the size that the net reads: leave --size away")
    return changes


def read_labels(path: str | Path) -> list[str]:
    """One class name a line; WordNet's ids ('n02124075 Egyptian cat') are left away. Raises InputError."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: no text file with labels: {getattr(error, 'strerror', None) or error}"
        ) from error
    labels = [re.sub(r"^n\d{8}\s+", "", line.strip()) for line in lines]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise InputError(f"{path}: holds no labels: write one class name a line")
    return labels
