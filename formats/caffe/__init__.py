"""Caffe: a .prototxt that says what the net is, and a .caffemodel with its weights -> Net.

    net = fbnet.convert("deploy.prototxt", "weights.caffemodel")

The way: schema (what the files' fields are) -> prototxt (read, old spellings upgraded) -> graph (what of it runs
when it is deployed) -> mapping (a layer for a layer, with its weights) -> Net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from ...engine.errors import ConversionError, FbnetError, FileError, InputError, did_you_mean
from ...engine.format import importer
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.tensor import Spec
from ..labels import read_labels
from .graph import MOST_ELEMENTS, Graph, deployed
from .mapping import converted, converters
from .prototxt import read_prototxt
from .random_weights import RandomWeights
from .weights import CaffemodelWeights, MissingWeights, Weights

WEIGHT_SUFFIXES = (".caffemodel", ".binaryproto", ".h5")


@importer(".prototxt", ".caffemodel")
def read_caffe(
    *paths: Path,
    random_weights: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    stages: Sequence[str] = ("deploy",),
    level: int = 0,
    labels: str | Path | Sequence[str] | None = None,
    image: Mapping[str, Any] | None = None,
) -> Net:
    """A Caffe net, as it is deployed: phase TEST, data layers as inputs, losses as the functions inside them.

    paths           the .prototxt and the .caffemodel, in either order
    random_weights  a seed, 0 or above, for weights instead of a .caffemodel
    shapes          input name -> shape, where the file tells none (a train_val's database), or another is wanted
    stages, level   Caffe's NetState, for files whose include and exclude rules ask for them
    labels          a text file with a label a line (an ImageNet id before it is dropped), or the labels
    image           how to prepare an image, for the net's metadata; see Net

    Raises FileError if a file is damaged or foreign, InputError if the .caffemodel is missing, and ConversionError with
    everything else that is in the way: each layer that has no counterpart, each blob that is missing or does not fit.
    """
    prototxt, caffemodel = _told_apart(paths)
    net = read_prototxt(prototxt)
    graph = deployed(net, stages, level, _checked(shapes or {}))
    for name in shapes or {}:
        if name not in graph.inputs:
            known = ", ".join(graph.inputs)
            raise InputError(
                f"{prototxt}: has no input {name!r}.{did_you_mean(name, graph.inputs)} It has: {known}"
            )
    weights = _weights(caffemodel, random_weights)
    layers, problems = _layers(graph, weights)
    missing = weights.missing()
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConversionError(
            f"{prototxt}: {count} in the way", [*problems, missing] if missing else problems
        )
    if missing:
        raise InputError(f"{prototxt}: {missing}")
    metadata: dict[str, Any] = {"source": " + ".join(p.name for p in (prototxt, caffemodel) if p)}
    if labels is not None:
        metadata["labels"] = read_labels(labels)
    if prepared := graph.image | dict(image or {}):
        metadata["image"] = prepared
    inputs = {name: Spec(shape) for name, shape in graph.inputs.items() if shape is not None}
    name = net.name or prototxt.stem
    return Net(layers, inputs, outputs=graph.outputs, name=name, metadata=metadata).loosened()


def _told_apart(paths: Sequence[Path]) -> tuple[Path, Path | None]:
    """(prototxt, caffemodel or None), whichever came first."""
    binary = [p for p in paths if p.suffix.lower() in WEIGHT_SUFFIXES]
    text = [p for p in paths if p not in binary]
    if len(text) == 2 and not binary:
        text, binary = text[:1], text[1:]  # an odd ending: the order decides
    if len(text) != 1 or len(binary) > 1:
        got = ", ".join(p.name for p in paths)
        raise InputError(f"a Caffe model is one .prototxt and one .caffemodel, but got {got}")
    return text[0], binary[0] if binary else None


def _checked(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    try:
        return {name: tuple(map(index, shape)) for name, shape in shapes.items()}
    except (TypeError, AttributeError):
        raise InputError(
            f"shapes is {shapes!r}: give input names and their sizes: {{'data': (1, 3, 224, 224)}}"
        ) from None


def _weights(caffemodel: Path | None, seed: int | None) -> Weights:
    if caffemodel is not None:
        return CaffemodelWeights(caffemodel)
    if seed is None:
        return MissingWeights()
    return RandomWeights(seed)


def _layers(graph: Graph, weights: Weights) -> tuple[list[Layer], list[str]]:
    """Every node as a layer, and all problems. What reads a tensor that a problem left unknown is passed over."""
    layers: list[Layer] = []
    problems = list(graph.problems)
    specs = {name: Spec(shape) for name, shape in graph.inputs.items() if shape is not None}
    for node in graph.nodes:
        known = [specs[name] for name in node.inputs if name in specs]
        if node.type in converters and len(known) < len(node.inputs):
            continue
        try:
            layer = converted(node, known, weights)
            wired = [specs[i] if isinstance(i, str) else i.spec for i in layer.inputs]
            results = layer.infer_outputs(wired)
            if max(r.size for r in results) > MOST_ELEMENTS:
                raise ConversionError(f"its result would be {', '.join(map(str, results))}: too large")
        except FileError:
            raise
        except FbnetError as error:
            text = str(error)
            problems.append(text if text.startswith(f"{node.name} (") else f"{node}: {text}")
            continue
        specs.update(zip(layer.outputs, results, strict=True))
        weights.follow(layer)
        layers.append(layer)
    weights.finish()
    return layers, problems + weights.problems
