"""Operators with a window: convolution, its transpose, pooling, padding, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..onnx.graph import Node, Unsupported, Value
from .graph import TorchGraph, operator

LOWEST = float(np.finfo(np.float32).min)


def _pair(given: Sequence[int] | int) -> tuple[int, int]:
    """One number for H and one for W; torch allows one for both."""
    numbers = (given,) if isinstance(given, int) else tuple(given)
    return (numbers[0], numbers[-1])


def _window(g: TorchGraph, *arguments: Sequence[int] | int) -> list[tuple[int, int]]:
    return [_pair([g.number(i) for i in ([a] if isinstance(a, int) else a)]) for a in arguments]


def _image(x: Value) -> None:
    if x.rank != 4:
        raise Unsupported(f"its input has {x.rank} dimensions; images (N,C,H,W) are supported")


@operator("conv2d", "conv2d.padding", "convolution")
def conv2d(
    g: TorchGraph, node: Node, x: Value, w: Value, b: Value | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, *more: Any,
) -> Value:  # fmt: skip
    _image(x)
    groups = more[-1] if more else 1
    if node.type == "convolution" and more[0]:
        return deconvolution(g, x, w, b, stride, padding, more[1], groups, dilation)
    strides, dilations = _window(g, stride, dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":  # an odd rest goes behind
        total = [d * (int(k) - 1) for k, d in zip(w.shape[2:], dilations, strict=True)]
        before = [t // 2 for t in total]
        pad = (*before, *[t - b for t, b in zip(total, before, strict=True)])
    else:
        pad = (*_pair(padding), *_pair(padding))
    return g.add("Convolution", x, w, b, stride=strides, pad=pad, dilation=dilations, group=groups)


@operator("conv_transpose2d")
def conv_transpose2d(
    g: TorchGraph, node: Node, x: Value, w: Value, b: Value | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Value:  # fmt: skip
    _image(x)
    return deconvolution(g, x, w, b, stride, padding, output_padding, groups, dilation)


def deconvolution(
    g: TorchGraph, x: Value, w: Value, b: Value | None, stride: Any, padding: Any, extra: Any, groups: int,
    dilation: Any,
) -> Value:  # fmt: skip
    return g.add(
        "Deconvolution", x, w, b,
        stride=_pair(stride), pad=(*_pair(padding), *_pair(padding)), dilation=_pair(dilation), group=groups,
        output_pad=_pair(extra),
    )  # fmt: skip


@operator("max_pool2d", "max_pool2d_with_indices")
def max_pool2d(
    g: TorchGraph, node: Node, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:  # fmt: skip
    _image(x)
    if _pair(dilation) != (1, 1):
        raise Unsupported(f"dilation={dilation}: pooling windows have no holes here")
    size, steps = _window(g, kernel, stride or kernel)
    y = g.add("Pooling", x, kernel=size, stride=steps, pad=_pair(padding) * 2, ceil=ceil_mode)
    return [y, None] if node.type == "max_pool2d_with_indices" else y


@operator("avg_pool2d")
def avg_pool2d(
    g: TorchGraph, node: Node, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Value:  # fmt: skip
    _image(x)
    size, steps = _window(g, kernel, stride or kernel)
    y = g.add(
        "Pooling", x,
        method="average", kernel=size, stride=steps, pad=_pair(padding) * 2, ceil=ceil_mode,
        count_pad=count_include_pad,
    )  # fmt: skip
    if divisor_override is None:
        return y
    if any(_pair(padding)) or ceil_mode:
        raise Unsupported("divisor_override beside padding: windows of full size are supported")
    return g.add("Power", y, scale=size[0] * size[1] / divisor_override)


@operator("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool2d(g: TorchGraph, node: Node, x: Value, output_size: Any) -> Any:
    """Windows of one size where the image's size is a multiple of the result's."""
    _image(x)
    method = "max" if "max" in node.type else "average"
    wanted = [g.number(s) if w is None else w for s, w in zip(x.shape[2:], _pair(output_size), strict=True)]
    if wanted == [1, 1]:
        y = g.add("Pooling", x, method=method, global_pooling=True)
    else:
        size = [g.number(s) for s in x.shape[2:]]
        if any(s % w for s, w in zip(size, wanted, strict=True)):
            if method == "max":
                raise Unsupported(f"from {size} to {wanted}: its windows differ in size")
            return _averages(g, _averages(g, x, wanted[0], 2), wanted[1], 3)
        kernel = [s // w for s, w in zip(size, wanted, strict=True)]
        y = x if kernel == [1, 1] else g.add("Pooling", x, method=method, kernel=kernel, stride=kernel)
    return [y, None] if method == "max" else y


def _averages(g: TorchGraph, x: Value, wanted: int, axis: int) -> Value:
    """Averages over windows that differ in size, along one axis: a product with a matrix of shares."""
    size = int(x.shape[axis])
    if size == wanted:
        return x
    shares = np.zeros((wanted, size), np.float32)
    for i in range(wanted):
        first, end = i * size // wanted, -(-(i + 1) * size // wanted)
        shares[i, first:end] = 1 / (end - first)
    turn = (0, 1, 3, 2)
    y = g.add("InnerProduct", x if axis == 3 else g.add("Permute", x, order=turn), shares, axis=3)
    return y if axis == 3 else g.add("Permute", y, order=turn)


@operator("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d")
def pad(g: TorchGraph, node: Node, x: Value, given: Sequence[int], *more: Any) -> Value:
    """torch names the last axis first: left, right, top, bottom, ..."""
    ends = [(g.number(given[i]), g.number(given[i + 1])) for i in range(0, len(given), 2)][::-1]
    mode, fill = "constant", 0.0
    if node.type == "pad":
        mode = more[0] if more else "constant"
        fill = more[1] if len(more) > 1 and more[1] is not None else 0.0
    elif node.type == "constant_pad_nd":
        fill = more[0] if more else 0.0
    else:
        mode = "reflect" if node.type.startswith("reflection") else "replicate"
    return padded(g, x, ends, {"replicate": "edge", "circular": "wrap"}.get(mode, mode), float(fill))


def padded(
    g: TorchGraph, x: Value, ends: Sequence[tuple[int, int]], mode: str = "constant", fill: float = 0.0
) -> Value:
    """x with (before, after) added to each of its last axes; what is negative is cut off."""
    first = x.rank - len(ends)
    for axis, (before, after) in enumerate(ends, first):
        if before < 0 or after < 0:
            end = -max(0, -after) or 2**31 - 1
            x = g.add("StridedSlice", x, starts=(max(0, -before),), ends=(end,), axes=(axis,))
    ends = [(max(0, b), max(0, a)) for b, a in ends]
    while ends and len(ends) > 1 and not any(ends[0]):
        ends = ends[1:]
    if not any(map(any, ends)):
        return x
    if len(ends) == 1 and x.rank > 1:
        ends = [(0, 0), *ends]
    pads = [b for b, _ in ends] + [a for _, a in ends]
    extra: dict[str, Any] = {} if mode == "constant" else {"mode": mode}
    return g.add("Pad", x, pads=pads, value=max(fill, LOWEST), **extra)


@operator("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest2d.vec",
          "upsample_bilinear2d.vec", "upsample_bicubic2d.vec")  # fmt: skip
def upsample(g: TorchGraph, node: Node, x: Value, size: Any, *more: Any) -> Value:
    """By a factor where torch was given one, or where the size is a whole multiple; else to a size."""
    _image(x)
    scale = more[-1] if node.get("overload", "").endswith(".vec") else None
    corners = bool(more[0]) if node.type != "upsample_nearest2d" else False
    method = {"upsample_nearest2d": "nearest", "upsample_bilinear2d": "linear"}.get(node.type, "cubic")
    given: dict[str, Any] = {"corners": True} if corners else {}
    sizes = [*x.shape[2:]]
    if scale is None and all(isinstance(s, Dim) for s in size):
        # (H*2, W*2): a size that follows the input's by a whole factor
        factors = [int(s) / int(old) for s, old in zip(size, sizes, strict=True)]
        if all(str(s) == f"{int(f)}*{old}" for s, old, f in zip(size, sizes, factors, strict=True)):
            scale = factors
    if scale is not None:
        return g.add("Resize", x, method=method, scale=tuple(float(s) for s in scale), **given)
    return g.add("Resize", x, method=method, size=tuple(g.number(s) for s in size), **given)


@operator("pixel_shuffle")
def pixel_shuffle(g: TorchGraph, node: Node, x: Value, factor: int) -> Value:
    return g.add("DepthToSpace", x, block=factor, mode="CRD")


@operator("pixel_unshuffle")
def pixel_unshuffle(g: TorchGraph, node: Node, x: Value, factor: int) -> Value:
    return g.add("SpaceToDepth", x, block=factor, mode="CRD")


@operator("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(g: TorchGraph, node: Node, x: Value, groups: int) -> Value:
    return g.add("ShuffleChannel", x, group=groups)
