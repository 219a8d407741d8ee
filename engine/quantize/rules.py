"""rules: how each layer type is computed with int8 tensors; the rules themselves are in layers/integer_*.py.

    @integer("Pooling")
    class IntegerPooling(Integer):
        def make(self, node, at): ...

A type without a rule stays in fp32, except a function of one number without weights, which becomes a Table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Protocol

import numpy as np

from ..dtype import Quantization
from ..layer import Elementwise, Layer, layers
from ..net import Net
from ..registry import Registry
from ..tensor import Spec

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Node:
    """A layer, and what alone reads its output and can be computed with it: an activation, a scale behind that."""

    layer: Layer
    followers: tuple[Layer, ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.layers[-1].outputs

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.layer, *self.followers)


@dataclass
class Weights:
    """What a layer multiplies by, in int8.

    w     int8, of the layer's own shape
    scale fp32, for each output channel: real w = scale * w
    b     fp32, for each output channel: the real bias
    """

    w: np.ndarray
    scale: np.ndarray
    b: np.ndarray


class Site(Protocol):
    """What a rule may ask while it makes a node's layers."""

    net: Net
    specs: Mapping[str, Spec]
    real: bool  # a weighted layer's output is wanted in fp32, not in int8

    def q(self, tensor: str) -> Quantization:
        """What the int8 numbers of a tensor stand for."""

    def int8(self, tensor: str) -> str:
        """The name under which a tensor is there in int8."""

    def written(self, tensor: str) -> str:
        """The name under which to write a tensor in int8."""

    def weights(self, node: Node) -> Weights:
        """A weighted node's weights, as they were decided."""


class Integer:
    """How a layer type is computed with int8 tensors.

    weighted  it multiplies by constants: its error can be corrected in its weights, and it can give fp32
    """

    weighted: ClassVar[bool] = False

    def prepared(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> list[Layer] | None:
        """Layers of the same meaning that have better rules, None if it is well as it is."""
        return None

    def refuses(self, node: Node, net: Net, specs: Mapping[str, Spec]) -> str:
        """Why this layer has to stay in fp32, '' if it need not."""
        return ""

    def follows(self, node: Node, follower: Layer, net: Net) -> bool:
        """Whether a layer that reads the output, behind the node's last, can be computed with it."""
        return False

    def reads(self, node: Node, net: Net) -> list[str]:
        """The tensors that are read in int8."""
        return [i for i in node.layer.inputs if i and i not in net.constants]

    def tied(self, node: Node, net: Net) -> list[str]:
        """Tensors that must be in one quantization, as what is only moved must."""
        return []

    def linear(self, node: Node) -> str:
        """How the layer treats factors on x's channels, if they come out again on y's.

        "keeps"  y has x's factors; of several inputs the largest one's, the others must have none
        "moves"  y has them, in the order in which the layer puts channels
        "sums"   all inputs must have the same factors, which are y's
        "free"   y may have any: the layer has weights, and its activation only bends at 0
        "grows"  y may have any of at least 1: the layer has weights, and its activation limits
        "behind" y may have any: there is or can be a scale of each channel behind the activation
        ""       none of these
        """
        return ""

    def through(self, node: Node, net: Net) -> Function | None:
        """The function of one number that the node is, if it is one."""
        return None

    def make(self, node: Node, at: Site) -> list[Layer]:
        """The integer layers. Weights are constants: arrays among their inputs."""
        raise NotImplementedError


class Weighing(Integer):
    """A rule for a layer that multiplies by constants, called w and, if it is there, b."""

    weighted = True
    channel_axis: ClassVar[int] = 1  # where the output has its channels

    def reads_channels(self, layer: Layer) -> bool:
        """Whether x's channels, on axis 1, are what by_input has factors for."""
        return True

    def sums_channels(self, layer: Layer, w: np.ndarray) -> bool:
        """Whether an output channel is a sum over several channels of x."""
        return True

    def rows(self, layer: Layer, w: np.ndarray) -> np.ndarray:
        """w as (M, K): what each output channel's sum multiplies by."""
        raise NotImplementedError

    def shaped(self, layer: Layer, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """rows(layer, w) -> w."""
        raise NotImplementedError

    def columns(self, layer: Layer, x: np.ndarray, w_shape: tuple[int, ...]) -> np.ndarray | None:
        """What the rows of each group are multiplied by, (groups, K, places); None if this is not known."""
        return None

    def sums(
        self, layer: Layer, x: np.ndarray, w: np.ndarray, b: np.ndarray, residual: np.ndarray | None
    ) -> np.ndarray:
        """The layer in fp32, before its activation."""
        raise NotImplementedError

    def scaled(self, node: Node, net: Net, factors: np.ndarray) -> tuple[list[Layer], dict[str, np.ndarray]]:
        """(the node's layers with y's channels times factors, new constants), where `linear` is "behind"."""
        raise NotImplementedError

    def by_input(self, layer: Layer, w: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """w for an x whose channels were divided by `factors`, (C,)."""
        raise NotImplementedError


class IntegerTable(Integer):
    """A function of one number: a table of 256 results, made from its reference.

    One that follows goes into the same table: what lies between is not rounded.
    """

    def function(self, layer: Layer, net: Net) -> Function | None:
        """The function of one number that a layer is, if it is one."""
        return lambda x: np.asarray(layer.reference(x.astype(np.float32)))

    def follows(self, node: Node, follower: Layer, net: Net) -> bool:
        return self.through(node, net) is not None and _function(follower, net) is not None

    def through(self, node: Node, net: Net) -> Function | None:
        found = [_function(layer, net) for layer in node.layers]
        functions = [function for function in found if function is not None]
        if len(functions) < len(found):
            return None
        return lambda x: reduce(lambda y, function: function(y), functions, x)

    def make(self, node: Node, at: Site) -> list[Layer]:
        function = self.through(node, at.net)
        assert function is not None
        (x,) = self.reads(node, at.net)
        (y,) = node.outputs
        (scale,), (zero,) = at.q(y).scale, at.q(y).zero
        real = (np.arange(-128, 128) - at.q(x).zero[0]).astype(np.float32) * np.float32(at.q(x).scale[0])
        with np.errstate(all="ignore"):
            results = np.nan_to_num(function(real).astype(np.float64))
        table = np.clip(np.rint(results / scale) + zero, -128, 127).astype(np.int8)
        source, written = at.int8(x), at.written(y)
        return [layers["Table"](source, table, name=node.name, outputs=[written], scale=scale, zero=zero)]


integers: Registry[Integer] = Registry("rule for integers")
_TABLE = IntegerTable()


def integer(*types: str) -> Callable[[type[Integer]], type[Integer]]:
    """Register a rule for layer types: `@integer("Pooling") class IntegerPooling(Integer): ...`"""

    def register(cls: type[Integer]) -> type[Integer]:
        for name in types:
            integers.add(name, cls(), cls.__module__)
        return cls

    return register


def rule_of(layer: Layer) -> Integer | None:
    """The rule for a layer, None if there is none."""
    if layer.type in integers:
        return integers[layer.type]
    simple = isinstance(layer, Elementwise) and len(layer.inputs) == 1 and not layer.alias
    return _TABLE if simple else None


def _function(layer: Layer, net: Net) -> Function | None:
    rule = rule_of(layer)
    return rule.function(layer, net) if isinstance(rule, IntegerTable) else None
