"""The way out for layers with weights or a window: convolution, its transpose, products of matrices, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.layer import Layer
from .writer import Value, Writer, numbers, written


@written("Convolution")
def convolution(
    w: Writer, layer: Layer, x: Value, filters: Value, b: Value | None = None, residual: Value | None = None
) -> str:
    y = w.node(
        "Conv", x, filters, b,
        kernel_shape=_kernel(filters), strides=list(layer.stride), pads=list(layer.pad),
        dilations=list(layer.dilation), group=layer.group,
    )  # fmt: skip
    y = y if residual is None else w.node("Add", y, residual)
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
    image: Value | str = x
    pads, counted = list(layer.pad), layer.count_pad
    up = layer.ceil and max(layer.stride) > 1
    if average and counted and up:
        # the padding counts, but not what the last windows reach beyond it: so the padding becomes part of the image
        if any(pads):
            top, left, bottom, right = pads
            around = np.array([0, 0, top, left, 0, 0, bottom, right])
            image = w.node("Pad", x, around, np.float32(0), mode="constant")
        counted, pads = False, [0] * 4
    shape: dict[str, Any] = {"kernel_shape": list(layer.kernel), "strides": list(layer.stride)}
    if up and _is_plain(layer, pads):
        shape["ceil_mode"] = 1
    elif up:
        pads = _reached(w, layer, x, pads)
    if average:
        return w.node("AveragePool", image, pads=pads, count_include_pad=int(counted), **shape)
    return w.node("MaxPool", image, pads=pads, **shape)


def _is_plain(layer: Layer, pads: list[int]) -> bool:
    """Whether no last window can begin in the padding, which Caffe leaves out and not every reader of ONNX does."""
    return all(a + s <= k for a, s, k in zip(pads[2:], layer.stride, layer.kernel, strict=True))


def _reached(w: Writer, layer: Layer, x: Value, pads: list[int]) -> list[int]:
    """[top, left, bottom, right] with which rounding down gives as many windows as Caffe's rounding up.

    `pads` are those of the node: what it lacks of the layer's is in the image already.
    """
    after = []
    for axis, (kernel, stride) in enumerate(zip(layer.kernel, layer.stride, strict=True)):
        size, windows = w.size(x.spec.shape[axis + 2]), w.size(w.output_spec().shape[axis + 2])
        inside = sum(layer.pad[axis::2]) - sum(pads[axis::2])
        after.append(max(0, (windows - 1) * stride + kernel - size - inside - pads[axis]))
    return pads[:2] + after
