"""How each layer type is computed with int8 tensors: the rules of the quantizer (engine/quantize)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.quantize.rules import Integer, IntegerTable, Node, Site, Weighing, integer
from ..engine.tensor import Spec, Tensor

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
        if follower.type == "PReLU":
            return follower.inputs[1] in net.constants and self.twin != "InnerProduct"
        return follower.type in ("ReLU", "Clip")

    def linear(self, node):
        kind, args, _ = _activation(node)
        if kind == "Clip":
            return "free" if args[0] == 0 < args[1] else ""
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
        twin = layers["Quantized" + self.twin]
        shared = {k: v for k, v in layer.attributes.items() if k in twin.declared}
        more = {"to": "fp32"} if at.real else {"scale": sy, "zero": zero, "low": low, "high": high}
        if residual:
            q = at.q(residual)
            more |= {"residual_zero": q.zero[0], "residual_multiplier": float(np.float32(q.scale[0] / sy))}
        source = at.int8(x)
        added = at.int8(residual) if residual else None
        inputs = [source, weights.w, b, (steps / sy).astype(np.float32), slope, added]
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

    def sums(self, layer, x, w, b, residual):
        plain = layer.replace(activation="", activation_args=()) if "activation" in layer.declared else layer
        return plain.reference(x, w, b) if residual is None else plain.reference(x, w, b, residual)


def _activation(node: Node) -> tuple[str, tuple[float, ...], Layer | None]:
    """(type, attributes in declared order, the layer if it is one of its own) of a node's activation."""
    if node.follower is not None:
        return node.follower.type, tuple(node.follower.attributes.values()), node.follower
    kind = node.layer.attributes.get("activation", "")
    return kind, tuple(node.layer.attributes.get("activation_args", ())), None


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


