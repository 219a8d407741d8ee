"""Convolution and its transpose, along one, two or three axes. A line is an image of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..shape import reshaped
from ..value import Node, Unsupported, Value
from .graph import operator


def numbers(node: Node, key: str, axes: int, default: int = 1) -> list[int]:
    """An attribute with one number for each axis."""
    given = list(node.get(key) or [default] * axes)
    if len(given) != axes:
        raise Unsupported(f"{key}={given}: {axes} numbers wanted")
    return given


def pads_of(g: Graph, node: Node, x: Value, window: Sequence[int]) -> tuple[int, ...]:
    """Padding of a window that moves over x, before every axis and then after; `window` counts its dilation in."""
    axes = len(window)
    rule = node.get("auto_pad", "NOTSET")
    if rule == "VALID":
        return (0,) * (2 * axes)
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        strides = numbers(node, "strides", axes)
        ends = [_same(g, s, k, t, rule) for s, k, t in zip(x.shape[2:], window, strides, strict=True)]
        return (*(e[0] for e in ends), *(e[1] for e in ends))
    given = numbers(node, "pads", 2 * axes, 0)
    if min(given) < 0:
        raise Unsupported(f"pads={given}: numbers from 0 wanted")
    return tuple(given)


def _same(g: Graph, size: int, window: int, stride: int, rule: str) -> tuple[int, int]:
    """Padding (before, after) so that ceil(size / stride) windows fit.

    Often 'before' is the same whatever the size: then window - 1 in all serves every size, and what is too much
    holds no window. Otherwise the padding is right for this size only.
    """
    odd = 1 if rule == "SAME_LOWER" else 0  # where the extra cell of an odd padding goes
    start = (max(0, window - stride) + odd) // 2  # where the last window ends as soon as it can
    if start == (max(0, window - 1) + odd) // 2:  # and as late
        return start, max(0, window - 1 - start)
    if isinstance(size, Dim):
        raise Unsupported(f"{rule} padding depends on the size {size}: give a number with shapes=")
    g.sizes_fixed = True
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    start = (total + odd) // 2
    return start, total - start


def spatial(x: Value) -> int:
    """How many axes of an image, a line or a volume there are. Raises Unsupported if there are none, or more."""
    if not 3 <= x.rank <= 5:
        raise Unsupported(
            f"its input has {x.rank} dimensions; (N,C,W), (N,C,H,W) and (N,C,D,H,W) are supported"
        )
    return x.rank - 2


def widened(g: Graph, x: Value, axes: int) -> Value:
    """A tensor or a constant with axes of size 1 put in before its spatial axes, until there are `axes` of them."""
    shape = [*x.shape[:2], *[1] * (axes - (x.rank - 2)), *x.shape[2:]]
    if x.array is None:
        return reshaped(g, x, shape)
    array = g.numbers(x).reshape(tuple(map(int, shape)))
    return x if array.shape == x.shape else Value.of(g.fresh(f"{x.name}/reshaped"), array)


def narrowed(g: Graph, y: Value, axes: int) -> Value:
    """The way back: without the first of the spatial axes, which are of size 1."""
    return reshaped(g, y, [*y.shape[:2], *y.shape[2 + (y.rank - 2 - axes) :]])


def widened_pads(pads: Sequence[int], more: int) -> tuple[int, ...]:
    """Padding with none along `more` axes in front."""
    half = len(pads) // 2
    return (*[0] * more, *pads[:half], *[0] * more, *pads[half:])


def _kernel(node: Node, x: Value, w: Value) -> list[int]:
    """The size of a convolution's window, which its weights have."""
    kernel = [int(k) for k in w.shape[2:]]
    if spatial(x) != len(kernel):
        raise Unsupported(f"its weights are {list(w.shape)} but its input has {x.rank} dimensions")
    if list(node.get("kernel_shape", kernel)) != kernel:
        raise Unsupported(f"kernel_shape={node.get('kernel_shape')} but its weights are {list(w.shape)}")
    return kernel


