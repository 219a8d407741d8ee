"""ncnn: a .param that says what the net is, and a .bin with its weights -> Net.

    net = fbnet.convert("squeezenet.param", "squeezenet.bin")

The way: param (the file's layers) -> graph (the walk over them) -> the tables of what each type is in layers (window,
function, moving, norm, product, recurrent, detection), with their weights -> Net.
Source of every meaning: ncnn, docs/developer-guide/operators.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from ...engine.errors import ConversionError, FbnetError, FileError, InputError, did_you_mean
from ...engine.fixed import fixed
from ...engine.format import importer
from ...engine.net import Net
from ...engine.tensor import Dim
from ..clean import cleaned
from ..labels import read_labels
from . import detection, function, moving, norm, product, recurrent, window  # noqa: F401  they enter their types
from .graph import Graph
from .param import MAGIC, is_binary_param, read_param
from .weights import BinWeights, MissingWeights, RandomWeights, Weights


@importer(".param")
def read_ncnn(
    *paths: Path,
    random_weights: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    image: Mapping[str, Any] | None = None,
    allow_custom: bool = False,
) -> Net:
    """An ncnn net. One that ncnn2int8 made has integer layers where ncnn has them, by the scales in the file; without a
    .bin, which holds those, it is read as floats. The scales are in the net's metadata too, under "int8".

    paths           the .param, text or binary, and the .bin, in either order
    random_weights  a seed, 0 or above, for weights instead of a .bin
    shapes          input name -> shape, batch first, where the file tells none, or another is wanted. A net for images
                    of any size needs none
    labels          a text file with a label a line, or the labels
    image           how to prepare an image, for the net's metadata; see Net
    allow_custom    keep layers of unknown types that have no weights, for a registration to come; see engine/custom

    Raises FileError if a file is damaged or of another net, InputError if the .bin is missing, and ConversionError with
    everything else that is in the way: each layer that has no counterpart.
    """
    param, weights_file = _told_apart(paths)
    nodes = read_param(param)
    graph = Graph(_weights(weights_file, random_weights), _checked(shapes or {}))
    graph.allow_custom = allow_custom
    inputs = [o for node in nodes if node.type == "Input" for o in node.outputs]
    for name in shapes or {}:
        if name not in inputs:
            raise InputError(
                f"{param}: has no input {name!r}.{did_you_mean(name, inputs)} It has: {', '.join(inputs)}"
            )
    try:
        graph.walk(nodes)
    except FileError as error:
        raise FileError(
            str(error) if str(error).startswith(str(weights_file)) else f"{param}: {error}"
        ) from None
    missing = graph.weights.missing()
    if not graph.layers and not graph.problems:
        graph.problems.append("it has no layers that compute")
    if graph.problems:
        count = f"{len(graph.problems)} problem{'s' if len(graph.problems) > 1 else ''}"
        problems = [*graph.problems, missing] if missing else graph.problems
        guess = ", ".join(f"{name!r} as {graph.inputs[name]}" for name in graph.guessed)
        hint = (
            f" (with {guess}, whose size the file does not tell: shapes={{...}} gives another)"
            if guess
            else ""
        )
        raise ConversionError(f"{param}: {count} in the way{hint}", problems)
    if missing:
        raise InputError(f"{param}: {missing}")
    metadata: dict[str, Any] = {"source": " + ".join(p.name for p in (param, weights_file) if p)}
    if graph.int8:
        metadata["int8"] = graph.int8
    if labels is not None:
        metadata["labels"] = read_labels(labels)
    if image:
        metadata["image"] = dict(image)
    if graph.customs:
        metadata["custom"] = sorted(set(graph.customs))
    return _net(graph, nodes, param, metadata)


def _net(graph: Graph, nodes: Sequence[Any], param: Path, metadata: Mapping[str, Any]) -> Net:
    """The net of a graph without problems. Its outputs are the blobs that no layer reads."""
    read = {blob for node in nodes if node.type != "Noop" for blob in node.inputs}
    read |= {
        i for node in nodes if node.type == "Noop" and read.intersection(node.outputs) for i in node.inputs
    }
    ends = [graph.tensors[blob] for node in nodes for blob in node.outputs if blob not in read]
    ends = [e for e in dict.fromkeys(ends) if e not in graph.inputs and e not in graph.constants]
    try:
        net = Net(graph.layers, graph.inputs, graph.constants, ends, name=param.stem, metadata=metadata)
        net = cleaned(net, len(nodes), graph.weight_scales)
    except FbnetError as error:
        raise ConversionError(f"{param}: {error}") from None
    loose = net.loosened()
    for name in graph.guessed:
        if graph.sizes_fixed or not isinstance(loose.inputs[name].shape[2], Dim):
            hint = f"pass shapes={{{name!r}: (N, C, H, W)}}"
            raise ConversionError(
                f"{param}: is made for one image size, which the file does not tell: {hint}"
            )
    if not graph.sizes_fixed:
        return loose
    net = net.replace(
        inputs={
            name: spec.replace(shape=[loose.inputs[name].shape[0], *spec.shape[1:]])
            for name, spec in net.inputs.items()
        }
    )
    return fixed(net, (2, 3), f"{graph.fixed_by} is right for it alone: convert with shapes= for another")


def _told_apart(paths: Sequence[Path]) -> tuple[Path, Path | None]:
    """(param, bin or None), whichever came first: a .param begins with its magic number."""
    if len(paths) > 2:
        raise InputError(f"an ncnn model is a .param and a .bin, but got {', '.join(p.name for p in paths)}")
    if len(paths) == 1:
        return paths[0], None
    params = [p for p in paths if _is_param(p)] or [p for p in paths if p.suffix.lower() == ".param"]
    if len(params) == 2:
        params = [p for p in params if p.suffix.lower() == ".param"]
    if len(params) != 1:
        raise InputError(
            f"{' and '.join(p.name for p in paths)}: one of them has to be a .param, the other a .bin"
        )
    return params[0], next(p for p in paths if p != params[0])


def _is_param(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return is_binary_param(start) or start.split()[:1] == [str(MAGIC).encode()]


def _checked(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    try:
        return {name: tuple(map(index, shape)) for name, shape in shapes.items()}
    except (TypeError, AttributeError):
        raise InputError(
            f"shapes is {shapes!r}: give input names and their sizes: {{'data': (1, 3, 224, 224)}}"
        ) from None


def _weights(path: Path | None, seed: int | None) -> Weights:
    if path is not None:
        return BinWeights(path)
    return MissingWeights() if seed is None else RandomWeights(seed)
