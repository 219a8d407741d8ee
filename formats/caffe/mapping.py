"""What each Caffe layer becomes: one function a type, from its LayerParameter to layers of fbnet.

    @caffe("ELU")
    def elu(s: Source) -> Layer:
        return s.layer("ELU", alpha=s.param.elu_param.alpha)

A function that meets something it cannot express raises ConversionError with the reason. What takes several layers puts
the others before the one that it returns: s.add("Flatten", ...).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ...engine.errors import ConversionError, did_you_mean
from ...engine.layer import Layer, layers
from ...engine.tensor import Spec, Tensor
from .graph import Node
from .prototxt import enum_name, shortest
from .weights import Weights

Converter = Callable[["Source"], "Layer | None"]
converters: dict[str, Converter] = {}
SOURCES = ("Parameter",)  # types that read no blob


@dataclass
class Source:
    """A Caffe layer to be converted: its node, the specs of its inputs, and where its weights are.

    layers       layers that had to be put before the last one, which the converter returns
    constants    tensor -> the constant that it is
    sizes_fixed  True once something was worked out from the height or width of an image
    """

    node: Node
    specs: list[Spec]
    weights: Weights
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    sizes_fixed: bool = False

    @property
    def param(self) -> Any:
        """The LayerParameter."""
        return self.node.param

    @property
    def channels(self) -> int:
        """C of the first input."""
        if self.specs[0].ndim < 2:
            raise ConversionError(f"its input is {self.specs[0]}, which has no channels")
        return self.specs[0].shape[1]

    def weight(self, index: int, parameter: str, shape: tuple[int, ...], fan_in: int = 1) -> Tensor:
        """The index-th blob, as a constant that the layer calls `parameter`."""
        return self.weights.get(self.node, index, parameter, shape, fan_in)

    def layer(self, type: str, *constants: Tensor, **attributes: Any) -> Layer:
        """A layer of this node's name and outputs that reads its only input and these constants."""
        if len(self.node.inputs) > 1:
            raise ConversionError(f"reads {len(self.node.inputs)} blobs, but only one is known")
        return self.layer_of(type, *self.node.inputs, *constants, **attributes)

    def layer_of(
        self, type: str, *inputs: Tensor | str, outputs: Sequence[str] = (), **attributes: Any
    ) -> Layer:
        """As `layer`, with all inputs given. `outputs`: if they are not all the node's."""
        return _made(type, inputs, self.node.name, outputs or self.node.outputs, attributes)

    def add(self, type: str, *inputs: Tensor | str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Put a layer before the last one; the names of what it writes."""
        name = f"{self.node.name}:{type.lower()}{len(self.layers)}"
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self.layers.append(_made(type, inputs, name, names, attributes))
        return names

    def image(self, index: int = 0) -> tuple[int, int]:
        """H and W of an input. Whoever asks makes a net for this size alone."""
        if self.specs[index].ndim != 4:
            raise ConversionError(f"its input is {self.specs[index]}, but images are (N, C, H, W)")
        self.sizes_fixed = True
        return self.specs[index].shape[2], self.specs[index].shape[3]


def _made(
    type: str, inputs: Sequence[Tensor | str], name: str, outputs: Sequence[str], attributes: dict[str, Any]
) -> Layer:
    if type not in layers:
        raise ConversionError(f"no layer {type!r} is registered")
    for key, value in attributes.items():
        if isinstance(value, float):
            attributes[key] = shortest(value)
        elif isinstance(value, tuple):
            attributes[key] = tuple(shortest(v) if isinstance(v, float) else v for v in value)
    return layers[type](*inputs, name=name, outputs=outputs, **attributes)


def caffe(*types: str) -> Callable[[Converter], Converter]:
    """Register a function for these Caffe types."""

    def register(function: Converter) -> Converter:
        converters.update(dict.fromkeys(types, function))
        return function

    return register


def convert(source: Source) -> list[Layer]:
    """A node as layers, the last of which bears its name. Raises ConversionError and errors of layers, without it."""
    node = source.node
    if node.type not in converters:
        raise ConversionError(f"fbnet has no such layer.{did_you_mean(node.type, converters)}".rstrip("."))
    if not source.specs and node.type not in SOURCES:
        raise ConversionError("reads nothing")
    last = converters[node.type](source)
    return [*source.layers, last] if last is not None else source.layers


# -- convolution and product ---------------------------------------------------------------------------------


def pair(p: Any, name: str, stem: str, default: int | None) -> tuple[int, int]:
    """(h, w) of a field that may be given once, once an axis, or as <stem>_h and <stem>_w."""
    h, w, both = f"{stem}_h", f"{stem}_w", list(getattr(p, name))
    if len(both) > 2:
        raise ConversionError(f"{name} has {len(both)} axes: only images, which have two, are known")
    if f"{stem}_h" in p.DESCRIPTOR.fields_by_name and (p.HasField(h) or p.HasField(w)):
        both = [getattr(p, h), getattr(p, w)]
    if not both:
        if default is None:
            raise ConversionError(f"has no {name}")
        both = [default]
    return both[0], both[-1]


def geometry(s: Source) -> tuple[Any, tuple[int, int], dict[str, Any]]:
    """A convolution's parameters, its kernel, and the attributes that Convolution and Deconvolution share."""
    p = s.param.convolution_param
    if s.specs[0].axis(p.axis) != 1:
        raise ConversionError(f"axis is {p.axis}: only 1 is known")
    group = p.group
    if "Depthwise" in s.node.type and not p.HasField("group"):
        group = s.channels
    if not p.num_output or not group or p.num_output % group or s.channels % group:
        raise ConversionError(
            f"num_output is {p.num_output}, C is {s.channels} and group is {group}: they must divide"
        )
    pad_h, pad_w = pair(p, "pad", "pad", 0)
    attributes = {
        "stride": pair(p, "stride", "stride", 1),
        "pad": (pad_h, pad_w, pad_h, pad_w),
        "dilation": pair(p, "dilation", "dilation", 1),
        "group": group,
    }
    return p, pair(p, "kernel_size", "kernel", None), attributes


@caffe("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(s: Source) -> Layer:
    p, kernel, attributes = geometry(s)
    channels = s.channels // attributes["group"]
    w = s.weight(0, "w", (p.num_output, channels, *kernel), fan_in=channels * prod(kernel))
    b = [s.weight(1, "b", (p.num_output,))] if p.bias_term else []
    return s.layer("Convolution", w, *b, **attributes)


@caffe("Deconvolution")
def deconvolution(s: Source) -> Layer:
    p, kernel, attributes = geometry(s)
    group = attributes["group"]
    overlap = max(1, prod(kernel) // max(1, prod(attributes["stride"])))
    w = s.weight(0, "w", (s.channels, p.num_output // group, *kernel), fan_in=s.channels // group * overlap)
    b = [s.weight(1, "b", (p.num_output,))] if p.bias_term else []
    return s.layer("Deconvolution", w, *b, **attributes)


@caffe("InnerProduct")
def inner_product(s: Source) -> Layer:
    p = s.param.inner_product_param
    axis, m = s.specs[0].axis(p.axis), p.num_output
    k = prod(s.specs[0].shape[axis:])
    if not m or not k:
        raise ConversionError(f"num_output is {m} and its input {s.specs[0]}: there is nothing to multiply")
    w = stored = s.weight(0, "w", (k, m) if p.transpose else (m, k), fan_in=k)
    if p.transpose:
        w = Tensor(f"{s.node.name}.w", Spec((m, k)), lambda: np.ascontiguousarray(np.asarray(stored.data).T))
    b = [s.weight(1, "b", (m,))] if p.bias_term else []
    return s.layer("InnerProduct", w, *b, axis=axis)


@caffe("Pooling")
def pooling(s: Source) -> Layer:
    p = s.param.pooling_param
    method = enum_name(p, "pool")
    if method not in ("MAX", "AVE"):
        raise ConversionError(f"pool is {method}: only MAX and AVE are known")
    rounding = enum_name(p, "round_mode")
    if rounding not in ("CEIL", "FLOOR"):
        raise ConversionError(f"round_mode is {rounding}: only CEIL and FLOOR are known")
    method = {"MAX": "max", "AVE": "average"}[method]
    if p.global_pooling:
        return s.layer("Pooling", method=method, global_pooling=True)
    kernel, stride = pair(p, "kernel_size", "kernel", None), pair(p, "stride", "stride", 1)
    pad, ceil = pair(p, "pad", "pad", 0), rounding == "CEIL" and p.ceil_mode
    if len(s.node.outputs) == 2 and method == "max":
        return _pooling_with_places(s, kernel=kernel, stride=stride, pad=pad, ceil=ceil)
    return s.layer("Pooling", method=method, kernel=kernel, stride=stride, pad=pad * 2, ceil=ceil)


def _pooling_with_places(s: Source, **attributes: Any) -> Layer:
    """The second top is where in its plane each maximum lies. An image is a volume of depth 1."""
    kernel, stride, pad = (attributes.pop(name) for name in ("kernel", "stride", "pad"))
    volume = s.add("Reshape", *s.node.inputs, shape=(1,), axis=2, num_axes=0)
    pooled = s.add(
        "MaxPooling3D",
        *volume,
        outputs=2,
        kernel=(1, *kernel),
        stride=(1, *stride),
        pad=(0, *pad) * 2,
        **attributes,
    )
    s.layers.append(
        _made("Reshape", pooled[1:], f"{s.node.name}:places", s.node.outputs[1:], _NO_DEPTH.copy())
    )
    return s.layer_of("Reshape", pooled[0], outputs=s.node.outputs[:1], **_NO_DEPTH)


_NO_DEPTH: dict[str, Any] = {"shape": (), "axis": 2, "num_axes": 1}


# -- functions of one element --------------------------------------------------------------------------------


@caffe("ReLU")
def relu(s: Source) -> Layer:
    return s.layer("ReLU", negative_slope=s.param.relu_param.negative_slope)


@caffe("ReLU6")
def relu6(s: Source) -> Layer:
    return s.layer("Clip", min=0.0, max=s.param.relu6_param.threshold)


@caffe("PReLU")
def prelu(s: Source) -> Layer:
    return s.layer("PReLU", s.weight(0, "slope", (1 if s.param.prelu_param.channel_shared else s.channels,)))


@caffe("Sigmoid", "TanH", "AbsVal", "BNLL")
def plain(s: Source) -> Layer:
    return s.layer(s.node.type)


@caffe("ELU")
def elu(s: Source) -> Layer:
    return s.layer("ELU", alpha=s.param.elu_param.alpha)


@caffe("Clip")
def clip(s: Source) -> Layer:
    p = s.param.clip_param
    if not p.HasField("min") or not p.HasField("max"):
        raise ConversionError("clip_param needs min and max")
    return s.layer("Clip", min=p.min, max=p.max)


@caffe("Power")
def power(s: Source) -> Layer:
    p = s.param.power_param
    return s.layer("Power", power=p.power, scale=p.scale, shift=p.shift)


@caffe("Exp", "Log")
def exp_or_log(s: Source) -> Layer:
    p = s.param.exp_param if s.node.type == "Exp" else s.param.log_param
    return s.layer(s.node.type, base=p.base, scale=p.scale, shift=p.shift)


@caffe("Swish")
def swish(s: Source) -> Layer:
    return s.layer("Swish", beta=s.param.swish_param.beta)


@caffe("Threshold")
def threshold(s: Source) -> Layer:
    return s.layer("Threshold", threshold=s.param.threshold_param.threshold)


@caffe("Dropout")
def dropout(s: Source) -> Layer:
    return s.layer("Dropout", ratio=s.param.dropout_param.dropout_ratio)


# -- normalisation -------------------------------------------------------------------------------------------


@caffe("LRN")
def lrn(s: Source) -> Layer:
    p = s.param.lrn_param
    region = {"ACROSS_CHANNELS": "across", "WITHIN_CHANNEL": "within"}.get(enum_name(p, "norm_region"))
    if region is None:
        raise ConversionError(f"norm_region is {enum_name(p, 'norm_region')}, which is not known")
    return s.layer("LRN", local_size=p.local_size, alpha=p.alpha, beta=p.beta, k=p.k, region=region)


@caffe("BatchNorm")
def batch_norm(s: Source) -> Layer:
    """Caffe stores sums: mean and variance are the first two blobs divided by the third, or 0 if that is 0."""
    p = s.param.batch_norm_param
    if p.HasField("use_global_stats") and not p.use_global_stats:
        raise ConversionError(
            "use_global_stats is false: it would normalise by the batch, not by what was learnt"
        )
    c = s.channels
    factor = s.weight(2, "factor", (1,))

    def divided(index: int, parameter: str) -> Tensor:
        stored = s.weight(index, parameter, (c,))

        def data() -> np.ndarray:
            by = np.asarray(factor.data)
            return np.asarray(stored.data) * (np.float32(1) / by if by.any() else np.float32(0))

        return Tensor(f"{s.node.name}.{parameter}", Spec((c,)), data=data)

    statistics = divided(0, "mean"), divided(1, "var")
    if not p.scale_bias:
        return s.layer("BatchNorm", *statistics, eps=p.eps)
    (y,) = s.add("BatchNorm", *s.node.inputs, *statistics, eps=p.eps)  # NVIDIA's: a Scale is in it
    return s.layer_of("Scale", y, s.weight(3, "scale", (c,)), s.weight(4, "bias", (c,)))


@caffe("BN")
def bn(s: Source) -> Layer:
    """Of forks: slope and shift, then mean and variance; where the latter two are missing, they are in the former."""
    c = s.channels
    scale, bias = s.weight(0, "scale", (c,)), s.weight(1, "bias", (c,))
    if s.weights.stored(s.node) == 2:
        return s.layer("Scale", scale, bias)
    mean, var = s.weight(2, "mean", (c,)), s.weight(3, "var", (c,))
    (y,) = s.add("BatchNorm", *s.node.inputs, mean, var, eps=s.param.bn_param.eps)
    return s.layer_of("Scale", y, scale, bias)


def _learned_shape(s: Source, p: Any) -> tuple[int, ...]:
    """The shape of a Scale's or Bias's blob: num_axes axes of the input from `axis` on; -1 for all of them."""
    axis = s.specs[0].axis(p.axis)
    end = s.specs[0].ndim if p.num_axes == -1 else axis + p.num_axes
    if p.num_axes < -1 or end > s.specs[0].ndim:
        raise ConversionError(f"its input is {s.specs[0]}, which has no {p.num_axes} axes from {axis} on")
    return s.specs[0].shape[axis:end]


@caffe("Scale")
def scale(s: Source) -> Layer:
    p = s.param.scale_param
    if len(s.node.inputs) > 1:
        b = [s.weight(0, "bias", s.specs[1].shape)] if p.bias_term else []
        return s.layer_of("Scale", *s.node.inputs, *b, axis=s.specs[0].axis(p.axis))
    shape = _learned_shape(s, p)
    b = [s.weight(1, "bias", shape)] if p.bias_term else []
    return s.layer("Scale", s.weight(0, "scale", shape), *b, axis=s.specs[0].axis(p.axis))


@caffe("Bias")
def bias(s: Source) -> Layer:
    p = s.param.bias_param
    b = [] if len(s.node.inputs) > 1 else [s.weight(0, "b", _learned_shape(s, p))]
    return s.layer_of("Bias", *s.node.inputs, *b, axis=s.specs[0].axis(p.axis))


@caffe("MVN")
def mvn(s: Source) -> Layer:
    p = s.param.mvn_param
    return s.layer(
        "MVN", normalize_variance=p.normalize_variance, across_channels=p.across_channels, eps=p.eps
    )


@caffe("Normalize")
def normalize(s: Source) -> Layer:
    p = s.param.norm_param
    scale = s.weight(0, "scale", (1 if p.channel_shared else s.channels,))
    return s.layer("Normalize", scale, across_spatial=p.across_spatial, eps=p.eps)


@caffe("Softmax")
def softmax(s: Source) -> Layer:
    return s.layer("Softmax", axis=s.specs[0].axis(s.param.softmax_param.axis))
