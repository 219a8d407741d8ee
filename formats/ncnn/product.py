"""Types that multiply by a matrix."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from ...engine.errors import ConversionError
from .function import activated
from .graph import Source, ncnn
from .integers import integers_of


@ncnn("InnerProduct")
def inner_product(s: Source) -> str:
    """Of everything; or of each row of a matrix, if a row has as many numbers as there are weights for."""
    outputs, size, shape = s.integer(0), s.integer(2), s.shape
    if outputs < 1 or size % outputs:
        raise ConversionError(
            f"num_output is {outputs} and it says that it has {size} weights: they do not fit"
        )
    k = size // outputs
    axis = 2 if len(shape) == 3 and shape[2] == k else 1
    if prod(map(int, shape[axis:])) != k:
        raise ConversionError(f"has weights for K={k}, but its input is {s.graph.specs[s.x]}")
    w = s.weight("w", (outputs, k), fan_in=k, tagged=True)
    b = [s.weight("b", (outputs,))] if s.integer(1) else []
    given = integers_of(s, w, outputs, outputs)
    return given.result(activated(s, s.add("InnerProduct", given.x, given.w, *b, axis=axis)))


@ncnn("Gemm")
def gemm(s: Source) -> str:
    """alpha * (A @ B + beta * C), for constant B and C: an InnerProduct of each row of A."""
    outputs, k, kind = s.integer(8), s.integer(9), s.integer(10)
    plain = not s.integer(2) and not s.integer(4) and s.integer(5) and not s.integer(14) and not s.integer(11)
    has_c = s.integer(6) and kind != -1
    if not plain or len(s.shape) != 3 or (has_c and kind not in (0, 4)):
        raise ConversionError(
            "only A @ B + C with a constant B, and a C that is the same for every row, is supported"
        )
    alpha, beta, turned = s.number(0, 1.0), s.number(1, 1.0), bool(s.integer(3))
    b = s.weight("w", (outputs, k) if turned else (k, outputs), fan_in=k, tagged=True)
    c = s.weight("b", (1 if kind == 0 else outputs,), tagged=True) if has_c else None

    def weights() -> np.ndarray:
        stored = np.asarray(b.data)
        return np.float32(alpha) * (stored if turned else stored.T)

    def bias() -> np.ndarray:
        assert c is not None
        return np.broadcast_to(np.float32(alpha * beta) * np.asarray(c.data), (outputs,))

    w = b if turned and alpha == 1 else s.derived("w", (outputs, k), weights)
    rest = [s.derived("b", (outputs,), bias)] if c is not None else []
    return s.add("InnerProduct", s.x, w, *rest, axis=2)


@ncnn("MatMul")
def matmul(s: Source) -> str:
    a, b = map(s.computed, s.inputs)
    return s.add("MatMul", a, b, transpose_b=bool(s.integer(0)))


@ncnn("MultiHeadAttention")
def attention(s: Source) -> str:
    """softmax(scale * q @ k.T) @ v for each head, where q, k and v are products of the inputs, as is the result."""
    width, heads = s.integer(0), s.integer(1, 1)
    if s.integer(5) or s.integer(7):
        raise ConversionError("attention with a mask or a cache is not supported")
    if width < 1 or heads < 1 or width % heads or not 1 <= len(s.inputs) <= 3:
        raise ConversionError(f"embed_dim is {width}, num_heads {heads}, and it reads {len(s.inputs)} blobs")
    q_dim, k_dim, v_dim = s.integer(2) // width, s.integer(3, width), s.integer(4, width)
    q = s.inputs[0]
    k = s.inputs[min(1, len(s.inputs) - 1)]
    v = s.inputs[-1]
    parts = [
        _projected(s, s.computed(x), name, width, size)
        for name, x, size in (("q", q, q_dim), ("k", k, k_dim), ("v", v, v_dim))
    ]
    y = s.add("Attention", *parts, heads=heads, scale=s.number(6, 1 / sqrt(width // heads)))
    w = s.weight("out_w", (q_dim, width), fan_in=width, tagged=True)
    return s.add("InnerProduct", y, w, s.weight("out_b", (q_dim,)), axis=2)


def _projected(s: Source, x: str, name: str, width: int, size: int) -> str:
    """x (N, T, size) times weights: (N, T, width)."""
    w = s.weight(f"{name}_w", (width, size), fan_in=size, tagged=True)
    return s.add("InnerProduct", x, w, s.weight(f"{name}_b", (width,)), axis=2)