@operator("Conv")
def conv(g: Graph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    kernel = _kernel(node, x, w)
    axes = len(kernel)
    dilation, stride = numbers(node, "dilations", axes), numbers(node, "strides", axes)
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = pads_of(g, node, x, window)
    group, more = node.get("group", 1), 1 if axes == 1 else 0
    ones = [1] * more
    y = g.add(
        "Convolution3D" if axes == 3 else "Convolution", widened(g, x, axes + more), widened(g, w, axes + more), b,
        stride=ones + stride, dilation=ones + dilation, pad=widened_pads(pads, more), group=group,
    )  # fmt: skip
    return narrowed(g, y, axes)


@operator("ConvTranspose")
def conv_transpose(g: Graph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    return _transposed(g, node, x, w, b)


def _transposed(g: Graph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    kernel = _kernel(node, x, w)
    axes = len(kernel)
    extra = numbers(node, "output_padding", axes, 0)
    stride, dilation = numbers(node, "strides", axes), numbers(node, "dilations", axes)
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    rule, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is None and rule in ("NOTSET", "VALID"):
        pads = pads_of(g, node, x, window)
    else:
        begin, end = [0] * axes, [0] * axes
        for i, size in enumerate(x.shape[2:]):
            if wanted is None:  # SAME: size * stride comes out, whatever the size
                total = window[i] - stride[i] + extra[i]
            elif isinstance(size, Dim):
                raise Unsupported(
                    f"output_shape={wanted} fits only one size, but {size} may change: use shapes="
                )
            else:
                g.sizes_fixed = True
                total = (size - 1) * stride[i] + extra[i] + window[i] - wanted[len(wanted) - axes + i]
            extra[i] += max(0, -total)
            end[i] = max(0, total) // 2 if rule != "SAME_UPPER" else -(-max(0, total) // 2)
            begin[i] = max(0, total) - end[i]
        pads = (*begin, *end)
    more = 1 if axes == 1 else 0
    ones = [1] * more
    y = g.add(
        "Deconvolution3D" if axes == 3 else "Deconvolution", widened(g, x, axes + more), widened(g, w, axes + more), b,
        stride=ones + stride, dilation=ones + dilation, pad=widened_pads(pads, more), group=node.get("group", 1),
        output_pad=[0] * more + extra,
    )  # fmt: skip
    return narrowed(g, y, axes)


@operator("Col2Im")
def col2im(g: Graph, node: Node, x: Value, image: Value, block: Value) -> Value:
    """Every column spread into its window: a transposed convolution whose filters each have a single 1."""
    size = [int(s) for s in g.numbers(image, "its image_shape").reshape(-1)]
    kernel = [int(k) for k in g.numbers(block, "its block_shape").reshape(-1)]
    axes, cells = len(size), prod(kernel)
    if not 1 <= axes <= 3:
        raise Unsupported(f"its image has {axes} axes; 1, 2 or 3 are supported")
    dilation, stride = numbers(node, "dilations", axes), numbers(node, "strides", axes)
    pads = numbers(node, "pads", 2 * axes, 0)
    places, extra = [], []
    for i in range(axes):
        room = size[i] + pads[i] + pads[i + axes] - dilation[i] * (kernel[i] - 1) - 1
        places.append(room // stride[i] + 1)
        extra.append(room % stride[i])
    channels = int(x.shape[1]) // cells
    g.claim(4 * channels * cells * cells)
    filters = np.tile(np.eye(cells, dtype=np.float32), (channels, 1)).reshape(channels * cells, 1, *kernel)
    taken = reshaped(g, x, [x.shape[0], x.shape[1], *places])
    spread = Node("ConvTranspose", node.name, node.inputs[:1], node.outputs, {
        "strides": stride, "dilations": dilation, "pads": pads, "group": channels, "output_padding": extra,
    }, node.opset, node.source)  # fmt: skip
    return _transposed(g, spread, taken, Value.of(g.fresh(f"{node.name}/filters"), filters))
