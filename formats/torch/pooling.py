"""Pooling, along one, two or three axes; adaptive pooling, whose windows follow from the size of the result."""

from __future__ import annotations

from math import prod
from typing import Any

from ...engine.tensor import Dim
from ..value import Node, Unsupported, Value
from .convolution import axes_of, lowered, raised, window
from .graph import TorchGraph
from .table import operator


@operator("max_pool1d", "max_pool2d", "max_pool3d",
          "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")  # fmt: skip
def max_pool(
    g: TorchGraph, node: Node, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:  # fmt: skip
    axes = axes_of(x)
    holes = window(g, dilation, axes)
    given: dict[str, Any] = {
        "kernel": window(g, kernel, axes),
        "stride": window(g, stride or kernel, axes),
        "pad": window(g, padding, axes, 0) * 2,
        "ceil": ceil_mode,
    }
    several = node.type.endswith("_with_indices")
    if several and any(user.args[1] == 1 and user.users for user in node.source.users):
        raise Unsupported("the places of its maxima are read: only the maxima are supported")
    if axes == 3 or set(holes) != {1}:
        deep = x if axes == 3 else raised(g, x)
        given = _deepened(given, holes) if axes < 3 else {**given, "dilation": holes}
        if axes < 3:
            deep = _with_depth(g, deep)
        y, _ = g.add("MaxPooling3D", deep, outputs=2, **given)
        y = y if axes == 3 else _without_depth(g, y)
    else:
        y = g.add("Pooling", raised(g, x), **given)
    y = lowered(g, y, axes)
    return [y, None] if several else y


def _deepened(given: dict[str, Any], holes: tuple[int, ...]) -> dict[str, Any]:
    """The attributes of a pooling over images as those of one over volumes of depth 1."""
    top, left, bottom, right = given["pad"]
    deep = {"kernel": (1, *given["kernel"]), "stride": (1, *given["stride"]), "dilation": (1, *holes)}
    return {**given, **deep, "pad": (0, top, left, 0, bottom, right)}


def _with_depth(g: TorchGraph, x: Value) -> Value:
    return g.add("Reshape", x, shape=(1,), axis=2, num_axes=0)


def _without_depth(g: TorchGraph, x: Value) -> Value:
    return g.add("Reshape", x, shape=(), axis=2, num_axes=1)


@operator("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    g: TorchGraph, node: Node, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Value:  # fmt: skip
    axes = axes_of(x)
    size, pad = window(g, kernel, axes), window(g, padding, axes, 0) * 2
    given: dict[str, Any] = {
        "kernel": size,
        "stride": window(g, stride or kernel, axes),
        "pad": pad,
        "ceil": ceil_mode,
        "count_pad": count_include_pad,
    }
    method: dict[str, Any] = {} if axes == 3 else {"method": "average"}
    y = lowered(
        g, g.add("AveragePooling3D" if axes == 3 else "Pooling", raised(g, x), **method, **given), axes
    )
    if divisor_override is None:
        return y
    if any(pad) or ceil_mode:
        raise Unsupported("divisor_override beside padding: windows of full size are supported")
    return g.add("Power", y, scale=prod(size) / divisor_override)


@operator("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool1d",
          "adaptive_max_pool2d")  # fmt: skip
def adaptive_pool(g: TorchGraph, node: Node, x: Value, output_size: Any) -> Any:
    """Where the image's size is a known multiple of the result's, windows of one size."""
    axes = axes_of(x)
    if axes == 3:
        raise Unsupported("adapts to volumes: images are supported")
    method = "max" if "max" in node.type else "average"
    image = raised(g, x)
    sizes = [output_size] if isinstance(output_size, int) else list(output_size)
    sizes = [1, *sizes] if axes == 1 else sizes * 2 if len(sizes) == 1 else sizes
    if sizes == [1, 1]:
        y = g.add("Pooling", image, method=method, global_pooling=True)
    else:
        y = _adapted(g, image, method, [0 if w is None else g.number(w) for w in sizes])
    y = lowered(g, y, axes)
    return [y, None] if method == "max" else y


def _adapted(g: TorchGraph, x: Value, method: str, wanted: list[int]) -> Value:
    sizes = [w or s for w, s in zip(wanted, x.shape[2:], strict=True)]
    if any(isinstance(s, Dim) and w for s, w in zip(x.shape[2:], wanted, strict=True)) or any(
        int(s) % int(w) for s, w in zip(x.shape[2:], sizes, strict=True)
    ):
        return g.add("AdaptivePooling", x, method=method, size=wanted)
    kernel = [int(s) // int(w) for s, w in zip(x.shape[2:], sizes, strict=True)]
    return x if kernel == [1, 1] else g.add("Pooling", x, method=method, kernel=kernel, stride=kernel)
