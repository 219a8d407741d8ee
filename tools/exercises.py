"""The course's exercises: what a student's layer is called, what it has to compute, and beside whom it is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..engine.errors import InputError, did_you_mean
from ..engine.layer import Layer, layers

Shapes = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Exercise:
    """A layer for a student to write.

    type        what it is to be registered as
    formula     what it computes, and the shapes
    attributes  the values that it is tried with; each is to be declared
    shapes      of the inputs of each trial; those that loops get wrong are among them
    race        of the inputs of the speed test
    dtype       of the first input; the others are fp32 weights
    ours        type and attributes of the layer of fbnet's that it is timed beside, and which defines it
    defines     False: `ours` is only as fast as this could be; `wanted` says what is right
    lesson      which lesson it belongs to
    hint        where people get stuck
    """

    type: str
    formula: str
    shapes: Sequence[Shapes]
    race: Shapes
    ours: tuple[str, Mapping[str, Any]]
    lesson: str
    hint: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    defines: bool = True

    def yardstick(self) -> Layer:
        """fbnet's own layer."""
        name, attributes = self.ours
        return layers[name](**attributes)

    def arrays(self, shapes: Shapes, seed: int = 0) -> list[np.ndarray]:
        """Inputs of these shapes: about -8 to 8, or every int8."""
        random = np.random.default_rng(seed)
        if self.dtype == "int8":
            return [random.integers(-128, 128, shape).astype(np.int8) for shape in shapes]
        return [(random.standard_normal(shape) * 3).astype(np.float32) for shape in shapes]

    def wanted(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What is right."""
        if self.defines:
            return self.yardstick().compute(arrays)[0]
        (x,) = arrays
        return np.where(np.abs(x) > np.float32(self.attributes["lambd"]), x, np.float32(0))  # hard_shrink


_ANY = (((1,),), ((7,),), ((13, 127),), ((0, 3),), ((2, 16, 8, 9),))


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise, in the order of the lessons."""
    return {
        "softsign": Exercise(
            "MySoftsign", "y = x / (1 + |x|)        x: (...) -> y: (...)",
            _ANY, [(1 << 18,)], ("Unary", {"operation": "softsign"}), "02-layer",
            "An Elementwise layer needs no infer, and its kernel no loop over axes: x and y come flat.",
        ),
        "inner_product": Exercise(
            "MyInnerProduct", "y = x @ w.T + b        x: (N, K), w: (M, K), b: (M,) -> y: (N, M)",
            [((1, 1), (1, 1), (1,)), ((3, 7), (5, 7), (5,)), ((2, 127), (13, 127), (13,)), ((4, 64), (80, 64), (80,))],
            [(8, 512), (512, 512), (512,)], ("InnerProduct", {}), "07-kernel",
            "A dot product adds up in order, each after the one before. Several at a time do not wait.",
        ),
        "max_pool": Exercise(
            "MyMaxPool", "y = max of x over each 2 x 2 window, in steps of 2        x: (N,C,H,W) -> y: (N,C,H//2,W//2)",
            [((1, 1, 2, 2),), ((2, 3, 8, 6),), ((1, 5, 14, 26),), ((3, 16, 4, 4),)],
            [(1, 64, 56, 56)], ("Pooling", {"kernel": (2, 2), "stride": (2, 2)}), "07-kernel",
            "H and W are even here. Share out images and channels among the threads, not rows.",
        ),
        "softmax": Exercise(
            "MySoftmax", "y = exp(x) / sum of exp(x) along axis 1        x: (N, C) -> y: (N, C)",
            [((1, 1),), ((3, 7),), ((5, 127),), ((2, 1000),)],
            [(64, 1000)], ("Softmax", {}), "07-kernel",
            "exp(1000) is infinite. exp(x - largest) is not.",
        ),
        "requantize": Exercise(
            "MyRequantize", "y = clamp(rint((x - 3) * m) + zero)        x: int8 (...) -> y: int8 (...)",
            _ANY, [(1 << 16,)],
            ("Requantize", {"x_zero": 3, "multiplier": 0.625, "scale": 0.1, "zero": -5}), "08-int8",
            "m is 0.625 and zero is -5. infer says Spec(x.shape, 'int8'). Halves go to the even number.",
            dtype="int8",
        ),
        "hard_shrink": Exercise(
            "MyHardShrink", "y = x if |x| > lambd else 0        x: (...) -> y: (...)",
            _ANY, [(1 << 18,)], ("ReLU", {}), "10-layer",
            "lambd is an attribute, a float. It is timed beside ReLU, which does as little.",
            attributes={"lambd": 1.5}, defines=False,
        ),
    }  # fmt: skip


def exercise(name: str) -> Exercise:
    """The exercise called `name`. Raises InputError, with the closest name."""
    if name not in exercises():
        known = ", ".join(exercises())
        raise InputError(
            f"there is no exercise {name!r}.{did_you_mean(name, exercises())} There are: {known}"
        )
    return exercises()[name]
