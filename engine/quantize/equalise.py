"""equalise: channels of one tensor that differ in range are brought nearer to each other, and readers undo it.

int8 has one scale a tensor: a channel that is a hundredth of the largest is left with two steps. Where a tensor is
written and read by layers with weights only, each channel may be multiplied by a factor of its own as it is written and
divided by it as it is read, at no cost: both go into the weights, or behind a hard swish into a Scale that the integer
layer takes along. Nagel et al. 2019, arXiv:1906.04721; with ranges of
activations: Xiao et al. 2022, arXiv:2211.10438.

A factor is at least 1: what a Clip's upper limit cuts off stays cut off, and no channel leaves the largest one's range.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..layer import Layer
from ..net import Net
from ..tensor import Spec, Tensor
from .convert import groups_of
from .observation import Seen
from .rules import Node, Weighing, rule_of

LARGEST = 64.0  # factor
HEADROOM = 0.9  # of the largest channel's range, for what no sample has shown
SHARED = (
    0.5  # exponent where readers sum over channels: their weights get smaller, and coarser, as factors grow
)


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


def equalised(
    net: Net,
    nodes: Sequence[Node],
    specs: Mapping[str, Spec],
    floats: Collection[str],
    seen: Mapping[str, Seen],
) -> tuple[Net, list[str]]:
    """(the net with other weights, which computes the same on what was seen; tensors whose channels have factors).

    Nodes may have got a Scale as their last layer, or one in the place of their last: they are to be made again.
    """
    channels, classes = _channels(net, nodes, specs, floats)
    factors = _factors(net, nodes, floats, seen, channels, classes)

    def factor(name: str) -> np.ndarray | None:
        found = factors[classes.roots(channels[name])] if name in channels else np.ones(1)
        return None if (found == 1).all() else found

    changed: dict[str, np.ndarray] = {}
    behind: dict[str, list[Layer]] = {}  # the layers of a node that has its factors there
    for node in nodes:
        rule = rule_of(node.layer)
        if not isinstance(rule, Weighing) or node.name in floats:
            continue
        x, w_name, b_name = (*node.layer.inputs, "")[:3]
        w = net.constants[w_name].data
        assert w is not None
        read, wrote = (factor(name) for name in (x, node.outputs[0]))
        if read is not None:
            w = rule.by_input(node.layer, w, 1 / read)
        if wrote is not None and rule.linear(node) == "behind":
            behind[node.name], arrays = rule.scaled(node, net, wrote)
            changed |= arrays
        elif wrote is not None:
            w = rule.shaped(node.layer, rule.rows(node.layer, w) * wrote[:, None], w.shape)
            if b_name:
                b = net.constants[b_name].data
                assert b is not None
                changed[b_name] = (b * wrote).astype(np.float32)
        changed[w_name] = np.ascontiguousarray(w, np.float32)
    constants = dict(net.constants) | {k: Tensor(k, data=v) for k, v in changed.items()}
    replaced = {layer.name for node in nodes if node.name in behind for layer in node.layers}
    made = [new for la in net.layers for new in (behind.get(la.name, []) if la.name in replaced else [la])]
    net = net.replace(layers=made, constants=constants, tests=(), plans={})
    return net, [name for name in channels if factor(name) is not None]


def _channels(
    net: Net, nodes: Sequence[Node], specs: Mapping[str, Spec], floats: Collection[str]
) -> tuple[dict[str, np.ndarray], _Classes]:
    """Of each tensor the classes that its channels (axis 1) belong to."""
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
                for residual in inputs[1:]:
                    classes.join(of(residual), found[y] if kind == "free" else 0 * of(residual))
            else:
                for name in inputs[1:]:
                    classes.join(of(name), 0 * of(name))
            if not alone or not rule.reads_channels(node.layer):
                classes.join(of(inputs[0]), 0 * of(inputs[0]))
        elif kind == "sums":
            found[node.outputs[0]] = of(inputs[0])
            for other in inputs[1:]:
                classes.join(of(inputs[0]), of(other))
        elif kind == "keeps":
            found[node.outputs[0]] = of(inputs[0])
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
            for name in inputs:
                classes.join(of(name), 0 * of(name))
    for name in net.outputs:
        classes.join(of(name), 0 * of(name))
    return found, classes


def _factors(net: Net, nodes, floats, seen: Mapping[str, Seen], channels, classes: _Classes) -> np.ndarray:
    """The factor of each class, 1 for those that must not have any."""
    factors = np.full(len(classes.parent), LARGEST)
    summed = np.zeros(len(classes.parent), bool)
    for group in groups_of(net, nodes, floats):
        reaches = [_reach(seen[name]) for name in group]
        largest = np.max([reach.max(1, keepdims=True) for reach in reaches], 0)
        for name, reach in zip(group, reaches, strict=True):
            if name in channels and reach.shape[1:] == channels[name].shape:
                room = np.divide(HEADROOM * largest, reach, out=np.full_like(reach, LARGEST), where=reach > 0)
                np.minimum.at(factors, classes.roots(channels[name]), np.clip(room.min(0), 1, LARGEST))
    for node in nodes:
        rule = rule_of(node.layer)
        name = node.layer.inputs[0]
        if isinstance(rule, Weighing) and node.name not in floats and name in channels:
            w = net.constants[node.layer.inputs[1]].data
            if w is None or rule.sums_channels(node.layer, w):
                summed[classes.roots(channels[name])] = True
    factors = np.where(summed, factors**SHARED, factors)
    factors[0] = 1
    return factors


def _reach(seen: Seen) -> np.ndarray:
    """How far each channel goes below 0 and above it, (2, C)."""
    return np.maximum([-seen.channel_low, seen.channel_high], 0).astype(np.float64)
