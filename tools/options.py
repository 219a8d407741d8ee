"""Options that several commands share: how images are prepared, shapes, labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..engine.errors import InputError


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
    """'227' or '224x320' (height x width) -> [227, 227] or [224, 320]"""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        if not re.fullmatch(r"[0-9]{1,5}(x[0-9]{1,5})?", value):
            self.fail(f"{value!r} is not like 227 or 224x320 (height x width).", param, context)
        sizes = [int(part) for part in value.split("x")]
        return sizes * 2 if len(sizes) == 1 else sizes


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


_IMAGE = (
    click.option(
        "--size", type=Size(), metavar="HxW", help="What the net reads: 227, or 224x320 (height x width)."
    ),
    click.option(
        "--crop", type=click.Choice(["stretch", "center"]), help="Stretch to the size, or cut the center."
    ),
    click.option(
        "--resize", type=click.IntRange(1), metavar="N", help="Shorter side before cutting the center."
    ),
    click.option("--filter", type=click.Choice(["bilinear", "antialias"]), help="How pixels are resampled."),
    click.option("--mean", type=Numbers(), metavar="A,B,C", help="Subtracted, in the net's channel order."),
    click.option(
        "--scale", type=Numbers(), metavar="A,B,C", help="Multiplied with afterwards; one number or three."
    ),
    click.option("--input-color", type=click.Choice(["bgr", "rgb", "gray"]), help="The net's channel order."),
)


def image_options(command: Callable) -> Callable:
    """Add the options of image preparation to a command, which gets them as `**image`."""
    for option in reversed(_IMAGE):
        command = option(command)
    return command


def recipe_changes(image: dict[str, Any]) -> dict[str, Any]:
    """What the image options change in a net's metadata["image"]."""
    changes = {key: value for key, value in image.items() if value is not None and key != "input_color"}
    if image.get("input_color"):
        changes["order"] = image["input_color"].upper()
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
