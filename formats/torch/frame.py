"""Frames and sizes of images: padding, resizing, channels that become pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..value import Node, Unsupported, Value
from .graph import TorchGraph
from .table import operator

LOWEST = float(np.finfo(np.float32).min)


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
    if x.rank != 4:
        raise Unsupported(f"its input has {x.rank} dimensions; images (N,C,H,W) are resized")
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
