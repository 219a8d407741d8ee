"""Operators that multiply by a matrix."""

from __future__ import annotations

from math import prod

import numpy as np

from ..value import Node, Unsupported, Value
from .graph import TFLiteGraph, activated, operator
from .moving import permuted, reshaped


@operator("FULLY_CONNECTED")
def fully_connected(g: TFLiteGraph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    """y = x @ w.T + b, w: (M, K). x is taken as rows of K numbers; with keep_num_dims its other axes stay."""
    if node["weights_format"]:
        raise Unsupported("its weights are shuffled")
    if w.rank != 2 or not x.rank:
        raise Unsupported(f"multiplies {x.spec} by {w.spec}")
    k = w.shape[1]
    if node["keep_num_dims"] or (x.rank == 2 and x.shape[1] == k):
        rows = x
    elif x.rank > 1 and prod(x.shape[1:]) == k:
        rows = g.add("Flatten", x, axis=1)
    else:
        rows = reshaped(g, x, [-1, k])
    if rows.rank == 1:
        y = g.add("InnerProduct", reshaped(g, rows, [1, k]), w, b, axis=1)
        return activated(g, node, reshaped(g, y, [w.shape[0]]))
    return activated(g, node, g.add("InnerProduct", rows, w, b, axis=rows.rank - 1))


@operator("BATCH_MATMUL")
def batch_matmul(g: TFLiteGraph, node: Node, a: Value, b: Value) -> Value:
    if a.rank < 2 or b.rank < 2:
        raise Unsupported(f"multiplies {a.spec} by {b.spec}")
    if node["adj_x"]:
        a = permuted(g, a, [*range(a.rank - 2), a.rank - 1, a.rank - 2])
    if (
        b.array is not None and b.rank == 2 and a.array is None
    ):  # a constant matrix on the right: a layer with weights
        rows = b.array if node["adj_y"] else np.ascontiguousarray(b.array.T)
        return g.add("InnerProduct", a, rows, axis=a.rank - 1)
    if min(a.rank, b.rank) == 2 or a.rank != b.rank:
        g.mixes(a, 0)
        g.mixes(b, 0)
    return g.add("MatMul", a, b, transpose_b=node["adj_y"])
