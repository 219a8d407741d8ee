"""Operators that multiply matrices: linear layers, attention, embeddings of their products."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..arithmetic import added_mask, binary, powered
from ..shape import permuted, reshaped
from ..value import Node, Unsupported, Value, as_stored
from .graph import TorchGraph
from .table import operator


@operator("linear", last=lambda x, *more: 1)
def linear(g: TorchGraph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    """y = x @ w.T + b, along the last axis."""
    if w.rank != 2:
        raise Unsupported(f"weights of {w.rank} dimensions: two wanted")
    return g.add("InnerProduct", x, w, b, axis=x.rank - 1)


@operator("addmm")
def addmm(
    g: TorchGraph, node: Node, b: Value, x: Value, w: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    """y = beta * b + alpha * x @ w"""
    y = powered(g, _product(g, x, w), scale=alpha)
    return (
        y
        if beta == 0
        else binary(g, "add", y, powered(g, b, scale=beta) if b.array is None or beta != 1 else b)
    )


@operator("matmul", "mm", "bmm", "mv")
def matmul(g: TorchGraph, node: Node, a: Value, b: Value) -> Value:
    return _product(g, a, b)


def _product(g: TorchGraph, a: Value, b: Value) -> Value:
    """numpy's rule: axes before the last two are broadcast; a vector is a row on the left, a column on the right."""
    if b.array is not None and b.rank == 2 and a.rank > 1:
        rows = np.ascontiguousarray(as_stored(g.numbers(b)).T)
        return g.add("InnerProduct", a, rows, axis=a.rank - 1)
    left = reshaped(g, a, (1, *a.shape)) if a.rank == 1 else a
    right = reshaped(g, b, (*b.shape, 1)) if b.rank == 1 else b
    y = g.add("MatMul", left, right)
    if a.rank == 1:
        y = reshaped(g, y, (*y.shape[:-2], y.shape[-1]))
    return reshaped(g, y, y.shape[:-1]) if b.rank == 1 else y


@operator("baddbmm")
def baddbmm(
    g: TorchGraph, node: Node, c: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    y = powered(g, g.add("MatMul", a, b), scale=alpha)
    return y if beta == 0 else binary(g, "add", y, powered(g, c, scale=beta) if beta != 1 else c)


@operator("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")
def attention(
    g: TorchGraph, node: Node, q: Value, k: Value, v: Value, mask: Value | None = None, dropout: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    """softmax(q @ k.T / sqrt(D) + mask) @ v        q: (..., L, D), k: (..., S, D), v: (..., S, E)"""
    if enable_gqa and not isinstance(q.shape[-3], Dim) and q.shape[-3] != k.shape[-3]:
        raise Unsupported("groups of queries share keys: repeat the keys in the module")
    factor = 1 / sqrt(int(q.shape[-1])) if scale is None else scale
    if is_causal:
        rows, columns = g.number(q.shape[-2]), g.number(k.shape[-2])
        mask = g.constant(np.tril(np.ones((rows, columns), bool)))
    return g.add("Attention", q, k, v, mask and added_mask(g, mask), scale=factor)


@operator("einsum")
def einsum(g: TorchGraph, node: Node, equation: str, xs: Sequence[Value], path: Any = None) -> Value:
    """Of two operands, as a product of matrices: shared axes first, then those that are summed."""
    left, _, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2 or "." in equation or not out or any(len(set(t)) != len(t) for t in (*terms, out)):
        raise Unsupported(f"{equation!r}: two operands, each letter once in each, are supported")
    a, b = terms
    batch = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    rows, columns = ([c for c in t if c not in other] for t, other in ((a, b), (b, a)))
    if any(c not in out for c in rows + columns):
        raise Unsupported(f"{equation!r}: sums over an axis of one operand alone")
    sizes = dict(zip(a + b, (*xs[0].shape, *xs[1].shape), strict=True))
    first = permuted(g, xs[0], [a.index(c) for c in (*batch, *rows, *summed)])
    second = permuted(g, xs[1], [b.index(c) for c in (*batch, *columns, *summed)])
    one = reshaped(g, first, [*_sizes(sizes, batch), _joined(sizes, rows), _joined(sizes, summed)])
    two = reshaped(g, second, [*_sizes(sizes, batch), _joined(sizes, columns), _joined(sizes, summed)])
    y = g.add("MatMul", one, two, transpose_b=True)
    named = batch + rows + columns
    y = reshaped(g, y, _sizes(sizes, named))
    return permuted(g, y, [named.index(c) for c in out])


def _sizes(sizes: dict[str, int], letters: Sequence[str]) -> list[int]:
    return [sizes[c] for c in letters]


def _joined(sizes: dict[str, int], letters: Sequence[str]) -> int:
    """The size of axes that become one; one symbolic size times 1 is itself."""
    result = 1
    for c in letters:
        result = sizes[c] if result == 1 and not isinstance(result, Dim) else result * sizes[c]
    return result
