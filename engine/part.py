"""part: a net's layers between some of its tensors, as a net; the cut behind those that follow an image's size; and
the other way round, nets that have nothing in common as one.

A net that takes images of any size and brings them to its own has two parts: a short one whose plan depends on the
image, and a long one whose plan does not. Run one after the other, a new size costs a plan of the short part only,
and no weights are packed for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import InputError, did_you_mean
from .layer import Layer
from .net import Net
from .tensor import Dim, Spec, Tensor


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
    """The net, or several to run one after the other: layers that follow an image's size, and layers that do not.

    Each reads inputs of the net and tensors that those before it made. Kept on the net, as the plans of pieces are.
    """
    kept = vars(net)
    if "_pieces" not in kept:
        runs = _runs(net)
        kept.setdefault("_pieces", nets_of(net, runs) if len(runs) > 1 else (net,))
    return kept["_pieces"]


def _runs(net: Net) -> list[list[Layer]]:
    """The layers as runs of those that follow the size of an input, and of those that do not.

    One run of all layers if none does, if an output's shape does, or if one with weights does: then nothing is gained.
    """
    batch = {name for spec in net.inputs.values() for name in _names(spec, slice(1))}
    free = {name for spec in net.inputs.values() for name in _names(spec, slice(1, None))} - batch
    if not free:
        return [list(net.layers)]
    specs = net.specs()
    depends = {name: bool(free & _names(spec)) for name, spec in specs.items()}
    runs: list[tuple[bool, list[Layer]]] = []
    for layer in net.layers:
        follows = any(depends.get(name) for name in layer.inputs)
        if follows and any(name in net.constants for name in layer.inputs):
            return [list(net.layers)]
        if not runs or runs[-1][0] != follows:
            runs.append((follows, []))
        runs[-1][1].append(layer)
    if any(depends[name] or name in net.constants for name in net.outputs):
        return [list(net.layers)]
    return [layers for _, layers in runs]


def _names(spec: Spec, axes: slice = slice(None)) -> set[str]:
    """The names that a Spec's sizes are made of."""
    texts = [size.text for size in spec.shape[axes] if isinstance(size, Dim)]
    return {name for text in texts for name in re.findall(r"[A-Za-z_]\w*", text)}


def nets_of(net: Net, runs: Sequence[Sequence[Layer]]) -> tuple[Net, ...]:
    """Each run of layers as a net, whose outputs are what later ones or the caller read."""
    specs = net.specs()
    made: list[Net] = []
    for at, layers in enumerate(runs):
        own = {name for layer in layers for name in layer.outputs}
        later = {name for run in runs[at + 1 :] for layer in run for name in layer.inputs} | set(net.outputs)
        read = dict.fromkeys(name for layer in layers for name in layer.inputs)
        inputs = {
            name: specs[name] for name in read if name and name not in own and name not in net.constants
        }
        outputs = [name for layer in layers for name in layer.outputs if name in later]
        made.append(net.replace(layers=layers, inputs=inputs, outputs=outputs, tests=()))
    return tuple(made)


def together(nets: Sequence[Net]) -> Net:
    """Nets that have nothing to do with each other as one; their names with numbers before them: '3/conv1'."""
    layers: list[Layer] = []
    inputs: dict[str, Spec] = {}
    constants: dict[str, Tensor] = {}
    outputs: list[str] = []
    for number, net in enumerate(nets):

        def own(name: str, number: int = number) -> str:
            return name and f"{number}/{name}"

        layers += [
            layer.replace(
                name=own(layer.name),
                inputs=tuple(map(own, layer.inputs)),
                outputs=tuple(map(own, layer.outputs)),
            )
            for layer in net.layers
        ]
        inputs |= {own(name): spec for name, spec in net.inputs.items()}
        constants |= {own(name): Tensor(own(name), c.spec, c.data) for name, c in net.constants.items()}
        outputs += map(own, net.outputs)
    return Net(layers, inputs, constants, outputs, name="together")
