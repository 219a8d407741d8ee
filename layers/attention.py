"""Attention: every row of q gathers the rows of v whose keys it matches."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer, layers
from ..engine.rewrite import Constants, rewrite
from ..engine.tensor import Spec, broadcast


@layer("Attention")
class Attention(Layer):
    """y = softmax(scale * q @ k.T + mask) @ v        q: (..., L, D), k: (..., S, D), v: (..., S, E) -> y: (..., L, E)

    The softmax is along S. mask: (..., L, S) is added to the scores: 0 where a key counts, far below 0 where it does
    not. What is in front of the last two axes is broadcast. Vaswani et al. 2017, arXiv:1706.03762.

    scale  usually 1 / sqrt(D)
    heads  0; or that many attentions side by side: q: (N, L, heads*D), k: (N, S, heads*D), v: (N, S, heads*E), whose
           last axis is cut into heads -> y: (N, L, heads*E); then mask: (N, heads, L, S), or what it is broadcast from
    """

    scale: float = 1.0
    heads: int = 0

    def check(self) -> None:
        if self.heads < 0:
            raise AttributeValueError(f"{self}: heads is {self.heads}: give how many, or 0")

    def apart(self, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> bool:
        return min(q.ndim, k.ndim, v.ndim) > 2

    def infer(self, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> Spec:
        n, given = self.heads or 1, f"q is {q}, k {k} and v {v}"
        if min(q.ndim, k.ndim, v.ndim) < 2 or (self.heads and {q.ndim, k.ndim, v.ndim} != {3}):
            raise ShapeError(
                f"{given}: {'(N, L, heads*D) is' if self.heads else 'rows of numbers are'} wanted"
            )
        if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
            raise ShapeError(f"{given}: q and k have rows of one length, k and v as many rows")
        if q.shape[-1] % n or v.shape[-1] % n:
            raise ShapeError(f"{given}: they cannot be cut into {n} heads")
        batch = broadcast(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        if mask is not None:
            scores = (*batch, *((n,) if self.heads else ()), q.shape[-2], k.shape[-2])
            if tuple(map(int, broadcast(scores, mask.shape))) != tuple(map(int, scores)):
                raise ShapeError(f"mask is {mask}, which cannot be broadcast to the scores, {Spec(scores)}")
        return q.replace(shape=(*batch, q.shape[-2], v.shape[-1]))

    def reference(self, q, k, v, mask=None):
        shape = self.infer(*(None if a is None else Spec(a.shape) for a in (q, k, v, mask))).shape
        if self.heads:
            q, k, v = (a.reshape(*a.shape[:2], self.heads, -1).swapaxes(1, 2) for a in (q, k, v))
        scores = np.float32(self.scale) * (q @ np.swapaxes(k, -1, -2))
        if mask is not None:
            scores = scores + mask
        e = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
        y = (e / e.sum(-1, keepdims=True)) @ v
        return y.swapaxes(1, 2).reshape(shape) if self.heads else y

    def macs(self, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> int:
        batch = prod(map(int, broadcast(q.shape[:-2], k.shape[:-2], v.shape[:-2])))
        return batch * int(q.shape[-2]) * int(k.shape[-2]) * (int(q.shape[-1]) + int(v.shape[-1]))


@rewrite("Attention")
def attention_by_products(attention: Layer, constants: Constants) -> list[Layer]:
    """What devices compute: two products and a softmax, each by the kernels that there are for it."""
    q, k, v, mask = (*attention.inputs, "")[:4]
    made: list[Layer] = []

    def add(kind: str, part: str, *inputs: str, **attributes: object) -> str:
        name = f"{attention.name}/{part}"
        made.append(layers[kind](*inputs, name=name, outputs=[name], **attributes))
        return name

    def in_heads(x: str, part: str) -> str:
        cut = add("Reshape", f"{part}/heads", x, shape=(attention.heads, -1), axis=2, num_axes=1)
        return add("Permute", part, cut, order=(0, 2, 1, 3))

    if attention.heads:
        q, k, v = in_heads(q, "q"), in_heads(k, "k"), in_heads(v, "v")
    if attention.scale != 1:
        q = add("Power", "scaled", q, scale=attention.scale)
    scores = add("MatMul", "scores", q, k, transpose_b=True)
    if mask:
        scores = add("Binary", "masked", scores, mask, operation="add")
    y = add("MatMul", "sums", add("Softmax", "shares", scores, axis=-1), v)
    if attention.heads:
        add("Flatten", "joined", add("Permute", "back", y, order=(0, 2, 1, 3)), axis=2)
    return made
