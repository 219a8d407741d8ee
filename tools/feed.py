"""What a net that is looked at gets to see: a photo, or, if there is none, an example of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import InputError, did_you_mean
from ..engine.net import Net
from ..formats.ends import reads_pixels
from .image import colors_of, opened, pixels
from .numbers import random_inputs
from .options import recipe_changes
from .run import with_pixels
from .vectors import example, picture


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
