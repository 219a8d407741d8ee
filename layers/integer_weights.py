"""How layers with weights are computed with int8 tensors: rules of the quantizer (engine/quantize)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.quantize.rules import Node, Site, Weighing, integer
from ..engine.tensor import Spec

MOST_PRODUCTS = 33_000  # of 255 * 127 each, whose sum leaves half of an int32 for the bias
CURVES_APART = ("", "ReLU", "Clip")  # activations that are limits or slopes: the others become tables


class _Weighing(Weighing):
    """What Convolution, Deconvolution and InnerProduct share."""

    twin = ""

    def refuses(self, node: Node, net: Net, specs: Mapping[str, Spec]) -> str:
        x, w, b, *_ = (*node.layer.inputs, "", "")
        if w not in net.constants or (b and b not in net.constants):
            return "its weights are computed"
        if x in net.constants:
            return "it reads a constant"
        data = net.constants[w].data
        if self.rows(node.layer, data).shape[1] > MOST_PRODUCTS:
            return f"a sum of more than {MOST_PRODUCTS} products may not fit into int32"
        return ""

    def follows(self, node: Node, follower: Layer, net: Net) -> bool:
        if node.layer.attributes.get("activation"):
            return False
        if node.followers:
            return _is_gated(node) and len(node.followers) == 1 and _factors(follower, net) is not None
        if follower.type == "HardSwish":
            return follower.alpha != 0
        if follower.type == "PReLU":
            return follower.inputs[1] in net.constants and self.twin != "InnerProduct"
        return follower.type in ("ReLU", "Clip")

    def linear(self, node):
        kind, args, _ = _activation(node)
        if kind == "Clip":
            return "grows" if args[0] == 0 < args[1] else ""
        if kind == "HardSwish":
            return "behind"
        return "free" if kind in ("", "ReLU", "PReLU") else ""

    def make(self, node: Node, at: Site) -> list[Layer]:
        layer, weights = node.layer, at.weights(node)
        x, residual = layer.inputs[0], (*layer.inputs, "", "", "")[3]
        (y,) = node.outputs
        sx = at.q(x).scale[0]
        steps = np.float64(sx) * weights.scale
        b = np.clip(np.rint(weights.b / steps), -(1 << 30), 1 << 30).astype(np.int32)
        sy, zero = (1.0, 0) if at.real else (at.q(y).scale[0], at.q(y).zero[0])
        low, high, slope, rest = self._limits(node, at, sy, zero)
        gate, step = self._gate(node, at, sy)
        twin = layers["Quantized" + self.twin]
        shared = {k: v for k, v in layer.attributes.items() if k in twin.declared}
        more = {"to": "fp32"} if at.real else {"scale": sy, "zero": zero, "low": low, "high": high}
        if residual:
            q = at.q(residual)
            more |= {"residual_zero": q.zero[0], "residual_multiplier": float(np.float32(q.scale[0] / step))}
        source = at.int8(x)
        added = at.int8(residual) if residual else None
        inputs = [source, weights.w, b, (steps / step).astype(np.float32), slope, added, gate]
        while inputs[-1] is None:
            inputs.pop()
        written = rest.inputs[0] if rest else y if at.real else at.written(y)
        attributes = {"scale": 1.0, "x_zero": at.q(x).zero[0]} | shared | more
        made = twin(*inputs, name=layer.name, outputs=[written], **attributes)
        return [made, *([rest] if rest else [])]

    def _limits(
        self, node: Node, at: Site, sy: float, zero: int
    ) -> tuple[int, int, np.ndarray | None, Layer | None]:
        """(low, high, slope, a layer that must follow) of the activation: limits of int8, or slopes of fp32."""
        kind, args, follower = _activation(node)
        channels = len(at.weights(node).b)
        if kind == "PReLU":
            slope = np.broadcast_to(at.net.constants[follower.inputs[1]].data.reshape(-1), (channels,))
            return -128, 127, np.ascontiguousarray(slope, np.float32), None
        if kind == "HardSwish":
            return -128, 127, None, None
        if kind == "ReLU" and (at.real or (args and args[0])):
            return -128, 127, np.full(channels, args[0] if args else 0, np.float32), None
        if kind == "ReLU":
            return zero, 127, None, None
        if kind == "Clip" and not at.real:
            low, high = (int(np.clip(np.rint(np.float64(v) / sy) + zero, -128, 127)) for v in args)
            return low, high, None, None
        if kind == "Clip" and follower is None:
            y, summed = node.outputs[0], f"{node.name}.sum"
            return (
                -128,
                127,
                None,
                layers["Clip"](summed, name=f"{node.name}.clip", outputs=[y], min=args[0], max=args[1]),
            )
        return -128, 127, None, follower

    def scaled(self, node, net, factors):
        swish, *behind = node.followers
        scale, shift = _factors(behind[0], net) if behind else (1.0, 0.0)
        (y,) = node.outputs
        between = f"{y}.unscaled"
        label = behind[0].name if behind else f"{node.name}.scale"
        arrays = {
            f"{label}.{k}": (v * factors).astype(np.float32) for k, v in (("factor", scale), ("shift", shift))
        }
        made = layers["Scale"](between, *arrays, name=label, outputs=[y])
        return [node.layer, swish.replace(outputs=(between,)), made], arrays

    def _gate(self, node: Node, at: Site, sy: float) -> tuple[np.ndarray | None, float]:
        """(start, gain and offset of each channel, what one step of v is); (None, y's step) without a hard swish."""
        if not _is_gated(node):
            return None, sy
        swish, *behind = node.followers
        factor, shift = _factors(behind[0], at.net) if behind else (1.0, 0.0)
        gate = np.empty((3, len(at.weights(node).b)), np.float32)
        gate[0] = swish.beta
        gate[1] = np.float64(factor) / (swish.alpha * sy)
        gate[2] = np.float64(shift) / sy
        return gate, 1 / swish.alpha

    def sums(self, layer, x, w, b, residual):
        plain = layer.replace(activation="", activation_args=()) if "activation" in layer.declared else layer
        return plain.reference(x, w, b) if residual is None else plain.reference(x, w, b, residual)


def _activation(node: Node) -> tuple[str, tuple[float, ...], Layer | None]:
    """(type, attributes in declared order, the layer if it is one of its own) of a node's activation."""
    if node.followers:
        return node.followers[0].type, tuple(node.followers[0].attributes.values()), node.followers[0]
    kind = node.layer.attributes.get("activation", "")
    return kind, tuple(node.layer.attributes.get("activation_args", ())), None


def _is_gated(node: Node) -> bool:
    return bool(node.followers) and node.followers[0].type == "HardSwish"


def _factors(layer: Layer, net: Net) -> tuple[Any, Any] | None:
    """(scale, shift) of what comes behind a hard swish, a number each or one a channel; None if it is nothing such."""
    if layer.type == "Power" and layer.power == 1:
        return layer.scale, layer.shift
    if layer.type == "Binary" and layer.operation in ("add", "mul"):
        constants = [net.constants[name].data for name in layer.inputs if name in net.constants]
        if len(constants) == 1 and constants[0] is not None and constants[0].size == 1:
            number = float(constants[0].reshape(()))
            return (1.0, number) if layer.operation == "add" else (number, 0.0)
    if layer.type == "Scale" and layer.axis == 1:
        found = [net.constants[name].data if name in net.constants else None for name in layer.inputs[1:]]
        if all(array is not None and array.ndim == 1 for array in found):
            return found[0], found[1] if len(found) > 1 else 0.0
    return None


@integer("Convolution")
class IntegerConvolution(_Weighing):
    twin = "Convolution"

    def prepared(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> list[Layer] | None:
        """An activation that becomes a table, and one that follows in fp32, stands behind by itself."""
        kind, args = layer.activation, layer.activation_args
        if kind in CURVES_APART:
            return None
        (y,) = layer.outputs
        before = f"{y}.before"
        attributes = dict(zip(layers[kind].declared, args, strict=False))
        return [
            layer.replace(activation="", activation_args=(), outputs=[before]),
            layers[kind](before, name=f"{layer.name}.{kind.lower()}", outputs=[y], **attributes),
        ]

    def rows(self, layer, w):
        return w.reshape(len(w), -1)

    def shaped(self, layer, rows, shape):
        return rows.reshape(shape)

    def sums_channels(self, layer, w):
        return w.shape[1] > 1

    def by_input(self, layer, w, factors):
        m, channels = w.shape[:2]
        each = factors.reshape(layer.group, 1, channels, 1)
        return (w.reshape(layer.group, m // layer.group, channels, -1) * each).reshape(w.shape)

    def columns(self, layer, x, w_shape):
        (_, channels, kh, kw), g = w_shape, layer.group
        cells = layer.windows(x, (kh, kw)).transpose(1, 4, 5, 0, 2, 3)
        return cells.reshape(g, channels * kh * kw, -1)


@integer("Deconvolution")
class IntegerDeconvolution(_Weighing):
    twin = "Deconvolution"

    def rows(self, layer, w):
        c, m, *kernel = w.shape
        g = layer.group
        return w.reshape(g, c // g, m, prod(kernel)).transpose(0, 2, 1, 3).reshape(g * m, -1)

    def by_input(self, layer, w, factors):
        return w * factors.reshape(-1, 1, 1, 1)

    def shaped(self, layer, rows, shape):
        c, m, *kernel = shape
        g = layer.group
        return np.ascontiguousarray(
            rows.reshape(g, m, c // g, prod(kernel)).transpose(0, 2, 1, 3).reshape(shape)
        )


@integer("InnerProduct")
class IntegerInnerProduct(_Weighing):
    twin = "InnerProduct"
    channel_axis = -1

    def rows(self, layer, w):
        return w

    def shaped(self, layer, rows, shape):
        return rows

    def columns(self, layer, x, w_shape):
        return x.reshape(-1, w_shape[1]).T[None]

    def linear(self, node):
        return super().linear(node) if self.reads_channels(node.layer) else ""

    def reads_channels(self, layer):
        return layer.axis == 1

    def by_input(self, layer, w, factors):
        return w * np.repeat(factors, w.shape[1] // len(factors))
