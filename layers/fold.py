"""The rewrite rules between layers: what can be computed before the net runs, and what can be fused."""

from __future__ import annotations

import numpy as np

from ..engine.layer import Layer
from ..engine.rewrite import Constants, rewrite


@rewrite("Dropout")
def drop_dropout(dropout: Layer, constants: Constants) -> list[Layer]:
    """y = x when a net is run, not trained."""
    return []


@rewrite("Convolution", "BatchNorm")
def fold_batch_norm(conv: Layer, norm: Layer, constants: Constants) -> Layer | None:
    """(conv(x) - mean) / sqrt(var + eps) is a convolution with other weights and bias."""
    if not _constant(norm, constants):
        return None
    _, mean, var = norm.inputs
    scale = 1 / np.sqrt(constants[var].data.astype(np.float64) + norm.eps)
    return _scaled(conv, scale, -constants[mean].data * scale, constants)


@rewrite("Convolution", "Scale")
def fold_scale(conv: Layer, scale: Layer, constants: Constants) -> Layer | None:
    """conv(x) * scale + bias is a convolution with other weights and bias."""
    if scale.axis not in (1, -3) or not _constant(scale, constants):
        return None
    factor, bias = (constants[name].data if name else 0.0 for name in (*scale.inputs[1:], "")[:2])
    if np.ndim(factor) != 1:
        return None
    return _scaled(conv, factor.astype(np.float64), bias, constants)


@rewrite("Convolution", "Bias")
def fold_bias(conv: Layer, bias: Layer, constants: Constants) -> Layer | None:
    """conv(x) + b is a convolution with another bias."""
    if bias.axis not in (1, -3) or not _constant(bias, constants) or constants[bias.inputs[1]].data.ndim != 1:
        return None
    data = constants[bias.inputs[1]].data
    return _scaled(conv, np.ones(len(data)), data, constants)


@rewrite("Convolution", "Power")
def fold_power(conv: Layer, power: Layer, constants: Constants) -> Layer | None:
    """shift + scale * conv(x) is a convolution with other weights and bias."""
    if power.power != 1 or conv.inputs[1] not in constants:
        return None
    m = constants[conv.inputs[1]].spec.shape[0]
    return _scaled(conv, np.full(m, power.scale), np.full(m, power.shift), constants)


@rewrite("Power")
def drop_power(power: Layer, constants: Constants) -> list[Layer] | None:
    """y = x"""
    return [] if (power.power, power.scale, power.shift) == (1, 1, 0) else None


@rewrite("Permute", "Permute")
def join_permutes(first: Layer, second: Layer, constants: Constants) -> Layer:
    """Axes that change places twice: what prepares pixels ends in (N,H,W,C) where a net from NHWC begins in it."""
    return second.replace(inputs=first.inputs, order=[first.order[axis] for axis in second.order])


@rewrite("Permute")
def drop_permute(permute: Layer, constants: Constants) -> list[Layer] | None:
    """y = x"""
    return [] if list(permute.order) == sorted(permute.order) else None


@rewrite("Convolution", "Eltwise", any_input=True)
def fuse_residual(conv: Layer, add: Layer, constants: Constants) -> Layer | None:
    """conv(x) + other: the other is added while the result is stored. (He et al. 2015, arXiv:1512.03385)"""
    x, w, b, residual = (*conv.inputs, "", "")[:4]
    others = [name for name in add.inputs if name != conv.outputs[0]]
    plain_sum = add.operation == "sum" and all(c == 1 for c in add.coeff)
    if not plain_sum or len(add.inputs) != 2 or len(others) != 1 or conv.activation or residual:
        return None
    one_filter_a_channel = w in constants and conv.group > 1 and constants[w].spec.shape[1] == 1
    if w not in constants or one_filter_a_channel or (b and b not in constants):
        return None
    return conv.replace(inputs=(x, w, b, others[0]))


@rewrite("Convolution", "ReLU")
def fuse_relu_into_convolution(conv: Layer, relu: Layer, constants: Constants) -> Layer | None:
    """A rectifier is applied while the result is stored."""
    return _with_relu(conv, relu)


@rewrite("InnerProduct", "ReLU")
def fuse_relu_into_inner_product(product: Layer, relu: Layer, constants: Constants) -> Layer | None:
    """A rectifier is applied while the result is stored."""
    return _with_relu(product, relu)


@rewrite("Convolution", "Clip")
def fuse_clip(conv: Layer, clip: Layer, constants: Constants) -> Layer | None:
    """ReLU6 and its kin are applied while the result is stored."""
    if conv.activation:
        return None
    return conv.replace(activation="Clip", activation_args=(clip.min, clip.max))


@rewrite("Convolution", "HardSwish")
def fuse_hard_swish(conv: Layer, act: Layer, constants: Constants) -> Layer | None:
    return _with_curve(conv, act, constants)


@rewrite("Convolution", "Swish")
def fuse_swish(conv: Layer, act: Layer, constants: Constants) -> Layer | None:
    return _with_curve(conv, act, constants) if act.beta == 1 else None


@rewrite("Convolution", "Sigmoid")
def fuse_sigmoid(conv: Layer, act: Layer, constants: Constants) -> Layer | None:
    return _with_curve(conv, act, constants)


def _with_curve(conv: Layer, act: Layer, constants: Constants) -> Layer | None:
    """The convolution with an activation that is more than a limit: only kernels of constant weights do it."""
    if conv.activation or not all(name in constants for name in conv.inputs[1:3] if name):
        return None
    return conv.replace(activation=act.type, activation_args=tuple(act.attributes.values()))


def _with_relu(layer: Layer, relu: Layer) -> Layer | None:
    """The layer with the rectifier fused; one with a slope stays outside, as few kernels do it."""
    if layer.activation or relu.negative_slope:
        return None
    return layer.replace(activation="ReLU")


def _constant(layer: Layer, constants: Constants) -> bool:
    """Whether every input but the first is a constant."""
    return all(name in constants for name in layer.inputs[1:] if name)


def _scaled(conv: Layer, scale: np.ndarray, shift: np.ndarray | float, constants: Constants) -> Layer | None:
    """The convolution whose result is `scale * conv(x) + shift`, a number an output channel; computed in float64."""
    x, w, b, residual = (*conv.inputs, "", "")[:4]
    if conv.activation or residual or w not in constants or (b and b not in constants):
        return None
    bias = constants[b].data.astype(np.float64) * scale + shift if b else np.broadcast_to(shift, scale.shape)
    weights = constants[w].data * scale[:, None, None, None]
    return conv.replace(inputs=(x, weights.astype(np.float32), np.asarray(bias, np.float32)))
