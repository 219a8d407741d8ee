"""How layers that move numbers, pool or multiply them are computed with int8 tensors: rules of the quantizer."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.layer import layers
from ..engine.quantize.rules import Integer, integer


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
