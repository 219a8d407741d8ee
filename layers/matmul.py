"""MatMul: the product of two computed matrices, as attention needs it."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec


@layer("MatMul")
class MatMul(Layer):
    """y = a @ b        a: (..., M, K), b: (..., K, N) -> y: (..., M, N)

    With `transpose_b`, y = a @ b.T for b: (..., N, K). All axes before the last two are the same in a and b: there
    is no broadcasting. ONNX MatMul; in attention (Vaswani et al. 2017, arXiv:1706.03762) both factors are
    computed. With constant weights it is an InnerProduct.
    """

    transpose_b: bool = False

    def infer(self, a: Spec, b: Spec) -> Spec:
        if a.ndim < 2 or a.ndim != b.ndim:
            raise ShapeError(f"a is {a} but b is {b}: both are matrices, in the same number of axes")
        if a.shape[:-2] != b.shape[:-2]:
            raise ShapeError(f"a is {a} but b is {b}: only their last two axes may differ")
        k, n = b.shape[-2:] if not self.transpose_b else b.shape[:-3:-1]
        if a.shape[-1] != k:
            raise ShapeError(f"a is {a} but b is {b}: b needs K={int(a.shape[-1])}")
        return Spec((*a.shape[:-1], n), a.dtype)

    def reference(self, a, b):
        return a @ (np.swapaxes(b, -1, -2) if self.transpose_b else b)

    def macs(self, a: Spec, b: Spec) -> int:
        return prod(map(int, self.infer(a, b).shape)) * int(a.shape[-1])
