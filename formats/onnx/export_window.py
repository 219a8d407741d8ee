"""The way out for layers with weights or a window: convolution, its transpose, products of matrices, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.layer import Layer
from .writer import Value, Writer, numbers, written


@written("Convolution")
def convolution(w: Writer, layer: Layer, x: Value, filters: Value, b: Value | None = None) -> str:
    y = w.node(
        "Conv", x, filters, b,
        kernel_shape=_kernel(filters), strides=list(layer.stride), pads=list(layer.pad),
        dilations=list(layer.dilation), group=layer.group,
    )  # fmt: skip
    return w.activated(y, layer.activation, layer.activation_args)


@written("Deconvolution")
def deconvolution(w: Writer, layer: Layer, x: Value, filters: Value, b: Value | None = None) -> str:
    return w.node(
        "ConvTranspose", x, filters, b,
        kernel_shape=_kernel(filters), strides=list(layer.stride), pads=list(layer.pad),
        dilations=list(layer.dilation), group=layer.group, output_padding=list(layer.output_pad),
    )  # fmt: skip


def _kernel(filters: Value) -> list[int]:
    return [int(size) for size in filters.spec.shape[2:]]


@written("InnerProduct")
def inner_product(w: Writer, layer: Layer, x: Value, weights: Value, b: Value | None = None) -> str:
    """Gemm for vectors; MatMul, which takes any number of axes before the last, for more than that."""
    axis, ndim = x.spec.axis(layer.axis), x.spec.ndim
    if axis == 1:
        flat = x if ndim == 2 else w.node("Flatten", x, axis=1)
        y = w.node("Gemm", flat, weights, b, transB=1)
    else:
        k = weights.spec.shape[1]
        flat = x if axis == ndim - 1 else w.reshaped(x, x.spec.shape, (*x.spec.shape[:axis], k))
        if weights.tensor is None:
            turned = w.node("Transpose", weights, perm=[1, 0])
        else:
            turned = w.constant(numbers(weights.tensor).T, f"{weights.name}/turned")
        y = w.node("MatMul", flat, turned)
        y = y if b is None else w.node("Add", y, b)
    return w.activated(y, layer.activation, layer.activation_args)


@written("MatMul")
def matmul(w: Writer, layer: Layer, a: Value, b: Value) -> str:
    if not layer.transpose_b:
        return w.node("MatMul", a, b)
    order = list(range(b.spec.ndim))
    order[-2:] = order[:-3:-1]
    return w.node("MatMul", a, w.node("Transpose", b, perm=order))


@written("Pooling")
def pooling(w: Writer, layer: Layer, x: Value) -> str:
    average = layer.method == "average"
    if layer.global_pooling:
        return w.node("GlobalAveragePool" if average else "GlobalMaxPool", x)
    shape: dict[str, Any] = {"kernel_shape": list(layer.kernel), "strides": list(layer.stride)}
    pads = _reached(w, layer, x) if layer.ceil else list(layer.pad)
    if not average:
        return w.node("MaxPool", x, pads=pads, **shape)
    if not layer.count_pad or pads == list(layer.pad):
        return w.node("AveragePool", x, pads=pads, count_include_pad=int(layer.count_pad), **shape)
    # the padding counts, but not what windows reach beyond it: so the padding becomes part of the image
    inside = [min(a, b) for a, b in zip(pads, layer.pad, strict=True)]
    if any(inside):
        top, left, bottom, right = inside
        image = w.node(
            "Pad", x, np.array([0, 0, top, left, 0, 0, bottom, right]), np.float32(0), mode="constant"
        )
    else:
        image = x
    beyond = [a - b for a, b in zip(pads, inside, strict=True)]
    return w.node("AveragePool", image, pads=beyond, count_include_pad=0, **shape)


def _reached(w: Writer, layer: Layer, x: Value) -> list[int]:
    """[top, left, bottom, right] with which rounding down gives as many windows as Caffe's rounding up.

    So no reader's own idea of rounding up matters. Less than a window is added: Caffe's last one begins in the image.
    """
    before, after = list(layer.pad[:2]), []
    for axis, (kernel, stride) in enumerate(zip(layer.kernel, layer.stride, strict=True)):
        if stride == 1:  # nothing to round
            after.append(layer.pad[axis + 2])
            continue
        size, windows = w.size(x.spec.shape[axis + 2]), w.size(w.output_spec().shape[axis + 2])
        after.append(max(0, (windows - 1) * stride + kernel - size - before[axis]))
    return before + after
