"""The .tflite format, of TensorFlow Lite, now LiteRT. Nothing but the file is needed to read it.

    tflite.fbs   the public schema, as far as it is read here
    file         the file: decoded, checked, its constants as arrays; `sparse` puts the zeros back into sparse ones
    graph        the walk over the operators, and the table that they are entered in
    arithmetic, moving, window, product, mediapipe      the operators, each a small function

Images are (N,H,W,C) in the file. Each operator that wants (N,C,H,W) turns them there and back, and `..layout` removes
the turns: what is left are those at the inputs and outputs, which keep the file's shapes.

Numbers stored as fp16 become fp32. So do constants stored as integers, where the net computes with fp32; a net that
computes with integers itself is refused, operator by operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...engine.errors import ConversionError, FbnetError, InputError
from ...engine.fixed import fixed
from ...engine.format import importer
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.tensor import Dim, Spec
from ..clean import cleaned
from . import arithmetic, mediapipe, moving, product, window  # noqa: F401  they enter their operators
from .file import Model, load
from .graph import TFLiteGraph

# What constants may take as fp32, besides 16 times the size of the file (where they may be 4 bits, or sparse).
MADE_BYTES = 64 << 20
CUTTING = ("Slice", "StridedSlice", "Gather")


@importer(".tflite")
def read(path: Path, *more: Path, allow_custom: bool = False) -> Net:
    """The net in a TensorFlow Lite file, for inference: its first subgraph.

    allow_custom  keep operators of unknown types as layers, for a registration to come; see engine/custom

    Sizes that may change as far as the net goes are symbolic: N, and H and W where no padding or shape was worked out
    from those of the file. Raises FileError for a damaged file, and one ConversionError that lists every operator that
    cannot be expressed.
    """
    path = Path(path)
    if more:
        raise InputError(f"{path}: a TensorFlow Lite model is one file; there is no place for {more[0]}")
    model = load(path)
    try:
        return _convert(model, path, allow_custom)
    except ConversionError as error:
        head = str(error).split("; ")[0].removeprefix(f"{path.stem}: ")
        raise ConversionError(f"{path}: {head}", error.problems) from None
    except FbnetError as error:
        raise type(error)(f"{path}: {error}") from None


def _convert(model: Model, path: Path, allow_custom: bool) -> Net:
    g = TFLiteGraph(model, MADE_BYTES + 16 * model.nbytes)
    g.allow_custom = allow_custom
    g.walk()
    about = f"{path.name}, TensorFlow Lite" + (f", {model.description}" if model.description else "")
    net = cleaned(g.net(path.stem, {"source": about}), len(model.operators), g.weight_scales)
    return _loosened(net, g.batch_by, g.fixed_by)


def _loosened(net: Net, batch_by: str, sizes_by: str) -> Net:
    """The net with N, H and W symbolic, if nothing was found against it and nothing is cut at a place of H or W."""
    if batch_by:
        net = fixed(net, (0,), f"{batch_by} is right for it alone")
    if not sizes_by and net.inputs and all(spec.ndim == 4 for spec in net.inputs.values()):
        free = net.loosened(not batch_by, (1, 2))
        specs = free.specs()
        sizes_by = next((str(layer) for layer in free.layers if _cuts_what_changes(layer, specs)), "")
        if not sizes_by:
            return free
    net = net.loosened(not batch_by, ())
    axes = range(1, max((spec.ndim for spec in net.inputs.values()), default=1))
    return fixed(net, axes, f"{sizes_by} is right for it alone") if sizes_by else net


def _cuts_what_changes(layer: Layer, specs: Mapping[str, Spec]) -> bool:
    """Whether a layer takes places by number along an axis whose size may change, the batch's excepted."""
    if layer.type not in CUTTING or (layer.type == "Slice" and not layer.points):
        return False
    shape = specs[layer.inputs[0]].shape
    axes = layer.axes or range(len(layer.starts)) if layer.type == "StridedSlice" else [layer.axis]
    return any(isinstance(shape[axis], Dim) for axis in axes if axis % len(shape))
