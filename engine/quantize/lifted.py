"""lifted: layers that move integers about, as layers on the real numbers that those integers stand for.

A model may flatten or join a quantized tensor as it is, or take the largest of its windows, without saying again what
its integers mean. Here each such layer reads what was dequantized and its result is quantized again, with the same
scale: so that given.py sees at every tensor what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..layer import Layer, layers
from ..net import Net
from .rules import Node, rule_of


@dataclass(frozen=True)
class _Meaning:
    """What a tensor's integers stand for, and their dtype."""

    scale: tuple[float, ...]
    zero: tuple[int, ...]
    dtype: str


def lifted(net: Net) -> Net:
    """The net in which every layer between Quantize and Dequantize that only moves integers is one on real numbers."""
    windows = _windows(net)
    gone = {layer.name for cast, _, back in windows.values() for layer in (cast, back)}
    meanings = _meanings_of_inputs(net)
    names = {*net.inputs, *net.constants, *(o for layer in net.layers for o in layer.outputs)}
    made: list[Layer] = []

    def fresh(name: str) -> str:
        while name in names:
            name += "'"
        names.add(name)
        return name

    def on_reals(layer: Layer, inputs: tuple[str, ...], outputs: tuple[str, ...], meaning: _Meaning) -> None:
        told = {"scale": meaning.scale, "zero": meaning.zero}
        reals = []
        for name in inputs:
            reals.append(fresh(f"{name}.real"))
            made.append(layers["Dequantize"](name, name=reals[-1], outputs=[reals[-1]], **told))
        results = [fresh(f"{name}.real") for name in outputs]
        made.append(layer.replace(inputs=tuple(reals), outputs=tuple(results)))
        for real, name in zip(results, outputs, strict=True):
            made.append(
                layers["Quantize"](
                    real, name=fresh(f"{name}.again"), outputs=[name], to=meaning.dtype, **told
                )
            )
            meanings[name] = meaning

    for layer in net.layers:
        if layer.type == "Quantize" and len(layer.scale) == 1:
            meanings[layer.outputs[0]] = _Meaning(layer.scale, layer.zero, layer.to)
        if layer.name in gone:
            continue
        if layer.name in windows:
            cast, _, back = windows[layer.name]
            meaning = meanings.get(cast.inputs[0])
            if meaning and meaning.dtype == back.to:
                on_reals(layer, cast.inputs, back.outputs, meaning)
            else:
                made += [cast, layer, back]
            continue
        told = {meanings.get(name) for name in layer.inputs}
        rule = rule_of(layer)
        if len(told) == 1 and (meaning := told.pop()) and rule is not None and rule.tied(Node(layer), net):
            on_reals(layer, layer.inputs, layer.outputs, meaning)
        else:
            made.append(layer)
    return net.replace(layers=made) if len(made) != len(net.layers) else net


def _windows(net: Net) -> dict[str, tuple[Layer, Layer, Layer]]:
    """A Pooling by the largest between two Casts, which importers make of one on integers: all three by its name."""
    readers: dict[str, list[Layer]] = {}
    for layer in net.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    found = {}
    for cast in net.layers:
        if cast.type == "Cast" and cast.to == "fp32" and cast.outputs[0] not in net.outputs:
            after = readers.get(cast.outputs[0], [])
            if len(after) == 1 and after[0].type == "Pooling" and after[0].method == "max":
                back = readers.get(after[0].outputs[0], [])
                if len(back) == 1 and back[0].type == "Cast" and after[0].outputs[0] not in net.outputs:
                    found[after[0].name] = (cast, after[0], back[0])
    return found


def _meanings_of_inputs(net: Net) -> dict[str, _Meaning]:
    """What the inputs' integers stand for, where a Dequantize says it."""
    return {
        layer.inputs[0]: _Meaning(layer.scale, layer.zero, net.inputs[layer.inputs[0]].dtype.name)
        for layer in net.layers
        if layer.type == "Dequantize" and layer.inputs[0] in net.inputs and len(layer.scale) == 1
    }
