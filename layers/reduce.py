"""Many numbers become one: Reduction along axes; and CumSum, which keeps every sum on the way."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec

EXACT = ("sum", "prod", "max", "min", "asum", "sumsq")  # of whole numbers too; the others are of floats
REDUCTIONS = (*EXACT, "mean", "l2", "log_sum", "log_sum_exp")


@layer("Reduction")
class Reduction(Layer):
    """y = coeff * operation over axes of x        x: (..., K, ...) -> y: (..., ...), or (..., 1, ...) with keep_dims

    operation  "sum" | "mean" | "max" | "min" | "prod"
               "asum"    sum of |x|
               "sumsq"   sum of x**2; "l2" is its square root
               "log_sum" | "log_sum_exp"    log of sum of x, or of exp(x)
    axes       those that go; () is all of them

    Of nothing, a sum is 0, a product 1, a maximum the lowest number there is, a mean NaN. caffe.proto
    ReductionParameter, where `axis` stands for it and all behind it; ONNX ReduceSum, ...
    """

    apart = each_image

    operation: str = "sum"
    axes: tuple[int, ...] = ()
    keep_dims: bool = False
    coeff: float = 1.0

    def check(self) -> None:
        if self.operation not in REDUCTIONS:
            known = ", ".join(map(repr, REDUCTIONS))
            raise AttributeValueError(f"{self}: operation is {self.operation!r}: give one of {known}")

    def reduced(self, x: Spec) -> list[int]:
        """The axes of x that go, in order. Raises ShapeError."""
        axes = sorted(x.axis(a) for a in self.axes) or list(range(x.ndim))
        if len(set(axes)) != len(axes):
            raise ShapeError(f"x is {x} but axes {list(self.axes)} name one of its axes twice")
        return axes

    def infer(self, x: Spec) -> Spec:
        axes = self.reduced(x)
        kind = x.dtype.storage.kind
        whole_numbers = kind in "iu" and self.operation in EXACT and self.coeff == 1
        truths = kind == "b" and self.operation in ("max", "min")
        if kind != "f" and not whole_numbers and not truths:
            by = "" if self.coeff == 1 else f" times {self.coeff:g}"
            raise ShapeError(f"x is {x}: there is no {self.operation!r}{by} of {x.dtype}")
        if self.keep_dims:
            return Spec([1 if a in axes else s for a, s in enumerate(x.shape)], x.dtype)
        return Spec([s for a, s in enumerate(x.shape) if a not in axes], x.dtype)

    def reference(self, x):
        axes = tuple(sorted(a % x.ndim for a in self.axes)) or tuple(range(x.ndim))
        with np.errstate(all="ignore"):
            y = self._of(x, axes)
        y = y if self.coeff == 1 else y * self.coeff
        return np.asarray(y).astype(x.dtype)

    def _of(self, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        how = dict(axis=axes, keepdims=self.keep_dims)
        match self.operation:
            case "sum" | "log_sum":
                y = x.sum(**how)
            case "asum":
                y = np.abs(x).sum(**how)
            case "sumsq" | "l2":
                y = np.square(x).sum(**how)
            case "prod":
                y = x.prod(**how)
            case "mean":
                y = x.sum(**how) / np.prod([x.shape[a] for a in axes])
            case "max" | "min" as name:
                y = getattr(np, name)(x, initial=extreme(x.dtype, name), **how)
            case _:
                # the largest x is taken off first, and added again outside, so that exp cannot overflow
                top = x.max(axis=axes, keepdims=True, initial=-np.inf)
                top = np.where(np.isfinite(top), top, 0)
                y = np.log(np.exp(x - top).sum(**how)) + top.reshape(x.sum(**how).shape)
        return {"l2": np.sqrt, "log_sum": np.log}.get(self.operation, np.asarray)(y)


def extreme(dtype: np.dtype, operation: str) -> float | int | bool:
    """The number that no maximum (or minimum) of this dtype changes."""
    lowest = operation == "max"
    if dtype.kind == "f":
        return -np.inf if lowest else np.inf
    if dtype.kind == "b":
        return not lowest
    return int(np.iinfo(dtype).min if lowest else np.iinfo(dtype).max)


@layer("CumSum")
class CumSum(Layer):
    """y[i] = x[0] + ... + x[i] along `axis`        x: (...) -> y: (...)

    exclusive  without x[i] itself: y[0] is 0
    reverse    from the end: y[i] = x[i] + ... + x[last]

    ONNX CumSum.
    """

    axis: int = 0
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: Spec) -> Spec:
        x.axis(self.axis)
        if x.dtype.storage.kind == "b":
            raise ShapeError(f"x is {x}: there is no sum of {x.dtype}")
        return Spec(x.shape, x.dtype)

    def reference(self, x):
        x = np.flip(x, self.axis) if self.reverse else x
        y = np.cumsum(x, self.axis, dtype=x.dtype)
        y = y - x if self.exclusive else y
        return np.flip(y, self.axis) if self.reverse else y
