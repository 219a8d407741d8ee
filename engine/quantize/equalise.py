"""equalise: channels of one tensor that differ in range are brought nearer to each other, and readers undo it.

int8 has one scale a tensor: a channel that is a hundredth of the largest is left with two steps. Where a tensor is
written and read by layers with weights only, each channel may be multiplied by a factor of its own as it is written and
divided by it as it is read, at no cost: both go into the weights, or behind a hard swish into a Scale that the integer
layer takes along. Nagel et al. 2019, arXiv:1906.04721; with ranges of activations: Xiao et al. 2022, arXiv:2211.10438.

Which factors: see `factors`. Where a Clip's upper limit lies behind, they are at least 1: what it cuts off stays cut
off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from ..layer import Layer
from ..net import Net
from ..tensor import Spec, Tensor
from .channels import channel_classes
from .convert import groups_of
from .factors import Reader, least_noise
from .observation import Seen
from .rules import Node, Weighing, rule_of


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
    classes, count = channel_classes(net, nodes, specs, floats)
    grows = np.zeros(count, bool)
    readers: dict[str, list[Reader | None]] = {}
    for node in nodes:
        if node.name in floats:
            continue
        (y, *_) = node.outputs
        if _linear(node) == "grows" and y in classes:
            grows[classes[y]] = True
        for name, reader in _readers(net, node, classes):
            readers.setdefault(name, []).append(reader)
    factors = least_noise(groups_of(net, nodes, floats), seen, classes, grows, readers)

    def factor(name: str) -> np.ndarray | None:
        found = factors[classes[name]] if name in classes else np.ones(1)
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
        if wrote is not None and _linear(node) == "behind":
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
    return net, [name for name in classes if factor(name) is not None]


def _readers(net: Net, node: Node, channels: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Reader | None]]:
    """What a node reads, and by which weights."""
    rule, inputs = rule_of(node.layer), list(node.layer.inputs)
    if isinstance(rule, Weighing):
        x, *inputs = inputs
        w = net.constants[inputs[0]].data
        if x in channels and rule.reads_channels(node.layer) and w is not None:
            yield x, Reader.of(rule, node.layer, w, len(channels[x]))
    if _linear(node) != "moves":
        yield from ((name, None) for name in inputs if name in channels)


def _linear(node: Node) -> str:
    """See Integer.linear."""
    rule = rule_of(node.layer)
    return rule.linear(node) if rule is not None else ""
