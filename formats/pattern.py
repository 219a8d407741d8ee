"""A net while patterns are looked for in it, and the layers that come in the place of what is found; see `patterns`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.layer import Layer, layers
from ..engine.net import Net

Found = tuple[
    list[Layer], list[Layer]
]  # what comes in place of the last layer, and which layers before it go


class View:
    """A net while patterns are looked for: who writes a tensor, and who reads it."""

    def __init__(self, net: Net):
        self.net = net
        self.layers = list(net.layers)
        self.specs = net.specs()
        self.writers = {o: layer for layer in self.layers for o in layer.outputs}
        self.readers: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for name in layer.inputs:
                self.readers.setdefault(name, []).append(layer)

    def made(self, tensor: str, kind: str, **attributes: Any) -> Layer | None:
        """The layer that writes a tensor, if it is of this type and has these attributes."""
        layer = self.writers.get(tensor)
        if layer is None or layer.type != kind:
            return None
        return layer if all(getattr(layer, k) == v for k, v in attributes.items()) else None

    def affine(self, tensor: str) -> tuple[str, float, float, list[Layer]]:
        """(x, scale, shift, the layer) of a tensor that is scale * x + shift, else itself."""
        layer = self.made(tensor, "Power", power=1.0)
        return (layer.inputs[0], layer.scale, layer.shift, [layer]) if layer else (tensor, 1.0, 0.0, [])

    def pairs(self, layer: Layer) -> Iterator[tuple[str, str]]:
        """Both orders of the factors of a product of two tensors."""
        product = (layer.type == "Eltwise" and layer.operation == "prod") or (
            layer.type == "Binary" and layer.operation == "mul"
        )
        if product and len(layer.inputs) == 2:
            a, b = layer.inputs
            yield from ((a, b), (b, a))

    def number(self, tensor: str) -> np.ndarray | None:
        """The array of a constant."""
        constant = self.net.constants.get(tensor)
        return None if constant is None else constant.data

    def alone(self, gone: Sequence[Layer], last: Layer) -> bool:
        """Whether nobody but these layers reads what they compute."""
        inside = {id(layer) for layer in (*gone, last)}
        return all(
            o not in self.net.outputs and all(id(r) in inside for r in self.readers.get(o, ()))
            for layer in gone
            for o in layer.outputs
        )


Pattern = Callable[[View, Layer], "Found | None"]


def named(last: Layer, kind: str, *inputs: str, part: str = "", **attributes: Any) -> Layer:
    """A layer in the place of `last`; a `part` before it has a name, and a result, of its own."""
    name = f"{last.name}/{part}" if part else last.name
    return layers[kind](*inputs, name=name, outputs=[name] if part else [], **attributes)
