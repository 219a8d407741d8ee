"""part: a net's layers between some of its tensors, as a net; and the cut behind those that follow an image's size.

A net that takes images of any size and brings them to its own has two parts: a short one whose plan depends on the
image, and a long one whose plan does not. Run one after the other, a new size costs a plan of the short part only,
and no weights are packed for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import InputError, did_you_mean
from .net import Net
from .tensor import Dim, Spec


def part(net: Net, inputs: Sequence[str], outputs: Sequence[str]) -> Net:
    """The layers that compute the tensors `outputs` from the tensors `inputs`, as a net. Raises InputError.

    It is an error if `outputs` depend on an input of the net that is not computed from `inputs`.
    """
    specs = net.specs()
    for name in (*inputs, *outputs):
        if name not in specs:
            raise InputError(f"{net.name} has no tensor {name!r}.{did_you_mean(name, specs)}")
    wanted, layers = set(outputs) - set(inputs), []
    for layer in reversed(net.layers):
        if wanted & set(layer.outputs):
            layers.append(layer)
            wanted |= set(layer.inputs) - set(inputs)
    for name in net.inputs:
        if name in wanted:
            raise InputError(f"{net.name}: {', '.join(outputs)} also depends on the input {name!r}")
    given = {name: specs[name] for name in inputs}
    return net.replace(layers=reversed(layers), inputs=given, outputs=tuple(outputs), tests=())


def pieces(net: Net) -> tuple[Net, ...]:
    """The net, or two nets to run one after the other: the first layers, which follow an image's size, and the rest.

    Kept on the net, as the plans of its pieces are.
    """
    kept = vars(net)
    if "_pieces" not in kept:
        at = _cut(net)
        kept.setdefault("_pieces", (net,) if at is None else _split(net, at))
    return kept["_pieces"]


def _cut(net: Net) -> int | None:
    """How many layers follow the size of an input, if the rest do not and these have no weights; else None."""
    batch = {name for spec in net.inputs.values() for name in _names(spec, slice(1))}
    free = {name for spec in net.inputs.values() for name in _names(spec, slice(1, None))} - batch
    if not free:
        return None
    specs = net.specs()
    depends = {name: bool(free & _names(spec)) for name, spec in specs.items()}
    cut = 0
    for at, layer in enumerate(net.layers, 1):
        if any(depends.get(name) for name in layer.inputs):
            cut = at
    whole = cut == len(net.layers) or any(depends[name] for name in net.outputs)
    weighs = any(name in net.constants for layer in net.layers[:cut] for name in layer.inputs)
    return None if whole or weighs or not cut else cut


def _names(spec: Spec, axes: slice = slice(None)) -> set[str]:
    """The names that a Spec's sizes are made of."""
    texts = [size.text for size in spec.shape[axes] if isinstance(size, Dim)]
    return {name for text in texts for name in re.findall(r"[A-Za-z_]\w*", text)}


def _split(net: Net, at: int) -> tuple[Net, Net]:
    """The first `at` layers, and the others."""
    specs = net.specs()
    first, rest = net.layers[:at], net.layers[at:]
    there = [*net.inputs, *(name for layer in first for name in layer.outputs)]
    read = {name for layer in rest for name in layer.inputs} | set(net.outputs)
    between = [name for name in there if name in read]
    inside = {name for layer in first for name in layer.inputs}
    head = net.replace(
        layers=first,
        inputs={name: spec for name, spec in net.inputs.items() if name in inside or name in between},
        outputs=between,
        tests=(),
    )
    return head, net.replace(layers=rest, inputs={name: specs[name] for name in between}, tests=())
