"""Products of matrices: MatMul, Gemm, Einsum."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from ...engine.tensor import Dim
from ..arithmetic import added_mask, binary, changed
from ..graph import Graph
from ..shape import permuted, reshaped
from ..value import Node, Unsupported, Value, as_stored, dtype_name, is_floating, is_one
from .graph import operator


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
    return product(g, a, b)


def product(g: Graph, a: Value, b: Value) -> Value:
    """a @ b by numpy's rules: by constant weights an InnerProduct, else a MatMul. A vector is a matrix of one row."""
    if not is_floating(a, b):  # whole numbers: exact in fp32 up to 2**24
        whole = product(g, *(g.add("Cast", v, to="fp32") for v in (a, b)))
        return g.add("Cast", whole, to=dtype_name(a))
    if b.rank > 2 and b.array is not None and all(s == 1 for s in b.shape[:-2]) and b.rank <= a.rank:
        b = Value.of(b.name, g.numbers(b).reshape(b.shape[-2:]))
    if a.rank > 1 and b.rank == 2 and b.array is not None:
        return g.add("InnerProduct", a, _rows(g, b, False), axis=a.rank - 1)
    left = a if a.rank > 1 else reshaped_any(g, a, [1, *a.shape])
    right = b if b.rank > 1 else reshaped_any(g, b, [*b.shape, 1])
    y = g.add("MatMul", left, right)
    if a.rank > 1 and b.rank > 1:
        return y
    gone = ([y.rank - 2] if a.rank == 1 else []) + ([y.rank - 1] if b.rank == 1 else [])
    return reshaped(g, y, [s for i, s in enumerate(y.shape) if i not in gone])


def reshaped_any(g: Graph, x: Value, shape: Sequence[int]) -> Value:
    """A tensor or a constant in another shape."""
    if x.array is None:
        return reshaped(g, x, shape)
    array = g.numbers(x).reshape(tuple(map(int, shape)))
    return Value.of(g.fresh(f"{x.name}/reshaped"), array)


@operator("Attention")
def attention(
    g: Graph, node: Node, q: Value, k: Value, v: Value, mask: Value | None = None, *more: Value
) -> Value:
    """The plain kind; others are what the operator's definition says."""
    counts = {node.get(f"{name}_num_heads", 0) for name in ("q", "kv")}
    unusual = ("is_causal", "softcap", "qk_matmul_output_mode", "left_window_size", "right_window_size")
    if any(more) or len(node.outputs) > 1 or len(counts) > 1 or any(node.get(name, 0) for name in unusual):
        raise Unsupported("is more than softmax(scale * q @ k.T + mask) @ v")
    (count,) = counts if q.rank == 3 else (0,)
    size = q.shape[-1] // (count or 1)
    if not is_floating(q, k, v) or isinstance(size, Dim) or (q.rank == 4 and q.shape[1] != k.shape[1]):
        raise Unsupported("groups of queries share keys")
    truths = mask is not None and dtype_name(mask) == "bool"
    if (
        mask and truths and (mask.array is None or not mask.array.any(-1).all())
    ):  # it is 0 there, by ONNX's rule
        raise Unsupported(f"its mask {mask.name!r} may leave a row without keys")
    scale = node.get("scale", 1 / sqrt(int(size)))
    return g.add("Attention", q, k, v, mask and added_mask(g, mask), scale=scale, heads=count)


# -- Einsum: operands are brought in line and multiplied two at a time --------------------------------------------


