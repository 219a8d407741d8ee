"""given: a net that says itself what its tensors' integers stand for -> a net of integer layers.

Models that were quantized elsewhere are read as layers on real numbers with Quantize and Dequantize between them. Where
all that a layer reads and writes was quantized, it is computed with those integers: nothing is calibrated, and the
numbers are those that the model's own quantization gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..dtype import Quantization
from ..layer import Layer, layers
from ..net import Net
from .convert import Builder, nodes_of, prepared
from .rules import Node, Weighing, Weights, rule_of

OFFSETS = {"int8": 0, "uint8": 128}  # what lies between an 8-bit dtype and int8
WHOLE = 1e-3  # how far from a whole number a weight's multiple of its scale may be, after a float32 division


def with_integers(net: Net, weight_scales: Iterable[Sequence[float]] = ()) -> Net:
    """The net with integer layers where its Quantize and Dequantize allow; itself if there are none.

    weight_scales  the scales that constants were dequantized with: one number, or one an output channel
    """
    stripped, known = _stripped(_apart(net))
    if not known:
        return net
    # what was quantized has to be there to be quantized: no layer may be joined with the next behind its back
    seen = [name for layer in stripped.layers for name in layer.outputs if name in known]
    shown = stripped.replace(outputs=list(dict.fromkeys([*stripped.outputs, *seen])))
    lean = _untied(prepared(shown).replace(outputs=stripped.outputs), known)
    specs, nodes = lean.specs(), nodes_of(lean)
    decided = {}
    scales = [np.asarray(s, np.float32).reshape(-1) for s in weight_scales]
    floats = []
    for node in nodes:
        rule = rule_of(node.layer)
        if rule is None or not _quantized(node, lean, known) or rule.refuses(node, lean, specs):
            floats.append(node.name)
        elif isinstance(rule, Weighing):
            weights = _weights(node, rule, lean, scales)
            if weights is None:
                floats.append(node.name)
            else:
                decided[node.name] = weights
    if len(floats) == len(nodes):
        return net
    builder = _AsGiven(lean, nodes, floats, known, specs)
    builder.decided |= decided
    for node in nodes:
        builder.add(node)
    return builder.finished()


class _AsGiven(Builder):
    """A layer gives int8 where its result was quantized, else fp32."""

    def is_int8(self, node: Node) -> bool:
        return all(name in self.quantizations for name in node.outputs)


def _apart(net: Net) -> Net:
    """The net with a layer that does nothing before each Quantize behind a Dequantize: what is quantized twice is two
    tensors."""
    dequantized = {layer.outputs[0] for layer in net.layers if layer.type == "Dequantize"}
    made: list[Layer] = []
    for layer in net.layers:
        if layer.type == "Quantize" and layer.inputs[0] in dequantized:
            again = f"{layer.inputs[0]} for {layer.name}"
            made.append(layers["Power"](layer.inputs[0], name=again, outputs=[again]))
            layer = layer.replace(inputs=(again,))
        made.append(layer)
    return net if len(made) == len(net.layers) else net.replace(layers=made)


def _stripped(net: Net) -> tuple[Net, dict[str, Quantization]]:
    """The net without Quantize and Dequantize that follow each other, and of what tensors they told the integers."""
    readers: dict[str, list[Layer]] = {}
    for layer in net.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    known: dict[str, Quantization] = {}
    real: dict[str, str] = {}  # a dequantized tensor -> the one that was quantized
    gone: set[str] = set()
    for layer in net.layers:
        if layer.type == "Dequantize" and layer.inputs[0] in net.inputs and len(layer.scale) == 1:
            known |= _told(layer, layer.outputs[0], net.inputs[layer.inputs[0]].dtype.name)
        if layer.type != "Quantize" or len(layer.scale) != 1 or layer.to not in OFFSETS:
            continue
        back = readers.get(layer.outputs[0], [])
        kept = {layer.outputs[0], *(b.outputs[0] for b in back)} & set(net.outputs)
        matched = all(b.type == "Dequantize" and (b.scale, b.zero) == (layer.scale, layer.zero) for b in back)
        if not matched or readers[layer.inputs[0]] != [layer]:
            continue
        known |= _told(layer, layer.inputs[0], layer.to)
        if kept or not back:  # its own integers are asked for
            continue
        gone |= {layer.name, *(b.name for b in back)}
        real |= {b.outputs[0]: layer.inputs[0] for b in back}
    left = [layer for layer in net.layers if layer.name not in gone]
    left = [layer.replace(inputs=tuple(real.get(i, i) for i in layer.inputs)) for layer in left]
    return net.replace(layers=left, tests=(), plans={}), known


def _told(layer: Layer, tensor: str, dtype: str) -> dict[str, Quantization]:
    """What a Quantize or Dequantize says of a tensor, in terms of int8."""
    return {tensor: Quantization(layer.scale, (layer.zero[0] - OFFSETS[dtype],))} if dtype in OFFSETS else {}


def _quantized(node: Node, net: Net, known: Mapping[str, Quantization]) -> bool:
    """Whether the integers of all that a node reads are known; and of what it writes, unless it can give fp32."""
    rule = rule_of(node.layer)
    assert rule is not None
    read = all(name in known for name in rule.reads(node, net))
    return read and (rule.weighted or all(name in known for name in node.outputs))


def _untied(net: Net, known: dict[str, Quantization]) -> Net:
    """Inputs that must be in their output's quantization, and are not, are brought there by a layer that does nothing
    else."""
    made: list[Layer] = []
    for layer in net.layers:
        rule = rule_of(layer)
        tied = rule.tied(Node(layer), net) if rule else []
        inputs = list(layer.inputs)
        for output in layer.outputs:  # what is only moved stays what it is
            if output in tied and output not in known and inputs[0] in tied and inputs[0] in known:
                known[output] = known[inputs[0]]
        target = known.get(layer.outputs[0])
        for position, name in enumerate(inputs):
            if name in tied and target and name in known and known[name] != target:
                moved = f"{name} for {layer.name}"
                made.append(layers["Power"](name, name=moved, outputs=[moved]))
                known[moved] = target
                inputs[position] = moved
        made.append(layer.replace(inputs=tuple(inputs)))
    return net.replace(layers=made)


def _weights(node: Node, rule: Weighing, net: Net, scales: Sequence[np.ndarray]) -> Weights | None:
    """The integers that a node's weights were: multiples, all of them, of one of the scales; None if there is none."""
    layer = node.layer
    w = net.constants[layer.inputs[1]].data
    bias = net.constants[layer.inputs[2]].data if len(layer.inputs) > 2 and layer.inputs[2] else None
    assert w is not None
    rows = rule.rows(layer, w)
    best = None
    for scale in scales:
        if len(scale) not in (1, len(rows)):
            continue
        steps = rows / np.broadcast_to(scale, (len(rows),))[:, None]
        error = float(np.abs(steps - np.rint(steps)).max(initial=0))
        if error < WHOLE and np.abs(steps).max(initial=0) < 255.5 and (best is None or error < best[0]):
            best = error, np.rint(steps), np.ascontiguousarray(np.broadcast_to(scale, (len(rows),)))
    if best is None:
        return None
    _, whole, scale = best
    kind = np.int8 if np.abs(whole).max(initial=0) < 128 else np.int16
    b = np.zeros(len(rows), np.float32) if bias is None else bias
    return Weights(rule.shaped(layer, whole.astype(kind), w.shape), scale, b)
