"""Operators with a window that moves over an image: convolution, pooling; and resizing, which has one too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..value import Node, Unsupported, Value
from .graph import TFLiteGraph, activated, operator
from .moving import turned, unturned

SAME, VALID = 0, 1


def plane(x: Value) -> tuple[int, int]:
    """H and W of an image of the file, (N,H,W,C)."""
    if x.rank != 4:
        raise Unsupported(f"its input is {x.spec}, but images are (N,H,W,C)")
    return x.shape[1], x.shape[2]


def pair(node: Node, key: str) -> tuple[int, int]:
    """An option with one number for H and one for W, both at least 1."""
    h, w = (node[key.format(h_w)] for h_w in "hw")
    if min(h, w) < 1:
        raise Unsupported(f"{key.format('')} is {h} x {w}")
    return h, w


def pads(
    g: TFLiteGraph, node: Node, size: Sequence[int], window: Sequence[int], stride: Sequence[int]
) -> tuple[int, ...]:
    """Padding (top, left, bottom, right) of a window, its dilation counted in, that moves over an image."""
    if node["padding"] == VALID:
        return (0, 0, 0, 0)
    if node["padding"] != SAME:
        raise Unsupported(f"the padding {node['padding']} is not known")
    (top, bottom), (left, right) = (same(g, *numbers) for numbers in zip(size, window, stride, strict=True))
    return (top, left, bottom, right)


def same(g: TFLiteGraph, size: int, window: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) so that ceil(size / stride) windows fit, the odd cell after.

    Often 'before' is the same whatever the size: then window - 1 in all serves every size, and what is too much
    holds no window. Otherwise the padding is right for this size only.
    """
    start = (window - 1) // 2  # the most, where the last window begins in the last cell
    if start == max(0, window - stride) // 2:  # the least, where it ends there
        return start, window - 1 - start
    g.sizes_fixed = True
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


def weights(g: TFLiteGraph, w: Value, order: Sequence[int]) -> np.ndarray:
    """A constant filter with its axes in another order."""
    if w.rank != 4:
        raise Unsupported(f"its filter is {w.spec}, but four axes are known")
    numbers = g.numbers(w, "its filter")
    g.claim(numbers.nbytes)
    return np.ascontiguousarray(numbers.transpose(order))


def extent(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """How many cells a filter spans, with its holes."""
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]


