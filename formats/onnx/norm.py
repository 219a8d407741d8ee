"""Normalisation and softmax."""

from __future__ import annotations

from ..graph import Graph
from ..shape import reshaped
from ..value import Node, Unsupported, Value, is_one
from .graph import operator


@operator("BatchNormalization")
def batch_normalization(
    g: Graph, node: Node, x: Value, scale: Value, b: Value, mean: Value, var: Value
) -> Value:
    if node.get("training_mode", 0):
        raise Unsupported("training_mode=1: export the net for inference")
    if not node.get("spatial", 1):
        raise Unsupported("spatial=0: statistics for each element are not supported")
    if x.rank < 2:
        raise Unsupported(f"its input has {x.rank} dimensions: there is no axis of channels")
    y = g.add("BatchNorm", x, mean, var, eps=node.get("epsilon", 1e-5))
    return g.add("Scale", y, scale, b, axis=1)


@operator("InstanceNormalization")
def instance_normalization(g: Graph, node: Node, x: Value, scale: Value, b: Value) -> Value:
    return g.add("GroupNorm", x, scale, b, eps=node.get("epsilon", 1e-5))


@operator("GroupNormalization")
def group_normalization(g: Graph, node: Node, x: Value, scale: Value, b: Value) -> Value:
    """Before opset 21 there is a scale a group, which the definition spreads over its channels."""
    if node.opset < 21 or node.get("stash_type", 1) != 1:
        raise Unsupported(f"opset {node.opset}, stash_type={node.get('stash_type', 1)}")
    return g.add("GroupNorm", x, scale, b, group=node.get("num_groups"), eps=node.get("epsilon", 1e-5))


@operator("LayerNormalization")
def layer_normalization(g: Graph, node: Node, x: Value, scale: Value, b: Value | None = None) -> Value:
    axis = node.get("axis", -1) % x.rank
    if scale.shape != x.shape[axis:] or (b is not None and b.shape != scale.shape):
        raise Unsupported(f"its scale {list(scale.shape)} is broadcast over {list(x.shape[axis:])}")
    return g.add("LayerNorm", x, scale, b, axis=axis, eps=node.get("epsilon", 1e-5))


@operator("RMSNormalization")
def rms_normalization(g: Graph, node: Node, x: Value, scale: Value) -> Value:
    axis = node.get("axis", -1) % x.rank
    if scale.shape != x.shape[axis:]:
        raise Unsupported(f"its scale {list(scale.shape)} is broadcast over {list(x.shape[axis:])}")
    return g.add("RMSNorm", x, scale, axis=axis, eps=node.get("epsilon", 1e-5))


@operator("LRN")
def lrn(g: Graph, node: Node, x: Value) -> Value:
    given = {"alpha": node.get("alpha", 1e-4), "beta": node.get("beta", 0.75), "k": node.get("bias", 1.0)}
    return g.add("LRN", x, local_size=node.get("size"), **given)


@operator("Softmax")
def softmax(g: Graph, node: Node, x: Value) -> Value:
    """Before opset 13 everything from `axis` on is one axis."""
    axis = node.get("axis", 1 if node.opset < 13 else -1) % x.rank
    rest = x.shape[axis + 1 :]
    if node.opset >= 13 or all(map(is_one, rest)):
        return g.add("Softmax", x, axis=axis)
    flat = g.add("Flatten", x, axis=axis)
    return reshaped(g, g.add("Softmax", flat, axis=axis), x.shape)
