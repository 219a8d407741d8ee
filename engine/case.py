"""case: a layer and inputs to try it on. What holds of a layer's reference and of every kernel is shown on cases.

Who registers layers registers a list of cases for them in `examples`; check_device runs all that there are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .layer import Layer
from .registry import Registry
from .tensor import Spec


@dataclass(frozen=True)
class Case:
    """A layer and the shapes of its inputs, None for one that is absent.

    batch     whether axis 0 of the first input (of all, for *xs) is the batch, and of no other
    positive  whether the inputs must be above 0
    dtypes    of the inputs, by number; fp32 where it says nothing
    below     whole numbers lie in 0..below-1: indices into an axis of that size
    ranges    (lowest, highest) of inputs whose numbers are to lie elsewhere, by number
    exact     whether kernels must give the reference's very bits
    given     inputs that must be just these numbers, by number: the shape of a result, a list of axes
    same      whether every input has the batch on axis 0
    kernel    False: by design no cpu kernel serves this layer, it runs by its reference
    """

    layer: Layer
    shapes: tuple[tuple[int, ...] | None, ...]
    batch: bool = True
    positive: bool = False
    dtypes: Mapping[int, str] = field(default_factory=dict)
    below: int = 5
    ranges: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    exact: bool = False
    given: Mapping[int, Any] = field(default_factory=dict)
    same: bool = False
    kernel: bool = True

    @property
    def batched(self) -> int:
        """How many of the inputs have the batch on axis 0: the first so many."""
        return len(self.shapes) if self.layer.variadic or self.same else 1

    def with_batch(self, n: int) -> Case:
        many = self.batched
        shapes = tuple(s and (n, *s[1:]) for s in self.shapes[:many]) + self.shapes[many:]
        return replace(self, shapes=shapes)

    @property
    def specs(self) -> list[Spec | None]:
        return [
            None if shape is None else Spec(shape, self.dtypes.get(i, "fp32"))
            for i, shape in enumerate(self.shapes)
        ]

    def arrays(self) -> list[np.ndarray | None]:
        """Inputs, the same at every call: about -3..3, or 0.1..3 where they must be positive."""
        random = np.random.default_rng(zlib.crc32(str(self).encode()))
        names = [*self.layer.parameters, *["xs"] * len(self.shapes)]
        arrays: list[np.ndarray | None] = []
        for i, (spec, name) in enumerate(zip(self.specs, names, strict=False)):
            if spec is None:
                arrays.append(None)
            elif i in self.given:
                arrays.append(np.asarray(self.given[i], spec.dtype.storage).reshape(spec.shape))
            elif spec.dtype.name != "fp32":
                low, high = self.ranges.get(i, (0, 1 if spec.dtype.name == "bool" else self.below - 1))
                arrays.append(random.integers(int(low), int(high) + 1, spec.shape).astype(spec.dtype.storage))
            else:
                low, high = self.ranges.get(i, (0.1 if self.positive or name == "var" else -3, 3))
                arrays.append(random.uniform(low, high, spec.shape).astype(np.float32))
        return arrays

    @property
    def numbers(self) -> int:
        """How many go into the layer."""
        return sum(spec.size for spec in self.specs if spec is not None)

    def results(self) -> tuple[Spec, ...]:
        """What the layer makes of its inputs."""
        wired = self.layer.replace(inputs=["?"] * len(self.shapes))
        return wired.infer_outputs(self.specs)

    @property
    def tolerance(self) -> float:
        """What check_layer is to allow."""
        return 0.0 if self.exact else 1e-5

    def __str__(self) -> str:
        dtypes = "".join(f",{i}:{name}" for i, name in self.dtypes.items())
        return f"{self.layer!r}{list(self.shapes)}{dtypes}".replace(" ", "")


examples: Registry[Callable[[], list[Case]]] = Registry("examples")
