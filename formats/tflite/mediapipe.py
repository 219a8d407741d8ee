"""MediaPipe's own operators, by their public sources (mediapipe/util/tflite/operations).

A face net finds landmarks, works out from some of them where the eyes and the mouth are and how they are turned, cuts
these out of its features, finds finer landmarks there, and carries those back. The matrices, (N,4,4), take a place
(x, y, 0, 1) of a cut-out to its place in the image: [[M, 0, t], [0, 1]], with M 2 x 2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import cos, sin
from typing import Any

import numpy as np

from .. import flexbuffer
from ..value import Node, Unsupported, Value
from .graph import TFLiteGraph, operator
from .moving import reshaped, turned, unturned
from .window import deconvolved, plane, weights

SAME = 1  # TfLitePadding, which has 0 for 'unknown'


@operator("Convolution2DTransposeBias")
def transpose_conv_bias(g: TFLiteGraph, node: Node, x: Value, w: Value, b: Value) -> Value:
    """A transposed convolution by w: (M,KH,KW,C), with a bias. Its options are a C struct: padding, strides w and h."""
    if node.source.custom is None or len(node.source.custom) < 12:
        raise Unsupported("its options are not the 12 bytes of padding and strides")
    padding, *given = struct.unpack_from("<3i", node.source.custom)
    size, stride = plane(x), given[::-1]
    if not 1 <= min(stride) <= max(stride) < 1 << 16:
        raise Unsupported(f"its strides are {stride}")
    filters = weights(g, w, (3, 0, 1, 2))
    cut = []
    for i in (0, 1):
        total = max(0, filters.shape[2 + i] - (size[i] - 1) % stride[i] - 1) if padding == SAME else 0
        g.sizes_fixed |= padding == SAME and filters.shape[2 + i] > 1 and stride[i] > 1
        cut.append((total // 2, total - total // 2))
    return unturned(g, deconvolved(g, x, filters, b, stride, cut))


@operator("Landmarks2TransformMatrix")
def landmarks_to_matrix(g: TFLiteGraph, node: Node, landmarks: Value) -> Value:
    """Of landmarks (N,K,3): the matrix of an upright box around a subset of them, turned as left -> right is.

    u is the unit vector from left to right, r = target - its angle. The subset, turned by r, has a box of `size` around
    `middle`; then M = R(-r) * diag(scale * size / output), and t puts the middle of the cut-out on the box's.
    """
    o = _options(node)
    wide, high = int(o["output_width"]), int(o["output_height"])
    if landmarks.rank != 3 or landmarks.shape[2] < 2 or min(wide, high) < 1:
        raise Unsupported(f"its input is {landmarks.spec}; landmarks are (N,K,3)")
    left, right = (int(o[f"{side}_rotation_idx"]) for side in ("left", "right"))
    places = np.array(o["subset_idxs"], np.int64).reshape(-1)
    if not places.size or min(left, right, *places) < 0 or max(left, right, *places) >= landmarks.shape[1]:
        raise Unsupported(f"it names landmarks beyond the {landmarks.shape[1]} of its input")
    flat = _taken(g, landmarks, 2, 0, 2)
    d = g.add(
        "Eltwise", _taken(g, flat, 1, right, right + 1), _taken(g, flat, 1, left, left + 1), coeff=(1.0, -1.0)
    )
    length = g.add("Reduction", d, operation="l2", axes=(2,), keep_dims=True)
    u = g.add("Binary", d, length, operation="div")
    c, s = cos(o["target_rotation_radians"]), sin(o["target_rotation_radians"])
    # [cos r, sin r, -sin r, cos r] of u: the transpose of the rotation by r, for rows of places
    turn = np.array([[c, s], [s, -c], [-s, c], [c, s]], np.float32)
    rotation = reshaped(g, g.add("InnerProduct", u, turn, axis=2), [landmarks.shape[0], 2, 2])
    upright = g.add("MatMul", g.add("Gather", flat, places, axis=1), rotation)
    most = g.add("Reduction", upright, operation="max", axes=(1,), keep_dims=True)
    least = g.add("Reduction", upright, operation="min", axes=(1,), keep_dims=True)
    size = g.add("Eltwise", most, least, coeff=(1.0, -1.0))
    middle = g.add("MatMul", g.add("Eltwise", most, least, coeff=(0.5, 0.5)), rotation, transpose_b=True)
    zoom = np.array([o["scale_x"] / wide, o["scale_y"] / high], np.float32)
    m = g.add("Binary", rotation, g.add("Scale", size, zoom, axis=2), operation="mul")
    half = g.add("InnerProduct", m, np.array([[-wide / 2, -high / 2]], np.float32), axis=2)
    t = g.add("Eltwise", reshaped(g, middle, [landmarks.shape[0], 2, 1]), half)
    rows = g.add(
        "InnerProduct", g.add("Concat", m, t, axis=2), np.eye(4, 3, dtype=np.float32)[[0, 1, 3, 2]], axis=2
    )
    below = np.diag([0, 0, 1, 1]).astype(np.float32)
    return g.add("Bias", g.add("Pad", rows, pads=(0, 0, 2, 0)), below, axis=1)


@operator("TransformLandmarks")
def transform_landmarks(g: TFLiteGraph, node: Node, landmarks: Value, matrix: Value) -> Value:
    """(x, y) of each landmark (N,K,2) becomes M (x, y) + t; a z stays."""
    m, t = _parts(g, matrix)
    if landmarks.rank != 3 or landmarks.shape[2] not in (2, 3):
        raise Unsupported(f"its input is {landmarks.spec}; landmarks are (N,K,2) or (N,K,3)")
    flat = _taken(g, landmarks, 2, 0, 2)
    moved = g.add("MatMul", flat, m, transpose_b=True)
    y = g.add("Binary", moved, reshaped(g, t, [matrix.shape[0], 1, 2]), operation="add")
    return y if landmarks.shape[2] == 2 else g.add("Concat", y, _taken(g, landmarks, 2, 2, 3), axis=2)


@operator("TransformTensorBilinear")
def transform_tensor(g: TFLiteGraph, node: Node, x: Value, matrix: Value) -> Value:
    """y[i, j] = x, between its pixels, at M (j + 1/2, i + 1/2) + t - 1/2; 0 beyond the middles of the outer pixels."""
    o, (h, w) = _options(node), plane(x)
    wide, high = int(o["output_width"]), int(o["output_height"])
    if not (min(wide, high) >= 1 and max(wide, high) < 1 << 14 and min(h, w) > 1):
        raise Unsupported(f"cuts {high} x {wide} out of {x.spec}")
    g.sizes_fixed = True
    m, t = _parts(g, matrix)
    across, down = np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5)
    middles = np.stack([across, down, np.ones_like(down)], -1).reshape(-1, 3).astype(np.float32)
    at = g.add("InnerProduct", g.add("Concat", m, t, axis=2), middles, axis=2)  # (N, 2, places)
    unit = np.array([2 / (w - 1), 2 / (h - 1)], np.float32)  # to -1..1 between the outer pixels' middles
    at = g.add("Scale", at, unit, -unit / 2 - 1, axis=1)
    far = g.add("Reduction", g.add("AbsVal", at), operation="max", axes=(1,), keep_dims=True)
    inside = g.add(
        "Cast", g.add("Compare", far, np.ones((1, 1, 1), np.float32), operation="less_equal"), to="fp32"
    )
    grid = reshaped(g, g.add("Permute", at, order=(0, 2, 1)), [x.shape[0], high, wide, 2])
    y = g.add("GridSample", turned(g, x), grid, corners=True)
    return unturned(g, g.add("Binary", y, reshaped(g, inside, [x.shape[0], 1, high, wide]), operation="mul"))


def _options(node: Node) -> dict[str, Any]:
    """A custom operator's options, which MediaPipe writes as a FlexBuffer map."""
    found = flexbuffer.decode(node.source.custom or b"")
    if not isinstance(found, dict):
        raise Unsupported("its options are no map")
    return found


def _parts(g: TFLiteGraph, matrix: Value) -> tuple[Value, Value]:
    """M (N,2,2) and t (N,2,1) of matrices (N,4,4)."""
    if matrix.rank != 3 or matrix.shape[1:] != (4, 4):
        raise Unsupported(f"its matrix is {matrix.spec}; (N,4,4) wanted")
    rows = _taken(g, matrix, 1, 0, 2)
    return _taken(g, rows, 2, 0, 2), _taken(g, rows, 2, 3, 4)


def _taken(g: TFLiteGraph, x: Value, axis: int, start: int, end: int) -> Value:
    """x[start:end] along an axis."""
    whole: Sequence[int] = (start, end)
    return (
        x
        if whole == (0, x.shape[axis])
        else g.add("StridedSlice", x, starts=[start], ends=[end], axes=[axis])
    )
