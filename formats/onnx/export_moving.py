"""The way out for layers that move numbers and leave them alone: reshape, transpose, cut, join, frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.layer import Layer
from ..value import Unsupported
from .writer import ONNX_TYPES, Value, Writer, written


@written("Flatten", "Reshape")
def reshape(w: Writer, layer: Layer, x: Value) -> str:
    old, new = x.spec.shape, w.output_spec().shape
    if layer.type == "Flatten" and len(new) == 2 and x.spec.axis(layer.axis) == 1:
        return w.node("Flatten", x, axis=1)
    return w.reshaped(x, old, new)


@written("Permute")
def permute(w: Writer, layer: Layer, x: Value) -> str:
    return w.node("Transpose", x, perm=list(layer.order))


@written("Concat")
def concat(w: Writer, layer: Layer, *xs: Value) -> str:
    return w.node("Concat", *xs, axis=xs[0].spec.axis(layer.axis))


@written("Slice")
def cut(w: Writer, layer: Layer, x: Value) -> Sequence[str]:
    axis, parts = x.spec.axis(layer.axis), len(layer.outputs)
    if parts == 1:
        return [w.node("Identity", x)]
    lengths = [w.size(w.output_spec(i).shape[axis]) for i in range(parts)] if layer.points else None
    return w.node("Split", x, None if lengths is None else np.array(lengths), outputs=parts, axis=axis)


@written("Pad")
def pad(w: Writer, layer: Layer, x: Value) -> str:
    padded = len(layer.pads) // 2
    none = [0] * (x.spec.ndim - padded)
    pads = np.array([*none, *layer.pads[:padded], *none, *layer.pads[padded:]])
    value = w.constant(layer.value)
    if x.spec.dtype.name not in ("fp32", "int64"):
        value = w.node("Cast", value, to=ONNX_TYPES[x.spec.dtype.name])
    return w.node("Pad", x, pads, value, mode=layer.mode)


@written("ShuffleChannel")
def shuffle_channel(w: Writer, layer: Layer, x: Value) -> str:
    n, c, *rest = x.spec.shape
    groups = (n, layer.group, w.size(c) // layer.group)
    y = w.reshaped(x, x.spec.shape, (*groups, *rest))
    y = w.node("Transpose", y, perm=[0, 2, 1, *range(3, 3 + len(rest))])
    return w.reshaped(y, (n, groups[2], groups[1], *rest), x.spec.shape)


@written("Resize")
def resize(w: Writer, layer: Layer, x: Value) -> str:
    scales = np.array([1, 1, *layer.scale], np.float32) if layer.scale else None
    sizes = None if layer.scale else w.sizes([*x.spec.shape[:2], *layer.size], x)
    usual = "asymmetric" if layer.method == "nearest" else "half_pixel"
    rule: dict[str, Any] = {
        "coordinate_transformation_mode": "align_corners" if layer.corners else layer.coordinates or usual
    }
    if layer.method == "nearest":
        rule["nearest_mode"] = layer.rounding
    if layer.method == "cubic":
        rule["cubic_coeff_a"] = layer.cubic
    if layer.exclude_outside:
        rule["exclude_outside"] = 1
    if layer.antialias:  # known from opset 18 on
        raise Unsupported("antialiasing is not exported")
    region = None
    if layer.region:
        top, left, bottom, right = layer.region
        region = np.array([0, 0, top, left, 1, 1, bottom, right], np.float32)
        rule["extrapolation_value"] = layer.outside
    return w.node("Resize", x, region, scales, sizes, mode=layer.method, **rule)


@written("Dropout")
def dropout(w: Writer, layer: Layer, x: Value | str) -> str:
    """Nothing is dropped when a net is run."""
    return x if isinstance(x, str) else x.name