class _Norm(Integer):
    """y[c] = x[c] * scale[c] + shift[c] over images: a convolution with one weight a channel."""

    def refuses(self, node, net, specs):
        return "its factors are computed, or are no factors of channels of images"

    def prepared(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> list[Layer] | None:
        x = specs[layer.inputs[0]]
        if x.ndim != 4 or not all(name in net.constants for name in layer.inputs[1:] if name):
            return None
        found = self.factors(layer, [net.constants[name].data if name else None for name in layer.inputs[1:]])
        if found is None or any(np.shape(f) not in ((), (x.shape[1],)) for f in found):
            return None
        scale, shift = (np.broadcast_to(np.asarray(f, np.float32), (int(x.shape[1]),)) for f in found)
        w = np.ascontiguousarray(scale.reshape(-1, 1, 1, 1))
        arrays = [
            Tensor(f"{layer.name}.{k}", data=np.ascontiguousarray(a))
            for k, a in (("factor", w), ("shift", shift))
        ]
        group = int(x.shape[1])
        return [
            layers["Convolution"](
                layer.inputs[0], *arrays, name=layer.name, outputs=layer.outputs, group=group
            )
        ]

    def factors(self, layer: Layer, constants: list) -> tuple | None:
        """(scale, shift), a number a channel each, or None."""
        raise NotImplementedError


@integer("BatchNorm")
class IntegerBatchNorm(_Norm):
    def factors(self, layer, constants):
        mean, var = (c.astype(np.float64) for c in constants)
        scale = 1 / np.sqrt(var + layer.eps)
        return scale, -mean * scale


@integer("Bias")
class IntegerBias(_Norm):
    def factors(self, layer, constants):
        return (1.0, constants[0].reshape(-1)) if layer.axis in (1, -3) and constants[0].ndim == 1 else None


@integer("Scale")
class IntegerScale(_Norm):
    """A scale that is computed is a gate, as in squeeze and excitation: a product."""

    def factors(self, layer, constants):
        if layer.axis not in (1, -3) or constants[0].ndim != 1:
            return None
        return constants[0], constants[1] if len(constants) > 1 and constants[1] is not None else 0.0

    def refuses(self, node, net, specs):
        x, gate, *bias = node.layer.inputs
        if any(bias) or x in net.constants or gate in net.constants:
            return "its factors are constants of another shape than channels of images, or it has a bias"
        aligned = node.layer.axis % specs[x].ndim == 0
        return "" if aligned else "its factors do not begin with the batch"

    def make(self, node, at):
        x, gate = node.layer.inputs[:2]
        source, factor = at.int8(x), at.int8(gate)
        made = []
        missing = at.specs[x].ndim - at.specs[gate].ndim
        if missing:
            name = f"{node.name}.gate"
            made.append(
                layers["Reshape"](
                    factor, name=name, outputs=[name], shape=(1,) * missing, axis=-1, num_axes=0
                )
            )
            factor = name
        return [*made, _eltwise(node, at, "prod", [source, factor], [x, gate], [1.0, 1.0])]


def _eltwise(node: Node, at: Site, operation: str, sources, tensors, factors) -> Layer:
    (y,) = node.outputs
    (scale,), (zero,) = at.q(y).scale, at.q(y).zero
    steps = [np.float64(at.q(x).scale[0]) * f for x, f in zip(tensors, factors, strict=True)]
    multiplier = [prod(steps) / scale] if operation == "prod" else [s / scale for s in steps]
    return layers["QuantizedEltwise"](
        *sources, name=node.name, outputs=[at.written(y)], operation=operation, scale=scale, zero=zero,
        x_zero=[at.q(x).zero[0] for x in tensors], multiplier=[float(np.float32(m)) for m in multiplier],
    )  # fmt: skip


@integer("Eltwise")
class IntegerEltwise(Integer):
    def refuses(self, node, net, specs):
        if any(i in net.constants for i in node.layer.inputs):
            return "it reads a constant"
        return "a product of more than two" if self._too_many(node.layer) else ""

    def linear(self, node):
        return "sums" if node.layer.operation != "prod" and not any(c < 0 for c in node.layer.coeff) else ""

    def _too_many(self, layer: Layer) -> bool:
        return layer.operation == "prod" and len(layer.inputs) > 2

    def make(self, node, at):
        xs = list(node.layer.inputs)
        factors = node.layer.coeff or (1.0,) * len(xs)
        return [_eltwise(node, at, node.layer.operation, [at.int8(x) for x in xs], xs, factors)]


# operation of Binary: (operation of QuantizedEltwise, factors)
_PAIRS = {"add": ("sum", (1, 1)), "sub": ("sum", (1, -1)), "mul": ("prod", (1, 1)), "max": ("max", (1, 1))}


@integer("Binary")
class IntegerBinary(IntegerTable):
    """a + b, a - b, a * b, max(a, b) of computed tensors; with one number in the place of an operand it is a table."""

    def function(self, layer, net):
        given = [net.constants.get(name) for name in layer.inputs]
        if sum(c is not None for c in given) != 1 or any(c is not None and c.spec.size != 1 for c in given):
            return None
        numbers = [None if c is None else c.data.reshape(()) for c in given]
        return lambda x: np.asarray(
            layer.reference(*(x.astype(np.float32) if n is None else n for n in numbers))
        )

    def refuses(self, node, net, specs):
        if self.through(node, net):
            return ""
        if any(i in net.constants for i in node.layer.inputs):
            return "it reads a constant of several numbers"
        if node.layer.operation not in _PAIRS:
            return f"there is no {node.layer.operation!r} of int8"
        a, b = (specs[i].shape for i in node.layer.inputs)
        return "" if a == b or node.layer.operation == "mul" else "its operands have different shapes"

    def make(self, node, at):
        if self.through(node, at.net):
            return super().make(node, at)
        operation, factors = _PAIRS[node.layer.operation]
        xs = list(node.layer.inputs)
        return [_eltwise(node, at, operation, [at.int8(x) for x in xs], xs, factors)]


@integer("Pooling")
class IntegerPooling(Integer):
    def refuses(self, node, net, specs):
        x = specs[node.layer.inputs[0]]
        cells = prod(map(int, x.shape[2:])) if node.layer.global_pooling else prod(node.layer.kernel)
        return "a window of so many cells has no exact sum" if cells * 255 >= 1 << 24 else ""

    def linear(self, node):
        return "keeps"

    def tied(self, node, net):
        return [node.layer.inputs[0], node.outputs[0]] if node.layer.method == "max" else []

    def make(self, node, at):
        (x,), (y,) = node.layer.inputs, node.outputs
        (scale,), (zero,) = at.q(y).scale, at.q(y).zero
        return [
            layers["QuantizedPooling"](
                at.int8(x), name=node.name, outputs=[at.written(y)], scale=scale, zero=zero, x_zero=at.q(x).zero[0],
                multiplier=float(np.float32(at.q(x).scale[0] / scale)), **node.layer.attributes,
            )
        ]  # fmt: skip


@integer(
    "Concat", "Slice", "Flatten", "Reshape", "Permute", "ShuffleChannel", "StridedSlice", "Tile", "Expand",
    "DepthToSpace", "SpaceToDepth", "Resize", "Pad",
)  # fmt: skip
class IntegerMoving(Integer):
    """What is only moved keeps its numbers: all that is read and written is in one quantization."""

    def refuses(self, node, net, specs):
        layer = node.layer
        if any(i in net.constants for i in layer.inputs):
            return "it reads a constant"
        if layer.type == "Resize" and layer.method != "nearest":
            return f"a {layer.method} resize has no integer layer"
        return ""

    def tied(self, node, net):
        return [*self.reads(node, net), *node.outputs]

    def linear(self, node):
        if node.layer.type in ("Concat", "Slice"):
            return "moves" if node.layer.axis in (1, -3) else ""
        return {"ShuffleChannel": "moves", "Flatten": "moves", "Resize": "keeps"}.get(node.layer.type, "")

    def make(self, node, at):
        layer = node.layer
        inputs = [at.int8(i) for i in layer.inputs]
        changes = {}
        if layer.type == "Pad" and layer.mode == "constant":
            (scale,), (zero,) = at.q(layer.inputs[0]).scale, at.q(layer.inputs[0]).zero
            changes["value"] = float(np.clip(np.rint(layer.value / scale) + zero, -128, 127))
        return [layer.replace(inputs=inputs, outputs=[at.written(y) for y in node.outputs], **changes)]


@integer("MatMul")
class IntegerMatMul(Integer):
    def refuses(self, node, net, specs):
        if any(i in net.constants for i in node.layer.inputs):
            return "it reads a constant"
        return "its second factor is transposed" if node.layer.transpose_b else ""

    def make(self, node, at):
        (a, b), (y,) = node.layer.inputs, node.outputs
        (scale,), (zero,) = at.q(y).scale, at.q(y).zero
        multiplier = np.float64(at.q(a).scale[0]) * at.q(b).scale[0] / scale
        return [
            layers["QuantizedMatMul"](
                at.int8(a), at.int8(b), name=node.name, outputs=[at.written(y)], scale=scale, zero=zero,
                a_zero=at.q(a).zero[0], b_zero=at.q(b).zero[0], multiplier=float(np.float32(multiplier)),
            )
        ]  # fmt: skip
