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
from ..tensor import Spec
from .convert import Builder, node_macs, nodes_of, prepared
from .lifted import lifted
from .rules import Node, Weighing, Weights, rule_of

OFFSETS = {"int8": 0, "uint8": 128}  # what lies between an 8-bit dtype and int8
BETWEEN = ("Quantize", "Dequantize")
WHOLE = 1e-3  # how far from a whole number a weight's multiple of its scale may be, after a float32 division


def with_integers(net: Net, weight_scales: Iterable[Sequence[float]] = ()) -> Net:
    """The net with integer layers where its Quantize and Dequantize allow; itself if there are none.

    weight_scales  the scales that constants were dequantized with: one number, or one an output channel

    What stays in fp32, and why, is in the net's metadata under "quantization", as for a net that fbnet quantized.
    """
    stripped, known = _stripped(_apart(_signed(lifted(net))))
    if not known:
        return net
    _hoist(stripped, known)
    # what was quantized has to be there to be quantized: no layer may be joined with the next behind its back
    seen = [name for layer in stripped.layers for name in layer.outputs if name in known]
    shown = stripped.replace(outputs=list(dict.fromkeys([*stripped.outputs, *seen])))
    whole = _untied(prepared(shown), known)
    nodes, lean = nodes_of(whole), whole.replace(outputs=stripped.outputs)
    specs = lean.specs()
    decided: dict[str, Weights] = {}
    scales = [np.asarray(s, np.float32).reshape(-1) for s in weight_scales]
    floats: dict[str, str] = {}
    for node in nodes:
        rule, why = rule_of(node.layer), _why_not(node, lean, known, specs)
        if not why and isinstance(rule, Weighing):
            weights = _weights(node, rule, lean, scales)
            why = "" if weights else "its weights are no multiples of a scale that the file tells"
            decided |= {node.name: weights} if weights else {}
        if why:
            floats[node.name] = why
    if len(floats) == len(nodes):
        return net
    builder = _AsGiven(lean, nodes, floats, known, specs)
    builder.decided |= decided
    for node in nodes:
        builder.add(node)
    told = {"method": "given", **_told_floats(nodes, specs, floats)}
    found = _without_detours(builder.finished())
    return found.replace(metadata=dict(net.metadata) | {"quantization": told})


def _told_floats(
    nodes: Sequence[Node], specs: Mapping[str, Spec], floats: Mapping[str, str]
) -> dict[str, object]:
    """What stays in fp32 and why, and its part of the multiply-adds."""
    reasons = {n.name: floats[n.name] for n in nodes if n.name in floats and n.layer.type not in BETWEEN}
    macs = {node.name: node_macs(node, specs) for node in nodes}
    share = sum(macs[name] for name in reasons) / max(1, sum(macs.values()))
    return {"floats": reasons, "float_share": share}


class _AsGiven(Builder):
    """A layer gives int8 where its result was quantized, else fp32."""

    def is_int8(self, node: Node) -> bool:
        return all(name in self.quantizations for name in node.outputs)


def _signed(net: Net) -> Net:
    """The net with int8 for uint8 that is dequantized at once: the same numbers, 128 lower."""
    readers = _readers(net)
    lower = {
        layer.outputs[0]
        for layer in net.layers
        if layer.type == "Quantize" and layer.to == "uint8" and layer.outputs[0] not in net.outputs
        and all(reader.type == "Dequantize" for reader in readers.get(layer.outputs[0], []))
    }  # fmt: skip
    made = []
    for layer in net.layers:
        tensor = layer.outputs[0] if layer.type == "Quantize" else layer.inputs[0] if layer.inputs else ""
        if layer.type in BETWEEN and tensor in lower:
            layer = layer.replace(zero=[z - OFFSETS["uint8"] for z in layer.zero])
            layer = layer.replace(to="int8") if layer.type == "Quantize" else layer
        made.append(layer)
    return net.replace(layers=made) if lower else net


