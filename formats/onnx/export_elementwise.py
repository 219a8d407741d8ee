"""The way out for layers that work element by element, or channel by channel: functions, sums, normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from ...engine.layer import Layer
from ..value import Unsupported
from .writer import Value, Writer, written

FLOAT_MAX = float(np.finfo(np.float32).max)
Named = Value | str

# layer type: ONNX operator, {ONNX attribute: layer attribute}
FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "Sigmoid": ("Sigmoid", {}),
    "TanH": ("Tanh", {}),
    "ELU": ("Elu", {"alpha": "alpha"}),
    "AbsVal": ("Abs", {}),
    "BNLL": ("Softplus", {}),
    "HardSigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": "beta"}),
}


@written(*FUNCTIONS)
def function(w: Writer, layer: Layer, x: Named) -> str:
    operator, attributes = FUNCTIONS[layer.type]
    return w.node(operator, x, **{key: getattr(layer, name) for key, name in attributes.items()})


@written("ReLU")
def relu(w: Writer, layer: Layer, x: Named) -> str:
    if layer.negative_slope == 0:
        return w.node("Relu", x)
    return w.node("LeakyRelu", x, alpha=layer.negative_slope)


@written("HardSwish")
def hard_swish(w: Writer, layer: Layer, x: Named) -> str:
    if (layer.alpha, layer.beta) == (1 / 6, 0.5):
        return w.node("HardSwish", x)
    return w.node("Mul", x, w.node("HardSigmoid", x, alpha=layer.alpha, beta=layer.beta))


@written("Swish")
def swish(w: Writer, layer: Layer, x: Named) -> str:
    return w.node("Mul", x, w.node("Sigmoid", _line(w, x, layer.beta, 0.0)))


@written("Mish")
def mish(w: Writer, layer: Layer, x: Named) -> str:
    """An operator of its own only from opset 18 on."""
    return w.node("Mul", x, w.node("Tanh", w.node("Softplus", x)))


@written("GELU")
def gelu(w: Writer, layer: Layer, x: Named) -> str:
    """An operator of its own only from opset 20 on."""
    if layer.approximate:
        cubed = _line(w, w.node("Pow", x, np.float32(3)), 0.044715, 0.0)
        bell = w.node("Tanh", _line(w, w.node("Add", x, cubed), math.sqrt(2 / math.pi), 0.0))
    else:
        bell = w.node("Erf", _line(w, x, 1 / math.sqrt(2), 0.0))
    return w.node("Mul", _line(w, x, 0.5, 0.0), _line(w, bell, 1.0, 1.0))


@written("Clip")
def clip(w: Writer, layer: Layer, x: Named) -> str:
    low = np.float32(layer.min) if layer.min > -FLOAT_MAX else None
    high = np.float32(layer.max) if layer.max < FLOAT_MAX else None
    return w.node("Clip", x, low, high)


@written("Power")
def power(w: Writer, layer: Layer, x: Named) -> str:
    y = _line(w, x, layer.scale, layer.shift)
    if layer.power == 0.5:
        return w.node("Sqrt", y)
    if layer.power == -1:
        return w.node("Reciprocal", y)
    if layer.power != 1:
        return w.node("Pow", y, np.float32(layer.power))
    return y if y is not x else w.node("Identity", x)


@written("Exp")
def exp(w: Writer, layer: Layer, x: Named) -> str:
    base = _log_base(layer)
    return w.node("Exp", _line(w, x, base * layer.scale, base * layer.shift))


@written("Log")
def log(w: Writer, layer: Layer, x: Named) -> str:
    y = w.node("Log", _line(w, x, layer.scale, layer.shift))
    return _line(w, y, 1 / _log_base(layer), 0.0)


def _log_base(layer: Any) -> float:
    """The natural logarithm of an Exp's or Log's base; -1 stands for e."""
    return 1.0 if layer.base == -1 else math.log(layer.base)


def _line(w: Writer, x: Any, scale: float, shift: float) -> Any:
    """scale * x + shift; x itself where that is the same."""
    if scale == -1:
        x = w.node("Neg", x)
    elif scale != 1:
        x = w.node("Mul", x, np.float32(scale))
    return w.node("Add", x, np.float32(shift)) if shift else x


@written("PReLU")
def prelu(w: Writer, layer: Layer, x: Value, slope: Value) -> str:
    if slope.spec.ndim == 0:
        return w.node("PRelu", x, slope)
    return w.node("PRelu", x, w.shaped(slope, x.spec.ndim - 2))


@written("Eltwise")
def eltwise(w: Writer, layer: Layer, *xs: Value) -> str:
    operator = {"sum": "Add", "prod": "Mul", "max": "Max"}[layer.operation]
    if layer.coeff == (1.0, -1.0):
        return w.node("Sub", *xs)
    terms = [_line(w, x, c, 0.0) for x, c in zip(xs, layer.coeff or [1.0] * len(xs), strict=True)]
    return reduce(lambda a, b: w.node(operator, a, b), terms)


@written("Softmax")
def softmax(w: Writer, layer: Layer, x: Value) -> str:
    return w.node("Softmax", x, axis=x.spec.axis(layer.axis))


# -- along some axes ---------------------------------------------------------------------------------------


@written("Scale")
def scale(w: Writer, layer: Layer, x: Value, factor: Value, bias: Value | None = None) -> str:
    y = w.node("Mul", x, _along(w, x, factor, layer.axis))
    return y if bias is None else w.node("Add", y, _along(w, x, bias, layer.axis))


@written("Bias")
def bias(w: Writer, layer: Layer, x: Value, b: Value) -> str:
    return w.node("Add", x, _along(w, x, b, layer.axis))


def _along(w: Writer, x: Value, value: Value, axis: int) -> str:
    """`value`, whose axes are x's from `axis` on, as ONNX broadcasts it."""
    trailing = x.spec.ndim - x.spec.axis(axis) - value.spec.ndim
    return w.shaped(value, trailing if value.spec.ndim else 0)


