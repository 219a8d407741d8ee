"""What a command that looks on at a run needs: its options, a photo or an example for the net to see, and the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from ..engine.errors import InputError, did_you_mean
from ..engine.net import Net
from ..engine.plan import Plan
from ..formats.ends import reads_pixels
from .image import colors_of, opened, pixels
from .model import open_model
from .numbers import random_inputs
from .options import Shape, image_options, recipe_changes, tune_option
from .run import with_pixels
from .show import compiling, working
from .vectors import example, picture

_OPTIONS = (
    click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path)),
    click.option(
        "--image", type=click.Path(path_type=Path), help="The photo that is run; default: an example."
    ),
    click.option(
        "--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Shape of the example."
    ),
    click.option(
        "--device", default="cpu", show_default=True, help="Where to run: cpu, or reference (slow)."
    ),
    click.option(
        "--dtype", default="fp32", show_default=True, help="What weights are kept in: fp32 or fp16."
    ),
    click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are."),
)


def run_options(command: Callable) -> Callable:
    """Add a model and what it is run on to a command, which hands all of that on to `prepared`."""
    command = image_options(tune_option(command))
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Prepared(NamedTuple):
    """A net that is ready to be looked at: its plan, and an array for each of its inputs."""

    net: Net
    plan: Plan
    inputs: dict[str, np.ndarray]


def prepared(
    model: Sequence[Path],
    image: Path | None,
    shape: Sequence[tuple[str, tuple[int, ...]]],
    device: str,
    dtype: str,
    threads: int | None,
    **recipe: Any,
) -> Prepared:
    """The model as `run_options` name it. Raises FbnetError."""
    with working("reading"):
        net, inputs = feed(open_model(model), image, recipe, dict(shape))
    with compiling():
        shapes = {name: array.shape for name, array in inputs.items()}
        plan = net.compile(device=device, dtype=dtype, threads=threads, shapes=shapes)
    return Prepared(net, plan, inputs)


def feed(
    net: Net, photo: Path | None, recipe: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Net, dict[str, np.ndarray]]:
    """(the net, with layers that prepare the photo if it needs them; an array for each of its inputs).

    recipe  how the photo is prepared, as the image options say it. Raises InputError.
    """
    changes = recipe_changes(dict(recipe))
    if photo is not None:
        if shapes:
            raise InputError("--shape is for an example: a photo has its own size")
        net = with_pixels(net, changes)
        (name,) = net.inputs
        return net, {name: pixels(opened(photo), colors_of(net))}
    if changes:
        raise InputError(f"{', '.join(changes)}: no photo to prepare: give --image")
    inputs = example(net)
    for name, shape in shapes.items():
        if name not in net.inputs:
            raise InputError(f"{net.name} has no input {name!r}.{did_you_mean(name, net.inputs)}")
        spec = net.inputs[name].replace(shape=shape)
        inputs[name] = picture(shape, 0) if name == reads_pixels(net) else random_inputs({name: spec})[name]
    return net, inputs
