"""Convolution and its transpose, along one, two or three axes. Along one they are those of an image of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..shape import reshaped_value
from ..value import Node, Unsupported, Value
from .graph import TorchGraph
from .table import operator


def window(g: TorchGraph, given: Sequence[int] | int, axes: int, flat: int = 1) -> tuple[int, ...]:
    """A number for each axis; torch allows one for all. An image of height 1 has `flat` for its height."""
    numbers = [g.number(n) for n in ([given] if isinstance(given, int) else given)]
    wide = tuple(numbers * axes if len(numbers) == 1 else numbers)
    return (flat, *wide) if axes == 1 else wide


def axes_of(x: Value, least: int = 1) -> int:
    """Along how many axes a window moves over x. Raises Unsupported."""
    if not least + 2 <= x.rank <= 5:
        raise Unsupported(f"its input has {x.rank} dimensions: a batch of channels wanted, (N,C,...)")
    return x.rank - 2


def raised(g: TorchGraph, x: Value) -> Value:
    """(N,C,W) as an image of height 1; images as they are."""
    return reshaped_value(g, x, (*x.shape[:2], 1, x.shape[2])) if x.rank == 3 else x


def lowered(g: TorchGraph, y: Value, axes: int) -> Value:
    """What `raised` did undone, if it did anything."""
    return reshaped_value(g, y, (*y.shape[:2], y.shape[3])) if axes == 1 else y


@operator("conv1d", "conv2d", "conv3d", "convolution")
def conv(
    g: TorchGraph, node: Node, x: Value, w: Value, b: Value | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, *more: Any,
) -> Value:  # fmt: skip
    axes = axes_of(x)
    groups = more[-1] if more else 1
    if node.type == "convolution" and more[0]:
        return _deconvolution(g, x, w, b, stride, padding, more[1], groups, dilation)
    dilations = window(g, dilation, axes)
    w = raised(g, w)
    if padding == "valid":
        padding = 0
    if padding == "same":  # an odd rest goes behind
        total = [d * (int(k) - 1) for k, d in zip(w.shape[2:], dilations, strict=True)]
        pad = tuple([t // 2 for t in total] + [t - t // 2 for t in total])
    else:
        pad = window(g, padding, axes, 0) * 2
    kind = "Convolution3D" if axes == 3 else "Convolution"
    y = g.add(
        kind, raised(g, x), w, b, stride=window(g, stride, axes), pad=pad, dilation=dilations, group=groups
    )
    return lowered(g, y, axes)


@operator("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    g: TorchGraph, node: Node, x: Value, w: Value, b: Value | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Value:  # fmt: skip
    return _deconvolution(g, x, w, b, stride, padding, output_padding, groups, dilation)


def _deconvolution(
    g: TorchGraph, x: Value, w: Value, b: Value | None, stride: Any, padding: Any, extra: Any, groups: int,
    dilation: Any,
) -> Value:  # fmt: skip
    axes = axes_of(x)
    y = g.add(
        "Deconvolution3D" if axes == 3 else "Deconvolution", raised(g, x), raised(g, w), b,
        stride=window(g, stride, axes), pad=window(g, padding, axes, 0) * 2, dilation=window(g, dilation, axes),
        group=groups, output_pad=window(g, extra, axes, 0),
    )  # fmt: skip
    return lowered(g, y, axes)
