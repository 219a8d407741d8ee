"""Operators that multiply by a matrix, and those that normalise."""

from __future__ import annotations

import numpy as np

from .arithmetic import binary, changed
from .graph import Graph, Node, Unsupported, Value, as_stored, is_one, operator
from .moving import permuted, reshaped


@operator("Gemm")
def gemm(g: Graph, node: Node, a: Value, b: Value, c: Value | None = None) -> Value:
    """y = alpha * A @ B + beta * C"""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if a.rank != 2 or b.rank != 2:
        raise Unsupported(f"multiplies {a.rank} by {b.rank} dimensions; two by two wanted")
    a = permuted(g, a, (1, 0)) if node.get("transA", 0) else a
    columns = int(b.shape[0] if node.get("transB", 0) else b.shape[1])
    w = _rows(g, b, node.get("transB", 0), alpha)
    bias = None
    if c is not None and beta != 0 and c.array is not None and c.array.size in (1, columns) and _is_row(c):
        numbers = np.float32(beta) * as_stored(g.numbers(c)).reshape(-1)
        bias = np.ascontiguousarray(np.broadcast_to(numbers, (columns,)))
    if b.array is None and alpha != 1:
        a = g.add("Power", a, scale=alpha)
    y = g.add("InnerProduct", a, w, bias, axis=1)
    if c is None or beta == 0 or bias is not None:
        return y
    if c.rank == 2 and c.shape == y.shape:
        return g.add("Eltwise", y, c, operation="sum", coeff=(1.0, beta))
    return binary(g, "add", y, c if beta == 1 else changed(g, c, lambda numbers: beta * numbers, scale=beta))


def _is_row(c: Value) -> bool:
    """True for a C that is the same for every row of the product."""
    return all(is_one(s) for s in c.shape[:-1])


def _rows(g: Graph, b: Value, transposed: bool, alpha: float = 1.0) -> Value | np.ndarray:
    """B as the weights of an InnerProduct, (M,K): one row an output."""
    if b.array is None:
        return b if transposed else permuted(g, b, (1, 0))
    if transposed and alpha == 1:
        return b
    g.claim(4 * b.array.size)
    numbers = as_stored(g.numbers(b))
    return np.ascontiguousarray(np.float32(alpha) * numbers if transposed else np.float32(alpha) * numbers.T)


@operator("MatMul")
def matmul(g: Graph, node: Node, a: Value, b: Value) -> Value:
    if b.rank > 2 and b.array is not None and all(s == 1 for s in b.shape[:-2]):
        b = Value(b.name, b.shape[-2:], array=g.numbers(b).reshape(b.shape[-2:]))
    if a.rank < 2 or b.rank != 2:
        raise Unsupported(f"multiplies {a.rank} by {b.rank} dimensions; a matrix on the right is supported")
    return g.add("InnerProduct", a, _rows(g, b, False), axis=a.rank - 1)


@operator("BatchNormalization")
def batch_normalization(
    g: Graph, node: Node, x: Value, scale: Value, b: Value, mean: Value, var: Value
) -> Value:
    if node.get("training_mode", 0):
        raise Unsupported("training_mode=1: export the net for inference")
    if not node.get("spatial", 1):
        raise Unsupported("spatial=0: statistics for each element are not supported")
    y = g.add("BatchNorm", x, mean, var, eps=node.get("epsilon", 1e-5))
    return g.add("Scale", y, scale, b, axis=1)


@operator("LRN")
def lrn(g: Graph, node: Node, x: Value) -> Value:
    given = {"alpha": node.get("alpha", 1e-4), "beta": node.get("beta", 0.75), "k": node.get("bias", 1.0)}
    return g.add("LRN", x, local_size=node.get("size"), **given)


@operator("Softmax")
def softmax(g: Graph, node: Node, x: Value) -> Value:
    """Before opset 13 everything from `axis` on is one axis."""
    axis = node.get("axis", 1 if node.opset < 13 else -1) % x.rank
    rest = x.shape[axis + 1 :]
    if node.opset >= 13 or all(map(is_one, rest)):
        return g.add("Softmax", x, axis=axis)
    flat = g.add("Flatten", x, axis=axis)
    return reshaped(g, g.add("Softmax", flat, axis=axis), x.shape)
