"""rewrite: Net -> Net. Rules replace a short chain of layers by fewer layers that compute the same.

    @rewrite("Convolution", "BatchNorm")
    def fold_batch_norm(conv, norm, constants):
        ...
        return conv.replace(inputs=(conv.inputs[0], w * scale, b))

A rule sees layers that follow each other, each output read by the next layer alone. It returns the layer to put in
their place (which writes what the last one wrote), a list of layers, or None to leave them. Arrays among a new
layer's inputs become constants. A rule for one type may return [] to remove a layer whose output is its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .custom import filled
from .layer import Layer
from .net import Net
from .registry import Registry
from .tensor import Tensor

Constants = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """A chain of layer types, and the function that replaces it.

    any_input  a layer of the chain may read the one before at any of its inputs, not just the first
    """

    types: tuple[str, ...]
    replace: Callable[..., Any]
    any_input: bool = False


rewrites: Registry[Rule] = Registry("rewrite")


def rewrite(*types: str | type[Layer], any_input: bool = False) -> Callable[[Callable], Callable]:
    """Register a rule for a chain of layer types: `rule(layer, ..., constants) -> Layer | list | None`; see Rule."""

    def register(rule: Callable) -> Callable:
        names = tuple(t if isinstance(t, str) else t.type for t in types)
        rewrites.add(f"{rule.__name__}: {' '.join(names)}", Rule(names, rule, any_input), rule.__module__)
        return rule

    return register


def apply(net: Net) -> Net:
    """The net after every registered rule has been applied as often as it can be."""
    graph = _Graph(net.replace(layers=filled(net.layers)))
    rules = rewrites.values()
    changed = True
    while changed:  # what was replaced may now fit a chain that starts earlier, not always next to it
        changed = False
        position = 0
        while position < len(graph.layers):
            if any(graph.try_rule(rule, position) for rule in rules):
                changed = True
            else:
                position += 1
    return net.replace(layers=graph.layers, constants=graph.constants, outputs=graph.outputs)


class _Graph:
    """The layers of a net while they are being rewritten."""

    def __init__(self, net: Net):
        self.layers = list(net.layers)
        self.inputs = set(net.inputs)
        self.constants = dict(net.constants)
        self.outputs = list(net.outputs)
        self.readers: dict[str, list[Layer]] = {}
        for layer in self.layers:
            self._count(layer)

    def _count(self, layer: Layer) -> None:
        for name in layer.inputs:
            self.readers.setdefault(name, []).append(layer)

    def _discount(self, layer: Layer) -> None:
        for name in layer.inputs:
            self.readers[name] = [r for r in self.readers[name] if r is not layer]

    def try_rule(self, rule: Rule, position: int) -> bool:
        """Apply the rule to the chain that starts at `position`, if it fits; True if something changed."""
        chain = self._chain(rule, self.layers[position])
        if chain is None:
            return False
        result = rule.replace(*chain, self.constants)
        if result is None:
            return False
        new = result if isinstance(result, list) else [result]
        last = chain[-1]
        if not new:
            return self._bypass(last)
        new[-1] = new[-1].replace(outputs=last.outputs)
        new = [self._named(layer) for layer in new]
        at = next(i for i, layer in enumerate(self.layers) if layer is last)
        self.layers[at + 1 : at + 1] = new
        gone = {id(layer) for layer in chain}
        for layer in chain:
            self._discount(layer)
        self.layers = [layer for layer in self.layers if id(layer) not in gone]
        for layer in new:
            self._count(layer)
        return True

    def _chain(self, rule: Rule, first: Layer) -> list[Layer] | None:
        """The layers of these types from `first` on, each the only reader of the one before, or None."""
        if first.type != rule.types[0]:
            return None
        chain = [first]
        for kind in rule.types[1:]:
            outputs = chain[-1].outputs
            readers = self.readers.get(outputs[0], [])
            if (
                len(outputs) != 1
                or len(readers) != 1
                or outputs[0] in self.outputs
                or readers[0].type != kind
            ):
                return None
            if readers[0].inputs[0] != outputs[0] and not rule.any_input:
                return None
            chain.append(readers[0])
        return chain

    def _bypass(self, layer: Layer) -> bool:
        """Remove a layer: its readers read its input instead. Kept if it is what makes an input an output."""
        source, output = layer.inputs[0], layer.outputs[0]
        if output in self.outputs:
            writer = next((w for w in self.layers if source in w.outputs), None)
            if writer is None or source in self.outputs:
                return False
            self._rename(source, output, skip=layer)
        else:
            self._rename(output, source, skip=layer)
        self._discount(layer)
        self.layers = [other for other in self.layers if other is not layer]
        return True

    def _rename(self, old: str, new: str, skip: Layer) -> None:
        """Call a tensor otherwise in every layer but `skip`."""
        for index, layer in enumerate(self.layers):
            if layer is skip or (old not in layer.inputs and old not in layer.outputs):
                continue
            self._discount(layer)
            self.layers[index] = layer.replace(
                inputs=tuple(new if i == old else i for i in layer.inputs),
                outputs=tuple(new if o == old else o for o in layer.outputs),
            )
            self._count(self.layers[index])

    def _named(self, layer: Layer) -> Layer:
        """The layer with every array among its inputs a constant under a new name."""
        inputs = []
        for given, parameter in zip(layer.inputs, layer.input_names(), strict=True):
            if isinstance(given, np.ndarray):
                name = f"{layer.name}.{parameter}"
                while name in self.constants:
                    name += "'"
                self.constants[name] = Tensor(name, data=given)
                given = name
            inputs.append(given)
        return layer.replace(inputs=tuple(inputs))
