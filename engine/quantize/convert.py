"""convert: an fp32 net and what is known of its tensors -> a net of integer layers.

The road: `prepared` (rewritten, fused, apart again what integers do apart) -> `nodes_of` (layers with the activations
that go with them) -> `kept_in_float` (which stay in fp32, and why) -> `quantizations` (of every int8 tensor) ->
Builder, which puts Quantize and Dequantize between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..dtype import Quantization
from ..errors import RegistryError, did_you_mean
from ..layer import Layer, layers
from ..net import Net
from ..rewrite import apply
from ..tensor import Spec, Tensor
from .observation import Seen
from .ranges import least_error, methods, quantization_of, united
from .rules import Node, Weighing, Weights, rule_of

ASKED = "asked for"
BEFORE, AFTER = "no integers come to it", "no integer layer is behind it"
LARGEST_BIAS = (
    1 << 30
)  # of what int32 holds, one half; the sum of products has the other. docs/integer-specification.md


def prepared(net: Net) -> Net:
    """The net rewritten, in the layers that have the best rules. Tensors that are left keep their names."""
    for _ in range(2):
        net = apply(net)
        specs = net.specs()
        made: list[Layer] = []
        for layer in net.layers:
            rule = rule_of(layer)
            better = rule.prepared(layer, net, specs) if rule else None
            made += [layer] if better is None else better
        net = net.replace(layers=made, tests=(), plans={})
    return net


def nodes_of(net: Net) -> list[Node]:
    """The layers, each with what alone reads it as far as its rule takes that along."""
    readers: dict[str, list[Layer]] = {}
    for layer in net.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    nodes, taken = [], set()
    for layer in net.layers:
        if layer.name in taken:
            continue
        node, rule = Node(layer), rule_of(layer)
        while rule is not None and len(node.outputs) == 1 and node.outputs[0] not in net.outputs:
            after = readers.get(node.outputs[0], [])
            if (
                len(after) != 1
                or after[0].inputs[0] != node.outputs[0]
                or not rule.follows(node, after[0], net)
            ):
                break
            node = Node(layer, (*node.followers, after[0]))
        taken |= {follower.name for follower in node.followers}
        nodes.append(node)
    return nodes


def node_macs(node: Node, specs: Mapping[str, Spec]) -> int:
    """Multiply-adds of a node."""
    return int(node.layer.macs(*(specs.get(i) for i in node.layer.inputs)))


def kept_in_float(
    net: Net, nodes: Sequence[Node], specs: Mapping[str, Spec], keep: Mapping[str, str] | Collection[str] = ()
) -> dict[str, str]:
    """Which nodes stay in fp32, and why. Raises RegistryError for a name in `keep` that is no layer's.

    A layer without weights does if it does not lie between integer layers with weights: before the first and after the
    last, and where its neighbours are in fp32.
    """
    known = {layer.name: node.name for node in nodes for layer in node.layers}
    for name in keep:
        if name not in known:
            raise RegistryError(
                f"{net.name} has no layer {name!r} to keep in float.{did_you_mean(name, known)}"
            )
    asked = {known[name]: keep[name] if isinstance(keep, Mapping) else ASKED for name in keep}
    found = {
        node.name: reason for node in nodes if (reason := asked.get(node.name) or _why_not(node, net, specs))
    }
    heavy = {
        node.name
        for node in nodes
        if node.name not in found and node_macs(node, specs) > specs[node.layer.outputs[0]].size
    }
    before = -1
    while before != len(found):  # what goes to fp32 may leave others alone
        before = len(found)
        found |= _not_reached(nodes, heavy, found, BEFORE)
        found |= _not_reached([*reversed(nodes)], heavy, found, AFTER)
    return {node.name: found[node.name] for node in nodes if node.name in found}


def _not_reached(
    nodes: Sequence[Node], heavy: Collection[str], floats: Collection[str], why: str
) -> dict[str, str]:
    """The integer nodes that no heavy one leads to by way of integers, in the order of the nodes or against it."""
    reached: set[str] = set()
    found = {}
    for node in nodes:
        reads = {name for layer in node.layers for name in layer.inputs}
        near, far = (reads, node.outputs) if why == BEFORE else (set(node.outputs), reads)
        if node.name in floats:
            continue
        if node.name in heavy or reached & near:
            reached |= set(far)
        else:
            found[node.name] = why
    return found


def _why_not(node: Node, net: Net, specs: Mapping[str, Spec]) -> str:
    rule = rule_of(node.layer)
    if rule is None:
        return f"{node.layer.type} has no integer layer"
    tensors = [name for name in (*node.layer.inputs, *node.outputs) if name]
    if any(specs[name].dtype.name != "fp32" for name in tensors):
        return "not all of its tensors are fp32"
    return rule.refuses(node, net, specs)


def tensors_of(net: Net, nodes: Sequence[Node], floats: Collection[str]) -> list[str]:
    """The tensors that integer nodes read or write."""
    found: dict[str, None] = {}
    for node in nodes:
        if node.name not in floats:
            rule = rule_of(node.layer)
            assert rule is not None
            found |= dict.fromkeys([*rule.reads(node, net), *node.outputs])
    return list(found)


def groups_of(net: Net, nodes: Sequence[Node], floats: Collection[str]) -> list[list[str]]:
    """The tensors of integer nodes, in groups that must be in one quantization."""
    group = {name: [name] for name in tensors_of(net, nodes, floats)}
    for node in nodes:
        if node.name in floats:
            continue
        rule = rule_of(node.layer)
        assert rule is not None
        first, *others = rule.tied(node, net) or [node.outputs[0]]
        for other in others:
            if group[other] is not group[first]:
                group[first] += group[other]
                for name in group[other]:
                    group[name] = group[first]
    return list({id(g): g for g in group.values()}.values())


def quantizations(
    net: Net, nodes: Sequence[Node], floats: Collection[str], seen: Mapping[str, Seen], method: str
) -> dict[str, Quantization]:
    """Of every tensor that integer nodes read or write, its quantization by a calibration method.

    A tensor that is only read by functions of one number may be clamped where those are flat.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.layer.inputs:
            readers.setdefault(name, []).append(node)
    found: dict[str, Quantization] = {}
    for group in groups_of(net, nodes, floats):
        histogram = united([seen[name].histogram for name in group])
        after = readers.get(group[0], [])
        rule = rule_of(after[0].layer) if len(after) == 1 and after[0].name not in floats else None
        function = rule.through(after[0], net) if rule is not None and len(group) == 1 else None
        low, high = least_error(histogram, function) if function else methods[method](histogram)
        found |= dict.fromkeys(group, quantization_of(low, high))
    return found


