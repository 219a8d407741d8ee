"""Caffe: a .prototxt that says what the net is, and a .caffemodel with its weights -> Net.

    net = fbnet.convert("deploy.prototxt", "weights.caffemodel")

The way: schema (what the files' fields are) -> prototxt (read, old spellings upgraded) -> graph (what of it runs
when it is deployed) -> the tables of what each type is in layers (mapping, moving, detection, recurrent), with their
weights -> Net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from typing import Any

from ...engine.custom import Placeholder
from ...engine.errors import ConversionError, FbnetError, FileError, InputError, did_you_mean
from ...engine.fixed import fixed
from ...engine.format import importer
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.tensor import Spec, Tensor
from ..labels import read_labels
from . import detection, moving, recurrent  # noqa: F401  they enter their types
from .custom import kept
from .graph import MOST_ELEMENTS, Graph, deployed
from .mapping import Source, convert, converters
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
    allow_custom: bool = False,
) -> Net:
    """A Caffe net, as it is deployed: phase TEST, data layers as inputs, losses as the functions inside them.

    paths           the .prototxt and the .caffemodel, in either order
    random_weights  a seed, 0 or above, for weights instead of a .caffemodel
    shapes          input name -> shape, where the file tells none (a train_val's database), or another is wanted
    stages, level   Caffe's NetState, for files whose include and exclude rules ask for them
    labels          a text file with a label a line (an ImageNet id before it is dropped), or the labels
    image           how to prepare an image, for the net's metadata; see Net
    allow_custom    keep layers of unknown types, for a registration to come; see engine/custom

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
    found = _converted(graph, weights, prototxt if allow_custom else None)
    missing, problems = weights.missing(), found.problems
    outputs = [o for o in graph.outputs if o not in found.constants]
    if not outputs and not problems:
        problems.append("nothing of it is computed")
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
    if customs := {layer.type for layer in found.layers if isinstance(layer, Placeholder)}:
        metadata["custom"] = sorted(customs)
    inputs = {name: Spec(shape) for name, shape in graph.inputs.items() if shape is not None}
    name = net.name or prototxt.stem
    tight = Net(found.layers, inputs, found.constants, outputs, name=name, metadata=metadata)
    loose = tight.loosened()
    if not found.fixed_by:
        return loose
    specs = {k: v.replace(shape=[*v.shape[:1], *tight.inputs[k].shape[1:]]) for k, v in loose.inputs.items()}
    why = f"{found.fixed_by} is right for it alone: convert with shapes= for another"
    return fixed(loose.replace(inputs=specs), (2, 3), why)


@dataclass
class _Converted:
    """What the nodes have become, and what is in the way. fixed_by: the node that makes it a net for one image size."""

    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    fixed_by: str = ""
    problems: list[str] = field(default_factory=list)


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


def _converted(graph: Graph, weights: Weights, custom_from: Path | None) -> _Converted:
    """Every node as layers, and all problems. What reads a tensor that a problem left unknown is passed over.

    custom_from  the file that tells what layers of unknown types are, if they are to be kept
    """
    found = _Converted(problems=list(graph.problems))
    specs = {name: Spec(shape) for name, shape in graph.inputs.items() if shape is not None}
    for node in graph.nodes:
        known = [specs[name] for name in node.inputs if name in specs]
        if (node.type in converters or custom_from) and len(known) < len(node.inputs):
            continue
        source = Source(node, known, weights)
        try:
            made = (
                [kept(source, custom_from)]
                if custom_from and node.type not in converters
                else convert(source)
            )
            specs |= {name: constant.spec for name, constant in source.constants.items()}
            for layer in made:
                wired = [
                    None if i is None else specs[i] if isinstance(i, str) else i.spec for i in layer.inputs
                ]
                results = layer.infer_outputs(wired)
                if max(r.size for r in results) > MOST_ELEMENTS:
                    raise ConversionError(f"its result would be {', '.join(map(str, results))}: too large")
                specs.update(zip(layer.outputs, results, strict=True))
        except FileError:
            raise
        except FbnetError as error:
            text = str(error)
            found.problems.append(text if text.startswith(f"{node.name} (") else f"{node}: {text}")
            continue
        for layer in made:
            weights.follow(layer)
        found.layers += made
        found.constants |= source.constants
        found.fixed_by = found.fixed_by or (str(node) if source.sizes_fixed else "")
    weights.finish()
    found.problems += weights.problems
    return found
