"""fbnet demo: ten digits read by the LeNet-5 that comes along, then two photos named by SqueezeNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..engine.errors import FetchError
from ..formats import load
from .answers import described
from .image import colors_of, opened, pixels
from .model import Runner
from .show import bar, json_option, print_json, say, unicode_works
from .zoo import fetched, network

LENET = Path(__file__).parent / "lenet"
PHOTOS = {"chelsea": "Egyptian cat", "coffee": "espresso"}  # scikit-image's photos, and what they show
ACROSS = 5  # pictures side by side: 70 columns


@click.command()
@json_option
def demo(as_json: bool) -> int:
    """Read ten digits and name two photos.

    The digits are the first 0, 1, ... 9 of MNIST's test set, and need no network; SqueezeNet v1.1 and the photos
    are fetched once.
    """
    digits = read_digits()
    if not as_json:
        _show_digits(digits)
    try:
        photos: list[dict[str, Any]] = name_photos()
        offline = ""
    except FetchError as error:
        photos, offline = [], str(error)
    if as_json:
        print_json(
            {
                "digits": [{k: d[k] for k in ("digit", "top")} for d in digits],
                "photos": photos,
                "offline": offline,
            }
        )
    elif offline:
        say(
            "SqueezeNet and its photos could not be fetched, so that is all for now. With a network there is more."
        )
        say(f"  ({offline})")
    else:
        _show_photos(photos)
    wrong = [d for d in digits if d["top"][0]["label"] != str(d["digit"])]
    wrong += [p for p in photos if p["top"][0]["label"] != p["wanted"]]
    return 1 if wrong else 0


def read_digits() -> list[dict[str, Any]]:
    """{"digit", "pixels" uint8[28,28], "top"} for each of the ten digits, by the LeNet beside this file."""
    net = load(LENET / "lenet.fbnet")
    labels = net.metadata["labels"]
    images = [opened(LENET / f"digit_{digit}.png") for digit in range(10)]
    with Runner(net) as runner:
        outputs = runner(np.concatenate([pixels(image, colors_of(net)) for image in images]))
    rows = [{name: y[i] for name, y in outputs.items()} for i in range(10)]
    return [
        {"digit": digit, "pixels": np.asarray(image)} | described(row, labels, 1)
        for digit, (image, row) in enumerate(zip(images, rows, strict=True))
    ]


def name_photos() -> list[dict[str, Any]]:
    """{"file", "wanted", "top"} for each photo, by SqueezeNet v1.1, converted from Caffe. Raises FetchError."""
    net = network("squeezenet_v1.1")
    folder = fetched("photos")
    labels = net.metadata["labels"]
    found = []
    with Runner(net) as runner:
        for name, wanted in PHOTOS.items():
            outputs = runner(pixels(opened(folder / f"{name}.png"), colors_of(net)))
            scores = {key: y[0] for key, y in outputs.items()}
            found.append({"file": f"{name}.png", "wanted": wanted} | described(scores, labels, 3))
    return found


def picture(pixels: np.ndarray) -> list[str]:
    """uint8[28,28] as 7 lines of 14 characters: a character is 2 pixels wide and 4 high, as a terminal's are."""
    cells = pixels.reshape(7, 2, 2, 14, 2).mean(axis=(2, 4)) > 80  # (line, upper or lower half, column)
    shades = " ▄▀█" if unicode_works() else " .'#"
    return ["".join(shades[2 * upper + lower] for upper, lower in zip(*line, strict=True)) for line in cells]


def _show_digits(digits: Sequence[dict[str, Any]]) -> None:
    say("LeNet-5 reads the first ten kinds of digits of MNIST's test set:")
    say("")
    for start in range(0, len(digits), ACROSS):
        row = digits[start : start + ACROSS]
        for line in zip(*(picture(d["pixels"]) for d in row), strict=True):
            say("".join(line))
        say("".join(f"{d['top'][0]['label']} ({d['top'][0]['score']:.3f})".center(14) for d in row))
        say("")
    right = sum(d["top"][0]["label"] == str(d["digit"]) for d in digits)
    say(f"{right}/{len(digits)} are right.")
    say("")


def _show_photos(photos: Sequence[dict[str, Any]]) -> None:
    say("SqueezeNet v1.1, converted from Caffe, looks at two photos:")
    for photo in photos:
        say("")
        say(photo["file"])
        for row in photo["top"]:
            say(f"  {row['score']:.3f}  {bar(row['score'])}  {row['label']}")