@written("BatchNorm")
def batch_norm(w: Writer, layer: Layer, x: Value, mean: Value, var: Value) -> str:
    """With the Scale behind it, if it has one: that is what ONNX and its readers understand by the name."""
    shape = mean.spec.shape

    def fits(scale: Layer) -> bool:
        vectors = [w.value(name) for name in scale.inputs[1:] if name]
        inside = all(v is not None and v.tensor is not None and v.spec.shape == shape for v in vectors)
        return inside and scale.axis in (1, 1 - x.spec.ndim)

    scale = w.absorbed("Scale", fits)
    factor, shift = (map(w.value, (*scale.inputs[1:], "")[:2])) if scale else (None, None)
    one, zero = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    given = [one if factor is None else factor, zero if shift is None else shift]
    return w.node("BatchNormalization", x, *given, mean, var, epsilon=layer.eps)


@written("LRN")
def lrn(w: Writer, layer: Layer, x: Value) -> str:
    size, alpha, beta, k = layer.local_size, layer.alpha, layer.beta, layer.k
    if layer.region == "across":
        return w.node("LRN", x, size=size, alpha=alpha, beta=beta, bias=k)
    # within a channel: the average of squares over a window, in which cells beyond the edge count as 0
    mean = w.node(
        "AveragePool", w.node("Mul", x, x),
        kernel_shape=[size] * 2, strides=[1, 1], pads=[size // 2] * 4, count_include_pad=1,
    )  # fmt: skip
    return w.node("Div", x, w.node("Pow", _line(w, mean, alpha, k), np.float32(beta)))


@written("MVN")
def mvn(w: Writer, layer: Layer, x: Value) -> str:
    axes = list(range(1 if layer.across_channels else 2, x.spec.ndim))
    if not axes:
        raise Unsupported(f"{x.spec} has nothing to take a mean over")
    y = w.node("Sub", x, _mean(w, x, axes))
    if not layer.normalize_variance:
        return y
    deviation = w.node("Sqrt", _mean(w, w.node("Mul", y, y), axes))
    return w.node("Div", y, _line(w, deviation, 1.0, layer.eps))


def _mean(w: Writer, x: Named, axes: Sequence[int]) -> str:
    return w.node("ReduceMean", x, axes=list(axes), keepdims=1)


@written("LayerNorm")
def layer_norm(
    w: Writer, layer: Layer, x: Value, factor: Value | None = None, bias: Value | None = None
) -> str:
    axis = x.spec.axis(layer.axis)
    if (
        factor is None and bias is None and axis == 2 and x.spec.ndim > 2
    ):  # each channel of each image by itself
        shape = [w.size(x.spec.shape[1])]
        one, zero = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        return w.node("InstanceNormalization", x, one, zero, epsilon=layer.eps)
    given = factor or np.ones([w.size(size) for size in x.spec.shape[axis:]], np.float32)
    return w.node("LayerNormalization", x, given, bias, axis=axis, epsilon=layer.eps)