def _readers(net: Net) -> dict[str, list[Layer]]:
    """Tensor -> the layers that read it."""
    readers: dict[str, list[Layer]] = {}
    for layer in net.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    return readers


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
    readers = _readers(net)
    known: dict[str, Quantization] = {}
    real: dict[str, str] = {}  # a dequantized tensor -> the one that was quantized
    gone: set[str] = set()
    stored = {name: spec.dtype.name for name, spec in net.inputs.items()}
    stored |= {layer.outputs[0]: layer.to for layer in net.layers if layer.type == "Quantize"}
    for layer in net.layers:
        if layer.type == "Dequantize" and layer.inputs[0] in stored and len(layer.scale) == 1:
            known |= _told(layer, layer.outputs[0], stored[layer.inputs[0]])
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


def _hoist(net: Net, known: dict[str, Quantization]) -> None:
    """What is quantized behind a layer that only moves numbers, or takes the largest, may as well be before it: then
    that layer moves integers."""
    readers, specs = _readers(net), net.specs()
    for layer in reversed(net.layers):
        rule = rule_of(layer)
        tied = rule.tied(Node(layer), net) if rule else []
        found = {known.get(name) for name in layer.outputs}
        if len(found) != 1 or None in found or rule is None or rule.refuses(Node(layer), net, specs):
            continue
        for name in layer.inputs:
            alone = {reader.name for reader in readers[name]} == {layer.name}
            alone = alone and name not in net.outputs and name not in net.inputs
            if name in tied and name not in known and alone:
                known |= {name: known[layer.outputs[0]]}


def _told(layer: Layer, tensor: str, dtype: str) -> dict[str, Quantization]:
    """What a Quantize or Dequantize says of a tensor, in terms of int8."""
    return {tensor: Quantization(layer.scale, (layer.zero[0] - OFFSETS[dtype],))} if dtype in OFFSETS else {}


def _why_not(node: Node, net: Net, known: Mapping[str, Quantization], specs: Mapping[str, Spec]) -> str:
    """Why a node cannot be computed with the integers of all that it reads and writes; it may write fp32 if it has
    weights. '' if it can."""
    rule = rule_of(node.layer)
    if rule is None:
        return f"{node.layer.type} has no integer layer"
    if any(name not in known for name in rule.reads(node, net)):
        return "what it reads was not quantized"
    if not rule.weighted and any(name not in known for name in node.outputs):
        return "what it writes was not quantized"
    return rule.refuses(node, net, specs)


def _without_detours(net: Net) -> Net:
    """The net without a Quantize that brings back the integers that a Dequantize before it had read."""
    specs = net.specs()
    dequantized = {layer.outputs[0]: layer for layer in net.layers if layer.type == "Dequantize"}
    same: dict[str, str] = {}  # what a Quantize writes -> the integers that it is
    for layer in net.layers:
        back = dequantized.get(layer.inputs[0]) if layer.type == "Quantize" else None
        if back and (back.scale, back.zero) == (layer.scale, layer.zero) and len(layer.scale) == 1:
            source = same.get(back.inputs[0], back.inputs[0])
            if specs[source].dtype.name == layer.to:
                same[layer.outputs[0]] = source
    taken = {*net.inputs, *net.constants, *net.outputs}
    called: dict[str, str] = {}  # integers -> the output that they are
    for written, source in list(same.items()):
        if written in net.outputs:
            if source in taken or source in called:  # they have a name to keep
                del same[written]
            else:
                called[source] = written
    names = {written: called.get(source, source) for written, source in same.items()} | called
    left = [
        layer.replace(
            inputs=tuple(names.get(i, i) for i in layer.inputs),
            outputs=tuple(names.get(o, o) for o in layer.outputs),
        )
        for layer in net.layers
        if not (layer.type == "Quantize" and layer.outputs[0] in same)
    ]
    needed = {*net.outputs, *(name for layer in left for name in layer.inputs)}
    left = [layer for layer in left if layer.type != "Dequantize" or layer.outputs[0] in needed]
    return net.replace(layers=left)


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
