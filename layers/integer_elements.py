"""How layers that work element by element are computed with int8 tensors: rules of the quantizer (engine/quantize)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.quantize.rules import Integer, IntegerTable, Node, Site, integer
from ..engine.tensor import Spec, Tensor


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

    def linear(self, node):
        return "keeps"

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
        if node.layer.operation == "prod":
            return "keeps"
        return "sums" if not any(c < 0 for c in node.layer.coeff) else ""

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

    def linear(self, node):
        return "keeps" if node.layer.operation == "mul" and not node.followers else ""

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
