"""MatMul: the product of two computed matrices, as attention needs it."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Dim, Spec


@layer("MatMul")
class MatMul(Layer):
    """y = a @ b        a: (..., M, K), b: (..., K, N) -> y: (..., M, N)

    With `transpose_b`, y = a @ b.T for b: (..., N, K). The axes before the last two are broadcast as numpy does it: one
    that is 1, or missing in front, is as large as the other's. ONNX MatMul; in attention (Vaswani et al. 2017,
    arXiv:1706.03762) both factors are computed. With constant weights it is an InnerProduct.
    """

    apart = each_image

    transpose_b: bool = False

    def infer(self, a: Spec, b: Spec) -> Spec:
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(f"a is {a} but b is {b}: both are matrices, with at least two axes")
        rank = max(a.ndim, b.ndim) - 2
        pairs = [(1,) * (rank + 2 - s.ndim) + s.shape[:-2] for s in (a, b)]
        if any(p != q and 1 not in (p, q) for p, q in zip(*pairs, strict=True)):
            raise ShapeError(f"a is {a} but b is {b}: their axes before the last two differ, and are not 1")
        # of two ones the one that may change
        batch = [p if p != 1 or (q == 1 and isinstance(p, Dim)) else q for p, q in zip(*pairs, strict=True)]
        k, n = b.shape[-2:] if not self.transpose_b else b.shape[:-3:-1]
        if a.shape[-1] != k:
            raise ShapeError(f"a is {a} but b is {b}: b needs K={int(a.shape[-1])}")
        return Spec((*batch, a.shape[-2], n), a.dtype)

    def reference(self, a, b):
        return a @ (np.swapaxes(b, -1, -2) if self.transpose_b else b)

    def macs(self, a: Spec, b: Spec) -> int:
        return prod(map(int, self.infer(a, b).shape)) * int(a.shape[-1])
