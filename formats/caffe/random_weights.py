"""Weights from a seed in the place of a .caffemodel."""

from __future__ import annotations

from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from ..random_weights import Dice
from .graph import Node
from .weights import Weights


class RandomWeights(Weights):
    """Every blob drawn from a seed."""

    def __init__(self, seed: int):
        super().__init__()
        self._dice = Dice(seed)

    def follow(self, layer: Layer) -> None:
        self._dice.follow(layer)

    def _make(self, node: Node, index: int, parameter: str, spec: Spec, fan_in: int) -> Tensor:
        drawn = self._dice.draw(f"{node.name}.{parameter}", parameter, spec, fan_in, "".join(node.inputs[:1]))
        if self._dice.too_many:
            self.problems.append(f"{node}: {parameter} is {spec}: too many random weights for one net")
        return drawn
