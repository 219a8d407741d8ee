"""Darknet's format, of YOLO: a .cfg text and a .weights file.

cfg       the text as sections
weights   the numbers, in order
graph     the walk over the sections, and the table of what each is in layers
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...engine.errors import ConversionError, FbnetError, InputError
from ...engine.fixed import fixed
from ...engine.format import importer
from ...engine.net import Net
from ...engine.tensor import Spec
from . import cfg
from .graph import Graph
from .weights import Weights

NAME = "data"


@importer(".cfg", ".weights")
def read(*paths: Path, size: Sequence[int] | None = None) -> Net:
    """The net of a .cfg and its .weights, for inference.

    size  [H, W] of the images, in place of what the .cfg says: a YOLO net may have any multiple of its largest stride

    The input is RGB in 0..1. A [yolo] section's output is rows of boxes and probabilities, see `graph.yolo`. Raises
    FileError for damaged files, and one ConversionError that lists every section that cannot be expressed.
    """
    given = {Path(path).suffix.lower(): Path(path) for path in paths}
    if set(given) != {".cfg", ".weights"} or len(paths) != 2:
        raise InputError(
            f"{', '.join(map(str, paths))}: a Darknet model is a .cfg and a .weights file: give both"
        )
    path = given[".cfg"]
    head, *sections = cfg.load(path)
    weights = Weights(given[".weights"])
    try:
        shape = [head.integer("channels", 3), *(size or (head.integer("height"), head.integer("width")))]
        if len(shape) != 3 or not all(1 <= s < 1 << 16 for s in shape):
            raise InputError(f"the input would be {shape[:9]}: channels, height and width wanted")
        g = Graph(NAME, Spec((1, *shape)), weights)
        g.walk(sections)
        outputs = list(dict.fromkeys(g.made[i] for i in (*g.answers, -1)[: len(sections)]))
        if g.problems:
            raise ConversionError(f"{len(g.problems)} layers cannot be converted", g.problems)
        if not g.layers or NAME in outputs:
            raise ConversionError("it has no layers")
        inputs = {NAME: g.specs[NAME]}
        net = Net(
            g.layers, inputs, outputs=outputs, name=path.stem, metadata={"source": f"{path.name}, Darknet"}
        )
    except ConversionError as error:
        raise ConversionError(f"{path}: {str(error).split('; ')[0]}", error.problems) from None
    except FbnetError as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(given[".weights"])) else f"{path}: {text}") from None
    if "yolo" not in (s.type for s in sections):
        return net.loosened()
    return fixed(
        net.loosened(image=()), (2, 3), "[yolo] lays its boxes for it: convert with size=[H, W] for another"
    )