class Builder:
    """Makes the integer net, node after node; what rules see of it is `Site`.

    ends     tensors besides the outputs that must be there in fp32, under their own names
    direct   a weighted layer that no integer layer reads gives fp32 itself, unrounded; one of the ends does in any case
    decided  layer name -> Weights that were decided already; others are rounded to nearest
    """

    def __init__(
        self,
        net: Net,
        nodes: Sequence[Node],
        floats: Collection[str],
        quantizations: Mapping[str, Quantization],
        specs: Mapping[str, Spec],
        direct: bool = True,
        ends: Collection[str] = (),
    ):
        self.net, self.nodes, self.floats, self.specs = net, nodes, floats, specs
        self.quantizations, self.direct = quantizations, direct
        self.ends = dict.fromkeys([*net.outputs, *ends])
        self.decided: dict[str, Weights] = {}
        self.layers: list[Layer] = []
        self.constants: dict[str, Tensor] = {}
        self.real = False
        self._int8: dict[str, str] = {}
        self._fp32: dict[str, str] = {name: name for name in (*net.inputs, *net.constants, "")}
        self._names = {*net.inputs, *net.constants, *(n for la in net.layers for n in (la.name, *la.outputs))}
        self._wanted: set[str] = set()  # tensors that an integer node reads in int8
        for node in nodes:
            if node.name not in floats and (rule := rule_of(node.layer)):
                self._wanted |= set(rule.reads(node, net))

    def q(self, tensor: str) -> Quantization:
        return self.quantizations[tensor]

    def is_int8(self, node: Node) -> bool:
        """Whether an integer node gives int8: some other reads it so, or it can give nothing else."""
        rule = rule_of(node.layer)
        ends = self.ends.keys() >= set(node.outputs)
        direct = (self.direct or ends) and rule is not None and rule.weighted
        return not direct or bool(self._wanted & set(node.outputs))

    def add(self, node: Node) -> list[Layer]:
        """Put a node's layers behind those that are there, and before them what brings its inputs to their dtype."""
        before = len(self.layers)
        rule = rule_of(node.layer)
        if node.name in self.floats or rule is None:
            for layer in node.layers:
                inputs = tuple(self.fp32(name) for name in layer.inputs)
                self._put(layer.replace(inputs=inputs))
                self._fp32 |= {name: name for name in layer.outputs}
        else:
            self.real = not self.is_int8(node)
            for layer in rule.make(node, self):
                self._put(layer)
            if self.real:
                self._fp32 |= {name: name for name in node.outputs}
        return self.layers[before:]

    def int8(self, tensor: str) -> str:
        if tensor not in self._int8:
            (scale,), (zero,) = self.q(tensor).scale, self.q(tensor).zero
            name = self._int8[tensor] = self._unused(f"{tensor}.int8")
            self._put(layers["Quantize"](tensor, name=name, outputs=[name], scale=[scale], zero=[zero]))
        return self._int8[tensor]

    def fp32(self, tensor: str) -> str:
        """The name under which a tensor is there in fp32."""
        if tensor not in self._fp32:
            (scale,), (zero,) = self.q(tensor).scale, self.q(tensor).zero
            name = tensor if tensor in self.ends else self._unused(f"{tensor}.fp32")
            self._fp32[tensor] = name
            label = self._unused(f"{tensor}.fp32") if name == tensor else name
            source = self._int8[tensor]
            self._put(layers["Dequantize"](source, name=label, outputs=[name], scale=[scale], zero=[zero]))
        return self._fp32[tensor]

    def written(self, tensor: str) -> str:
        name = self._unused(f"{tensor}.int8") if tensor in self.ends else tensor
        self._int8[tensor] = name
        return name

    def weights(self, node: Node) -> Weights:
        if node.name not in self.decided:
            self.decided[node.name] = self.nearest(node)
        return self.decided[node.name]

    def nearest(self, node: Node) -> Weights:
        """A node's weights, each rounded to the nearest int8 of its output channel's scale."""
        rule = rule_of(node.layer)
        assert isinstance(rule, Weighing)
        w, b = self.real_weights(node)
        rows = rule.rows(node.layer, w)
        scale = self.weight_scale(node, rows, b)
        return Weights(rule.shaped(node.layer, int8_weights(rows / scale[:, None]), w.shape), scale, b)

    def real_weights(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        """(w, b) in fp32; zeros for a bias that is not there."""
        rule = rule_of(node.layer)
        assert isinstance(rule, Weighing)
        names = (*node.layer.inputs[1:3], "")
        w = self.net.constants[names[0]].data
        b = self.net.constants[names[1]].data if names[1] else None
        assert w is not None
        return w, np.zeros(len(rule.rows(node.layer, w)), np.float32) if b is None else b

    def weight_scale(self, node: Node, rows: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The scale of each output channel: its largest weight is 127, if then its bias fits into int32."""
        sx = self.q(node.layer.inputs[0]).scale[0]
        least = np.maximum(np.abs(b) / (sx * LARGEST_BIAS), 1e-30)
        return np.maximum(np.abs(rows).max(1) / 127, least).astype(np.float32)

    def _put(self, layer: Layer) -> None:
        """Append a layer; arrays among its inputs become constants under names that are free."""
        inputs = []
        for given, parameter in zip(layer.inputs, layer.input_names(), strict=True):
            if isinstance(given, np.ndarray):
                tensor = Tensor(self._unused(f"{layer.name}.{parameter}"), data=given)
                self.constants[tensor.name] = tensor
                given = tensor.name
            elif given in self.net.constants:
                self.constants[given] = self.net.constants[given]
            inputs.append(given)
        self.layers.append(layer.replace(inputs=tuple(inputs)))

    def _unused(self, name: str) -> str:
        while name in self._names:
            name += "'"
        self._names.add(name)
        return name

    @property
    def used(self) -> dict[str, Quantization]:
        """The tensors that are there in int8, and what their numbers stand for."""
        return {name: self.q(name) for name in self._int8}

    def finished(self) -> Net:
        """The integer net."""
        for name in self.ends:
            self.fp32(name)
        return self.net.replace(layers=self.layers, constants=self.constants, tests=(), plans={})


def int8_weights(steps: np.ndarray) -> np.ndarray:
    """The nearest whole numbers of at most 127 either way."""
    return np.clip(np.rint(steps), -127, 127).astype(np.int8)
