"""channels: which channels of a net's tensors must have one factor, or may have none, when they are equalised.

A layer with weights can give each channel that it writes a factor and take back what it reads; a layer that moves,
pools or adds channels hands factors on; any other must read real numbers as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..net import Net
from ..tensor import Spec
from .rules import Node, Weighing, rule_of


class _Classes:
    """Channels of tensors that must have one factor. Number 0 are those that must not have any."""

    def __init__(self) -> None:
        self.parent = [0]

    def new(self, count: int) -> np.ndarray:
        first = len(self.parent)
        self.parent += range(first, first + count)
        return np.arange(first, first + count)

    def find(self, a: int) -> int:
        while self.parent[a] != a:
            self.parent[a] = self.parent[self.parent[a]]
            a = self.parent[a]
        return a

    def join(self, a: np.ndarray, b: np.ndarray) -> None:
        for i, j in zip(a, b, strict=True):
            i, j = sorted((self.find(int(i)), self.find(int(j))))
            self.parent[j] = i

    def roots(self, a: np.ndarray) -> np.ndarray:
        return np.array([self.find(int(i)) for i in a], np.int64)


def channel_classes(
    net: Net, nodes: Sequence[Node], specs: Mapping[str, Spec], floats: Collection[str]
) -> tuple[dict[str, np.ndarray], int]:
    """(of each tensor the classes that its channels, axis 1, belong to; how many there are)."""
    classes, found = _Classes(), {}
    readers: dict[str, int] = {}
    for layer in net.layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1

    def of(name: str) -> np.ndarray:
        if name not in found:
            shape = specs[name].shape
            found[name] = np.zeros(int(shape[1]) if len(shape) > 1 else 1, np.int64)
        return found[name]

    def without(names: Sequence[str]) -> None:
        for name in names:
            classes.join(of(name), 0 * of(name))

    for node in nodes:
        rule = rule_of(node.layer)
        inputs = [name for la in node.layers for name in la.inputs if name and name not in net.constants]
        within = {name for la in node.layers[:-1] for name in la.outputs}
        inputs = [name for name in inputs if name not in within]
        kind = "" if node.name in floats or rule is None else rule.linear(node)
        if isinstance(rule, Weighing) and node.name not in floats:
            (y,) = node.outputs
            alone = all(readers[name] == 1 for name in node.layer.inputs[1:3] if name)
            if alone and kind:
                found[y] = classes.new(int(specs[y].shape[1]))
            if y in found and kind in ("free", "grows"):
                for residual in inputs[1:]:
                    classes.join(of(residual), found[y])
            else:
                without(inputs[1:])
            if not alone or not rule.reads_channels(node.layer):
                without(inputs[:1])
        elif kind == "sums":
            found[node.outputs[0]] = of(inputs[0])
            for other in inputs[1:]:
                classes.join(of(inputs[0]), of(other))
        elif kind == "keeps":
            first, *others = sorted(inputs, key=lambda name: -specs[name].size)
            without(others)
            (y,) = node.outputs
            if of(first).shape == specs[y].shape[1:2]:
                found[y] = of(first)
            else:
                without([first])
        elif kind == "moves":
            whole = [specs[name].concrete.shape for name in inputs]
            marks = [
                np.broadcast_to(of(name).reshape(1, -1, *[1] * (len(s) - 2)), (1, *s[1:]))
                for name, s in zip(inputs, whole, strict=True)
            ]
            results = node.layer.compute(marks)
            for name, marked in zip(node.outputs, results, strict=True):
                found[name] = marked.reshape(marked.shape[1], -1)[:, 0].astype(np.int64)
        else:
            without(inputs)
    without([*net.outputs])
    return {name: classes.roots(each) for name, each in found.items()}, len(classes.parent)
