"""Pooling along one, two or three axes.

The usual is the layer Pooling, where a line is an image of height 1. Windows with holes, of volumes, by another norm,
or that tell where each maximum was, are layers of volumes, where an image is a volume of depth 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph import Graph
from ..shape import reshaped
from ..value import Node, Unsupported, Value, dtype_name, is_floating
from .convolution import narrowed, numbers, pads_of, spatial, widened, widened_pads
from .graph import operator


@operator("MaxPool", "AveragePool", "LpPool")
def pool(g: Graph, node: Node, x: Value) -> Value | list[Value]:
    return _pooled(g, node, x)


def _pooled(g: Graph, node: Node, x: Value) -> Value | list[Value]:
    if not is_floating(x):  # whole numbers: exact in fp32 up to 2**24
        results = _pooled(g, node, g.add("Cast", x, to="fp32"))
        first, *rest = results if isinstance(results, list) else [results]
        return [g.add("Cast", first, to=dtype_name(x)), *rest]
    axes = spatial(x)
    kernel, dilation = numbers(node, "kernel_shape", axes), numbers(node, "dilations", axes)
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    given = {"kernel": kernel, "stride": numbers(node, "strides", axes), "dilation": dilation}
    pads, ceil = pads_of(g, node, x, window), bool(node.get("ceil_mode", 0))
    average, counts = node.type == "AveragePool", bool(node.get("count_include_pad", 0))
    second = node.outputs[1] if node.type == "MaxPool" and len(node.outputs) > 1 else ""
    places = bool(second and (g.consumers.get(second) or second in g.outputs))
    padded = not all(p < w for p, w in zip(pads, window * 2, strict=True))
    if axes == 3 or places or node.type == "LpPool" or max(dilation) > 1 or padded:
        return _volumes(g, node, x, given, pads, ceil, counts, places)
    more = 2 - axes
    y = g.add(
        "Pooling", widened(g, x, 2), method="average" if average else "max", ceil=ceil, pad=widened_pads(pads, more),
        kernel=[1] * more + kernel, stride=[1] * more + given["stride"], count_pad=counts if average else True,
    )  # fmt: skip
    return narrowed(g, y, axes)


def _volumes(
    g: Graph, node: Node, x: Value, given: dict[str, list[int]], pads: Sequence[int], ceil: bool, counts: bool,
    places: bool,
) -> Value | list[Value]:  # fmt: skip
    """By the layers of volumes."""
    axes = spatial(x)
    more = 3 - axes
    window = {key: [1] * more + value for key, value in given.items()}
    how: dict[str, Any] = {**window, "pad": widened_pads(pads, more), "ceil": ceil}
    deep = widened(g, x, 3)
    if node.type == "AveragePool":
        return narrowed(g, g.add("AveragePooling3D", deep, count_pad=counts, **how), axes)
    if node.type == "LpPool":
        return narrowed(g, g.add("AveragePooling3D", deep, power=int(node.get("p", 2)), **how), axes)
    y, place = g.add("MaxPooling3D", deep, outputs=2, **how)
    y, place = narrowed(g, y, axes), narrowed(g, place, axes)
    return [y, _through_x(g, node, x, place)] if places else y


def _through_x(g: Graph, node: Node, x: Value, place: Value) -> Value:
    """Places that count through the whole of x, in place of through each channel's elements."""
    size = list(map(int, x.shape[2:]))
    g.claim(16 * prod(size))
    if node.get("storage_order", 0):  # the first spatial axis is the fastest
        column = g.numbers(Value.of("size", np.array(size)))
        order = np.arange(prod(size)).reshape(column.tolist()).transpose().reshape(-1)
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        place = g.add("Gather", Value.of(g.fresh(f"{node.name}/order"), back), place, axis=0)
    planes = [int(s) for s in x.shape[:2]]
    if prod(planes) == 1:
        return place
    starts = (np.arange(prod(planes)) * prod(size)).reshape(*planes, *[1] * len(size))
    return g.add("Binary", place, starts, operation="add")


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(g: Graph, node: Node, x: Value) -> Value:
    method = "max" if node.type == "GlobalMaxPool" else "average"
    if x.rank < 3:
        raise Unsupported(f"its input has {x.rank} dimensions: there is nothing to pool over")
    if x.rank == 4:
        return g.add("Pooling", x, method=method, global_pooling=True)
    return g.add(
        "Reduction",
        x,
        operation={"average": "mean"}.get(method, method),
        axes=range(2, x.rank),
        keep_dims=True,
    )


@operator("GlobalLpPool")
def global_lp_pool(g: Graph, node: Node, x: Value) -> Value:
    power, axes = int(node.get("p", 2)), list(range(2, x.rank))
    if power in (1, 2):
        return g.add("Reduction", x, operation="asum" if power == 1 else "l2", axes=axes, keep_dims=True)
    raised = g.add("Power", g.add("AbsVal", x), power=float(power))
    return g.add(
        "Power", g.add("Reduction", raised, operation="sum", axes=axes, keep_dims=True), power=1 / power
    )


def _row(g: Graph, x: Value) -> Value:
    """All numbers of a tensor or a constant in one row."""
    if x.array is None:
        return reshaped(g, x, [-1])
    array = g.numbers(x).reshape(-1)
    return Value.of(g.fresh(f"{x.name}/row"), array)


@operator("MaxUnpool")
def max_unpool(g: Graph, node: Node, x: Value, places: Value, shape: Value | None = None) -> Value:
    """Every maximum back where it was, in a tensor of zeros."""
    axes = spatial(x)
    kernel, stride = numbers(node, "kernel_shape", axes), numbers(node, "strides", axes)
    pads = numbers(node, "pads", 2 * axes, 0)
    own = [
        (int(s) - 1) * t + k - pads[i] - pads[i + axes]
        for i, (s, t, k) in enumerate(zip(x.shape[2:], stride, kernel, strict=True))
    ]
    own = [*(int(s) for s in x.shape[:2]), *own]
    wanted = own if shape is None else [int(s) for s in g.numbers(shape, "its output_shape")]
    g.claim(4 * prod(own) + 4 * prod(wanted))
    flat = [_row(g, v) for v in (x, places)]
    zeros = np.zeros(prod(own), np.float32)
    room = Value.of(g.fresh(f"{node.name}/zeros"), zeros)
    y = reshaped(g, g.add("ScatterElements", room, flat[1], flat[0], axis=0), own)
    if wanted == own:
        return y
    return g.add("Pad", y, pads=[*[0] * y.rank, *(w - o for w, o in zip(wanted, own, strict=True))])
