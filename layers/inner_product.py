"""InnerProduct: the fully connected layer."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import ShapeError
from ..engine.layer import Layer, activated, each_image_off_axis_0, layer
from ..engine.tensor import Spec


@layer("InnerProduct")
class InnerProduct(Layer):
    """y = x @ w.T + b        x: (N, K) or (N, ..., ...), w: (M, K), b: (M,) -> y: (N, M)

    All axes of x from `axis` on are flattened to K; those before it stay. caffe.proto InnerProductParameter.

    activation  type of an Elementwise layer applied to y, with its attributes in declared order
    """

    apart = each_image_off_axis_0

    axis: int = 1
    activation: str = ""
    activation_args: tuple[float, ...] = ()

    def check(self) -> None:
        activated(np.empty(0, np.float32), self.activation, self.activation_args)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        axis = x.axis(self.axis)
        if w.ndim != 2:
            raise ShapeError(f"w is {w} but weights are (M, K)")
        k = prod(x.shape[axis:])
        if w.shape[1] != k:
            raise ShapeError(f"x is {x} but w is {w}: w needs K={int(k)}")
        if b is not None and b.shape != w.shape[:1]:
            raise ShapeError(f"b is {b} but w is {w}: b needs shape [{w.shape[0]}]")
        return Spec((*x.shape[:axis], w.shape[0]), x.dtype)

    def reference(self, x, w, b=None):
        axis = self.axis % x.ndim
        y = x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:])) @ w.T
        if b is not None:
            y += b
        return activated(y.reshape(*x.shape[:axis], w.shape[0]), self.activation, self.activation_args)

    def macs(self, x: Spec, w: Spec, b: Spec | None = None) -> int:
        return prod(map(int, x.shape[: x.axis(self.axis)])) * w.size
