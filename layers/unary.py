"""Unary: the functions of one element that need no further number. Those with a name in Caffe are in activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Elementwise, layer
from ..engine.tensor import Spec

FLOATS, SIGNED, NUMBERS = "f", "fi", "fiu"
ASKING = ("isnan", "isinf", "isposinf", "isneginf")  # whose answer is bool

_erf = np.vectorize(math.erf, otypes=[np.float64])  # numpy has none

# operation: (numpy function, kinds of dtypes it takes)
UNARY: dict[str, tuple[Callable, str]] = {
    "neg": (np.negative, NUMBERS),
    "abs": (np.abs, NUMBERS),
    "sign": (np.sign, NUMBERS),
    "not": (np.invert, "biu"),
    "square": (np.square, NUMBERS),
    "sqrt": (np.sqrt, FLOATS),
    "rsqrt": (lambda x: 1 / np.sqrt(x), FLOATS),
    "reciprocal": (np.reciprocal, FLOATS),
    "floor": (np.floor, FLOATS),
    "ceil": (np.ceil, FLOATS),
    "round": (np.rint, FLOATS),
    "trunc": (np.trunc, FLOATS),
    "exp": (np.exp, FLOATS),
    "expm1": (np.expm1, FLOATS),
    "log": (np.log, FLOATS),
    "log1p": (np.log1p, FLOATS),
    "erf": (lambda x: _erf(x).astype(x.dtype), FLOATS),
    "sin": (np.sin, FLOATS),
    "cos": (np.cos, FLOATS),
    "tan": (np.tan, FLOATS),
    "asin": (np.arcsin, FLOATS),
    "acos": (np.arccos, FLOATS),
    "atan": (np.arctan, FLOATS),
    "sinh": (np.sinh, FLOATS),
    "cosh": (np.cosh, FLOATS),
    "asinh": (np.arcsinh, FLOATS),
    "acosh": (np.arccosh, FLOATS),
    "atanh": (np.arctanh, FLOATS),
    "softsign": (lambda x: x / (1 + np.abs(x)), FLOATS),
    "isnan": (np.isnan, FLOATS),
    "isinf": (np.isinf, FLOATS),
    "isposinf": (np.isposinf, FLOATS),
    "isneginf": (np.isneginf, FLOATS),
}


@layer("Unary")
class Unary(Elementwise):
    """y = operation(x)        x: (...) -> y: (...)

    operation  "neg" | "abs" | "sign" | "not" (of a truth, or of a whole number's bits) | "square" | "sqrt" | "rsqrt"
               "reciprocal" | "floor" | "ceil" | "round" (half to even) | "trunc"
               "exp" | "expm1" | "log" | "log1p" | "erf" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan"
               "sinh" | "cosh" | "asinh" | "acosh" | "atanh"
               "softsign"    x / (1 + |x|)
               "isnan" | "isinf" | "isposinf" | "isneginf"    y is bool

    ONNX Neg, Sqrt, ...
    """

    operation: str

    def check(self) -> None:
        if self.operation not in UNARY:
            known = ", ".join(map(repr, UNARY))
            raise AttributeValueError(f"{self}: operation is {self.operation!r}: give one of {known}")

    def infer(self, x: Spec) -> Spec:
        if x.dtype.storage.kind not in UNARY[self.operation][1]:
            raise ShapeError(f"x is {x}: there is no {self.operation!r} of {x.dtype}")
        return x.replace(dtype="bool" if self.operation in ASKING else x.dtype, quantization=None)

    def reference(self, x):
        with np.errstate(all="ignore"):  # the root of -1 is NaN, and that is the result
            return np.asarray(UNARY[self.operation][0](x))