@operator("Einsum")
def einsum(g: Graph, node: Node, *xs: Value) -> Value:
    terms, result = _terms(node.get("equation", ""), [x.rank for x in xs])
    held = [_diagonal(g, x, term) for x, term in zip(xs, terms, strict=True)]
    while len(held) > 1:
        (x, a), (y, b), *rest = held
        needed = set(result).union(*(term for _, term in rest))
        held = [_multiplied(g, x, a, y, b, needed), *rest]
    (x, term), *_ = held
    x, term = _summed(g, x, term, set(result))
    return permuted(g, x, [term.index(letter) for letter in result])


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The letters of every operand's axes, and of the result's. What '...' stands for gets names of digits."""
    text = equation.replace(" ", "")
    given, arrow, asked = text.partition("->")
    operands = given.split(",")
    if len(operands) != len(ranks):
        raise Unsupported(f"equation={equation!r} names {len(operands)} operands, but there are {len(ranks)}")
    wide = max(
        (r - len(o.replace("...", "")) for o, r in zip(operands, ranks, strict=True) if "..." in o), default=0
    )
    terms = []
    for operand, rank in zip(operands, ranks, strict=True):
        before, dots, after = operand.partition("...")
        hidden = rank - len(before) - len(after) if dots else 0
        if hidden < 0 or (not dots and rank != len(before)):
            raise Unsupported(f"equation={equation!r}: {operand!r} does not name {rank} axes")
        terms.append([*before, *map(str, range(wide - hidden, wide)), *after])
    if arrow:
        before, dots, after = asked.partition("...")
        return terms, [*before, *(map(str, range(wide)) if dots else ()), *after]
    letters = [letter for term in terms for letter in term if letter.isalpha()]
    return terms, [*map(str, range(wide)), *sorted(c for c in set(letters) if letters.count(c) == 1)]


def _diagonal(g: Graph, x: Value, term: list[str]) -> tuple[Value, list[str]]:
    """An operand whose letters differ: where one came twice, its diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            rest = [a for a in range(x.rank) if a not in (first, second)]
            size = int(x.shape[first])
            x = permuted(g, x, [first, second, *rest])
            x = reshaped_any(g, x, [size * size, *x.shape[2:]])
            x = g.add("Gather", x, np.arange(size) * (size + 1), axis=0)
            term = [letter, *(term[a] for a in rest)]
    return x, list(term)


def _summed(g: Graph, x: Value, term: list[str], needed: set[str]) -> tuple[Value, list[str]]:
    """An operand without the axes that nobody needs any more."""
    gone = [i for i, letter in enumerate(term) if letter not in needed]
    if not gone:
        return x, term
    return g.add("Reduction", x, operation="sum", axes=gone), [c for c in term if c in needed]


def _multiplied(
    g: Graph, x: Value, a: list[str], y: Value, b: list[str], needed: set[str]
) -> tuple[Value, list[str]]:
    """Two operands as one: (batch, M, K) @ (batch, K, N)."""
    x, a = _summed(g, x, a, needed | set(b))
    y, b = _summed(g, y, b, needed | set(a))
    batch = [c for c in a if c in b and c in needed]
    summed = [c for c in a if c in b and c not in needed]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    sizes = dict(zip(a, x.shape, strict=True)) | {
        c: s for c, s in zip(b, y.shape, strict=True) if not is_one(s)
    }
    if not summed:  # nothing is added up: element by element, with axes of size 1 where one has none
        x = reshaped_any(g, _ordered(g, x, a, batch + left), [*_sizes(x, a, batch + left), *[1] * len(right)])
        y = reshaped_any(
            g,
            _ordered(g, y, b, batch + right),
            [*_sizes(y, b, batch), *[1] * len(left), *_sizes(y, b, right)],
        )
        return g.add("Binary", x, y, operation="mul"), batch + left + right
    x = _matrices(g, x, a, (batch, left, summed))
    y = _matrices(g, y, b, (batch, summed, right))
    z = g.add("MatMul", x, y)
    return reshaped_any(g, z, [sizes[c] for c in batch + left + right]), batch + left + right


def _matrices(g: Graph, x: Value, term: list[str], groups: Sequence[list[str]]) -> Value:
    """x with its axes in three groups: those of the batch as they are, the others one axis each."""
    batch, rows, columns = groups
    x = _ordered(g, x, term, [*batch, *rows, *columns])
    ends = len(batch) + len(rows)
    merged = [_joined(x.shape[len(batch) : ends]), _joined(x.shape[ends:])]
    return reshaped_any(g, x, [*x.shape[: len(batch)], *merged])


def _joined(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product = size if is_one(product) else product * size
    return product


def _ordered(g: Graph, x: Value, term: list[str], wanted: list[str]) -> Value:
    return permuted(g, x, [term.index(letter) for letter in wanted])


def _sizes(x: Value, term: list[str], letters: list[str]) -> list[int]:
    return [x.shape[term.index(letter)] for letter in letters]