@operator("CONV_2D")
def conv(g: TFLiteGraph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    """w is (M,KH,KW,C/group): the groups are as many as its channels fit into x's."""
    size, stride, dilation = plane(x), pair(node, "stride_{}"), pair(node, "dilation_{}_factor")
    filters = weights(g, w, (0, 3, 1, 2))
    kernel = filters.shape[2:]
    if not filters.size or x.shape[3] % filters.shape[1]:
        raise Unsupported(f"its filter is {w.spec} but its input is {x.spec}")
    y = g.add(
        "Convolution", turned(g, x), filters, b,
        stride=stride, pad=pads(g, node, size, extent(kernel, dilation), stride), dilation=dilation,
        group=x.shape[3] // filters.shape[1],
    )  # fmt: skip
    return unturned(g, activated(g, node, y))


@operator("DEPTHWISE_CONV_2D")
def depthwise(g: TFLiteGraph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    """w is (1,KH,KW,C * multiplier): output c * multiplier + i sees input c."""
    size, stride, dilation = plane(x), pair(node, "stride_{}"), pair(node, "dilation_{}_factor")
    filters = weights(g, w, (3, 0, 1, 2))
    kernel = filters.shape[2:]
    y = g.add(
        "Convolution", turned(g, x), filters, b,
        stride=stride, pad=pads(g, node, size, extent(kernel, dilation), stride), dilation=dilation, group=x.shape[3],
    )  # fmt: skip
    return unturned(g, activated(g, node, y))


@operator("TRANSPOSE_CONV")
def transpose_conv(
    g: TFLiteGraph, node: Node, shape: Value, w: Value, x: Value, b: Value | None = None
) -> Value:
    """w is (M,KH,KW,C). The padding is that of the convolution which this one is the transpose of."""
    wanted = g.integers(shape, "its output's sizes")
    size, stride = plane(x), pair(node, "stride_{}")
    if len(wanted) != 4:
        raise Unsupported(f"its output's sizes are {wanted}: four are wanted")
    filters = weights(g, w, (3, 0, 1, 2))
    kernel = filters.shape[2:]
    cut = []
    for i in (0, 1):
        out = -(-wanted[1 + i] // stride[i])  # how many windows that convolution has: as many as x has cells
        total = max(0, (out - 1) * stride[i] + kernel[i] - wanted[1 + i]) if node["padding"] == SAME else 0
        before = total // 2
        cut.append((before, (size[i] - 1) * stride[i] + kernel[i] - before - wanted[1 + i]))
        g.sizes_fixed |= wanted[1 + i] != size[i] * stride[i] and node["padding"] == SAME
    return unturned(g, activated(g, node, deconvolved(g, x, filters, b, stride, cut)))


def deconvolved(
    g: TFLiteGraph,
    x: Value,
    filters: np.ndarray,
    b: Value | None,
    stride: Sequence[int],
    cut: Sequence[tuple[int, int]],
) -> Value:
    """A Deconvolution, (N,C,H,W); cut: what goes before and after of H and of W, less than 0 for what is added."""
    (top, bottom), (left, right) = cut
    return g.add(
        "Deconvolution", turned(g, x), filters, b,
        stride=stride, pad=(top, left, max(0, bottom), max(0, right)), output_pad=(max(0, -bottom), max(0, -right)),
    )  # fmt: skip


@operator("MAX_POOL_2D", "AVERAGE_POOL_2D")
def pool(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """An average counts the cells of the image alone."""
    size, stride = plane(x), pair(node, "stride_{}")
    kernel = node["filter_height"], node["filter_width"]
    if min(kernel) < 1:
        raise Unsupported(f"its window is {kernel}")
    average = node.type == "AVERAGE_POOL_2D"
    if node["padding"] == VALID and kernel == size:  # the image is the window, also when it is larger
        y = g.add("Pooling", turned(g, x), method="average" if average else "max", global_pooling=True)
    else:
        y = g.add(
            "Pooling", turned(g, x), method="average" if average else "max",
            kernel=kernel, stride=stride, pad=pads(g, node, size, kernel, stride), count_pad=False,
        )  # fmt: skip
    return unturned(g, activated(g, node, y))


@operator("L2_POOL_2D")
def l2_pool(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """The root of the average of the squares."""
    size, stride = plane(x), pair(node, "stride_{}")
    kernel = node["filter_height"], node["filter_width"]
    squares = g.add("Power", turned(g, x), power=2.0)
    y = g.add(
        "Pooling", squares, method="average",
        kernel=kernel, stride=stride, pad=pads(g, node, size, kernel, stride), count_pad=False,
    )  # fmt: skip
    return unturned(g, activated(g, node, g.add("Power", y, power=0.5)))


@operator("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(g: TFLiteGraph, node: Node, x: Value, size: Value) -> Value:
    """Where a pixel lies: half_pixel_centers at (i + 1/2) * step - 1/2, align_corners so that the corners' middles do.

    The old rule, with neither, is i * step.
    """
    old, new = plane(x), g.integers(size, "the new size")
    if len(new) != 2 or min(new) < 1 or max(new) > 1 << 20:
        raise Unsupported(f"the new size is {new}")
    half, corners = node["half_pixel_centers"], node["align_corners"]
    linear = node.type == "RESIZE_BILINEAR"
    attributes: dict[str, Any] = {"method": "linear" if linear else "nearest"}
    if all(n % o == 0 for n, o in zip(new, old, strict=True)) and not corners:  # then it is so for any size
        attributes["scale"] = [float(n // o) for n, o in zip(new, old, strict=True)]
    else:
        attributes["size"] = new
        g.sizes_fixed = True
    if corners and linear:
        attributes["corners"] = True
    elif corners:
        attributes |= {"coordinates": "align_corners", "rounding": "round_prefer_ceil"}
    elif half and not linear:
        attributes["coordinates"] = "tf_half_pixel_for_nn"
    elif linear and not half:
        attributes["coordinates"] = "asymmetric"
    return unturned(g, g.add("Resize", turned(g, x), **attributes))


@operator("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def blocks(g: TFLiteGraph, node: Node, x: Value) -> Value:
    plane(x)
    kind = "DepthToSpace" if node.type == "DEPTH_TO_SPACE" else "SpaceToDepth"
    return unturned(g, g.add(kind, turned(g, x), block=node["block_size"]))


@operator("LOCAL_RESPONSE_NORMALIZATION")
def lrn(g: TFLiteGraph, node: Node, x: Value) -> Value:
    """x / (bias + alpha * sum of x**2 over 2 * radius + 1 channels) ** beta"""
    plane(x)
    n = 2 * node["radius"] + 1
    numbers = {"alpha": node["alpha"] * n, "beta": node["beta"], "k": node["bias"]}
    return unturned(g, g.add("LRN", turned(g, x), local_size=n, **numbers))
