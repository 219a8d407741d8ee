"""A folder of images or arrays as samples for a net, and a text file with their right classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.errors import InputError
from ..engine.net import Net
from ..formats.ends import reads_pixels
from .image import colors_of, opened, pixels
from .run import found_images
from .show import progress_bar


def dataset_files(net: Net, places: Sequence[Path], most: int | None = None) -> list[Path]:
    """Images if the net reads pixels, else .npy files; at most `most`, evenly spaced. Raises InputError."""
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: there is no such file or folder")
    if reads_pixels(net):
        found = found_images(places)
    else:
        found = [f for p in places for f in (sorted(p.rglob("*.npy")) if p.is_dir() else [p])]
        if not found:
            raise InputError(
                f"{places[0]}: {net.name} reads no pixels, and there are no .npy files: convert its source with image "
                "options (--mean, --size ...), or give arrays"
            )
    if most is not None and len(found) > most:
        found = [found[i] for i in np.linspace(0, len(found) - 1, most).astype(int)]
    return found


def read_samples(net: Net, files: Sequence[Path]) -> list[np.ndarray]:
    """Each file as what the net reads. Raises InputError for one that cannot be read."""
    found = []
    with progress_bar("reading", len(files)) as advance:
        for file in files:
            advance(1, file.name)
            if reads_pixels(net):
                found.append(pixels(opened(file), colors_of(net)))
                continue
            try:
                found.append(np.load(file, allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise InputError(f"{file}: no array that can be read: {error}") from None
    return found


def read_right_classes(path: Path, files: Sequence[Path]) -> list[set[int]]:
    """Of each file its right classes, from lines like `cat.jpg 285` or, with several, `cat.jpg 281,285`.

    Raises InputError for a line that is none, and for a file that no line names.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: no text file with labels: {getattr(error, 'strerror', None) or error}"
        ) from None
    known: dict[str, set[int]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, classes = line.strip().rpartition(" ")
        try:
            known[name.strip()] = {int(c) for c in classes.split(",")}
        except ValueError:
            raise InputError(f"{path}, line {number}: {line!r:.60} is not like `cat.jpg 285`") from None
    missing = [f.name for f in files if f.name not in known]
    if missing:
        raise InputError(
            f"{path} does not name {len(missing)} of {len(files)} files, {missing[0]} among them: a line is a file's "
            "name, a space and its class"
        )
    return [known[f.name] for f in files]
