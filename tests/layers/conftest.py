"""Layers on awkward shapes, a table that tests of references and kernels share."""

from __future__ import annotations

import runpy
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fbnet.engine.layer import Layer
from fbnet.engine.settings import waiting_for_all_threads
from fbnet.engine.tensor import Spec
from fbnet.layers.activation import (
    BNLL,
    ELU,
    GELU,
    AbsVal,
    Clip,
    Dropout,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Swish,
    TanH,
)
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.conv import Convolution, Deconvolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.layout import Reorder
from fbnet.layers.norm import LRN, MVN, BatchNorm, Bias, LayerNorm, Scale
from fbnet.layers.pool import Pooling
from fbnet.layers.reshape import Flatten, Pad, Permute, Reshape, ShuffleChannel
from fbnet.layers.resize import Resize
from fbnet.layers.softmax import Softmax


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
                arrays.append(random.integers(low, high + 1, spec.shape).astype(spec.dtype.storage))
            else:
                low, high = self.ranges.get(i, (0.1 if self.positive or name == "var" else -3, 3))
                arrays.append(random.uniform(low, high, spec.shape).astype(np.float32))
        return arrays

    @property
    def tolerance(self) -> float:
        """What check_layer is to allow."""
        return 0.0 if self.exact else 1e-5

    def __str__(self) -> str:
        dtypes = "".join(f",{i}:{name}" for i, name in self.dtypes.items())
        return f"{self.layer!r}{list(self.shapes)}{dtypes}".replace(" ", "")


def _cases() -> list[Case]:
    def case(layer: Layer, *shapes: tuple[int, ...] | None, **flags: bool) -> Case:
        return Case(layer, shapes, **flags)

    def average(**attributes) -> Pooling:
        return Pooling(method="average", **attributes)

    functions = [
        ReLU(),
        ReLU(negative_slope=0.1),
        Sigmoid(),
        TanH(),
        ELU(),
        ELU(alpha=0.5),
        Clip(min=0, max=1),
    ]
    functions += [Clip(), AbsVal(), BNLL(), Dropout(), Exp(), Exp(base=2, scale=0.5, shift=1)]
    functions += [Power(), Power(scale=2, shift=-1), Power(power=2, shift=1), Power(power=3)]
    functions += [
        HardSigmoid(),
        HardSigmoid(alpha=0.2, beta=0.3),
        HardSwish(),
        HardSwish(alpha=0.2, beta=0.4),
    ]
    functions += [Swish(), Swish(beta=1.5), Mish(), GELU(), GELU(approximate=True)]
    roots = [Log(), Log(base=10, scale=2, shift=1), Power(power=0.5), Power(power=-1.5, scale=2, shift=0.5)]
    return [
        *[case(f, shape) for f in functions for shape in ((2, 3, 7, 13), (1, 127))],
        *[case(f, shape, positive=True) for f in roots for shape in ((2, 3, 7, 13), (1, 127))],
        case(PReLU(), (2, 7, 13, 3), (7,)),
        case(PReLU(), (2, 7, 13, 3), (1,)),
        case(PReLU(), (3, 127), (127,)),
        case(Convolution(), (1, 1, 1, 1), (1, 1, 1, 1)),
        case(Convolution(pad=(1, 1, 1, 1)), (2, 3, 13, 7), (5, 3, 3, 3), (5,)),
        case(Convolution(stride=(2, 3), pad=(0, 1, 2, 3)), (2, 7, 13, 13), (4, 7, 5, 3), (4,)),
        case(Convolution(dilation=(2, 3), group=2, activation="ReLU"), (1, 4, 13, 13), (6, 2, 3, 3), (6,)),
        case(Convolution(group=7, pad=(1, 1, 1, 1)), (1, 7, 127, 1), (7, 1, 3, 3)),
        # large enough for either of Winograd's tiles wherever a vector has 4 lanes
        case(Convolution(pad=(1, 1, 1, 1)), (1, 5, 14, 15), (7, 5, 3, 3), (7,)),
        case(Convolution(activation="Clip", activation_args=(-1,)), (1, 3, 7, 7), (2, 3, 3, 3)),
        case(Convolution(activation="Clip", activation_args=(0, 6)), (1, 3, 7, 7), (2, 3, 3, 3)),
        case(Convolution(activation="ELU", activation_args=(0.5,)), (1, 3, 7, 7), (2, 3, 7, 7), (2,)),
        case(Deconvolution(), (1, 1, 1, 1), (1, 1, 1, 1)),
        case(Deconvolution(stride=(2, 2), pad=(1, 1, 1, 1)), (2, 3, 7, 13), (3, 5, 4, 4), (5,)),
        case(Deconvolution(stride=(2, 3), pad=(0, 1, 2, 3), output_pad=(1, 2)), (2, 4, 7, 7), (4, 3, 5, 4)),
        case(Deconvolution(stride=(1, 2), dilation=(2, 3), group=2), (1, 4, 7, 1), (4, 3, 3, 3), (6,)),
        case(Deconvolution(group=7, stride=(4, 4), pad=(2, 2, 2, 2)), (1, 7, 13, 13), (7, 1, 8, 8)),
        case(InnerProduct(), (1, 1), (1, 1)),
        case(InnerProduct(), (2, 7, 13), (127, 91), (127,)),
        case(InnerProduct(axis=2, activation="ReLU", activation_args=(0.1,)), (2, 7, 13), (5, 13), (5,)),
        case(InnerProduct(axis=-1), (2, 3, 4, 5), (6, 5)),
        case(Pooling(), (1, 1, 1, 1)),
        case(Pooling(kernel=(2, 2), stride=(2, 2)), (2, 3, 127, 13)),
        case(Pooling(kernel=(3, 3), stride=(2, 2), ceil=True), (2, 3, 13, 7)),
        case(Pooling(kernel=(3, 2), stride=(2, 3), pad=(1, 0, 2, 1), ceil=True), (1, 3, 13, 13)),
        case(Pooling(kernel=(3, 3), pad=(1, 1, 1, 1)), (1, 2, 1, 1)),
        case(Pooling(kernel=(2, 2), stride=(3, 3), ceil=True), (1, 2, 7, 8)),
        case(average(kernel=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1), ceil=True), (2, 3, 13, 8)),
        case(average(kernel=(3, 3), pad=(1, 1, 1, 1), count_pad=False), (1, 2, 7, 1)),
        case(average(kernel=(3, 2), stride=(2, 2), pad=(2, 0, 1, 1), count_pad=False), (1, 3, 13, 7)),
        case(average(kernel=(3, 3), stride=(2, 2), ceil=True, count_pad=False), (1, 3, 8, 8)),
        case(average(kernel=(5, 5), stride=(5, 5), ceil=True), (1, 2, 7, 13)),
        case(Pooling(global_pooling=True), (2, 3, 13, 7)),
        case(average(global_pooling=True), (2, 3, 13, 7)),
        case(average(global_pooling=True), (2, 13, 1, 1)),
        case(LRN(), (2, 7, 13, 3)),
        case(LRN(local_size=3, alpha=1e-2, beta=0.5, k=2), (1, 1, 1, 127)),
        case(LRN(local_size=7), (1, 13, 3, 3)),
        case(LRN(local_size=3, region="within"), (2, 3, 13, 7)),
        case(LRN(local_size=5, region="within", beta=1, alpha=0.1), (1, 2, 1, 3)),
        case(BatchNorm(), (2, 7, 13, 3), (7,), (7,)),
        case(BatchNorm(eps=0.1), (3, 127), (127,), (127,)),
        case(Scale(), (2, 7, 13, 3), (7,), (7,)),
        case(Scale(), (3, 127), (127,)),
        case(Scale(axis=0), (2, 7, 13, 3), (2, 7), batch=False),
        case(Scale(axis=-1), (2, 7, 13), (13,), (13,)),
        case(Scale(axis=2), (2, 7, 13, 3), (13, 3)),
        case(Scale(), (2, 7), ()),
        case(Bias(), (2, 7, 13, 3), (7,)),
        case(Bias(axis=0), (2, 7, 13), (2, 7, 13), batch=False),
        case(MVN(), (2, 7, 13, 3)),
        case(MVN(across_channels=True), (2, 7, 13, 3)),
        case(MVN(normalize_variance=False), (1, 3, 127)),
        case(LayerNorm(), (2, 7, 13), (13,), (13,)),
        case(LayerNorm(axis=1), (2, 7, 13), (7, 13)),
        case(LayerNorm(axis=2, eps=0.1), (2, 3, 7, 13)),
        case(Eltwise(), *[(2, 7, 13)] * 2),
        case(Eltwise(coeff=(1, -1, 0.5)), *[(2, 127)] * 3),
        case(Eltwise(operation="prod"), *[(1, 7, 13)] * 4),
        case(Eltwise(operation="max"), *[(1, 7, 13)] * 3),
        case(Concat(), (2, 3, 7), (2, 13, 7), (2, 1, 7)),
        case(Concat(axis=0), (2, 3), (5, 3), batch=False),
        case(Concat(axis=-1), (2, 3, 1), (2, 3, 127)),
        case(Slice(outputs=["a", "b", "c"]), (2, 9, 7)),
        case(Slice(outputs=["a", "b"], axis=2, points=(1,)), (2, 3, 13, 7)),
        case(Slice(outputs=["a", "b", "c"], axis=-1, points=(3, 5)), (1, 127)),
        case(Reorder(), (2, 3, 7, 13)),
        case(Reorder(), (1, 37, 1, 3)),
        case(Flatten(), (2, 3, 7, 13)),
        case(Flatten(axis=-3, end_axis=2), (2, 3, 7, 13)),
        case(Reshape(shape=(0, -1)), (2, 3, 7, 13)),
        case(Reshape(shape=(0, 7, -1, 3)), (2, 21, 13)),
        case(Reshape(shape=(3, 1, -1), axis=1, num_axes=1), (2, 9, 5)),
        case(Reshape(shape=(1, 1), axis=-1), (2, 5)),
        case(Permute(order=(0, 2, 3, 1)), (2, 3, 7, 13)),
        case(Permute(order=(0, 1, 2)), (2, 3, 7)),
        case(Permute(order=(3, 1, 0, 2)), (2, 3, 7, 1), batch=False),
        case(Permute(order=(5, 3, 1, 4, 2, 0)), (2, 3, 2, 5, 3, 2), batch=False),
        case(Pad(pads=(1, 2, 3, 0), value=0.5), (2, 3, 7, 13)),
        case(Pad(pads=(0, 0, 0, 1)), (13, 127)),
        case(Pad(pads=(3, 2)), (2, 7)),
        case(Pad(pads=(1, 0, 2, 2, 1, 0), value=-1), (2, 3, 7, 13)),
        case(Pad(pads=(0, 0, 0, 1, 0, 0)), (2, 3, 5), batch=False),
        case(ShuffleChannel(group=2), (2, 14, 3, 5)),
        case(ShuffleChannel(group=3), (1, 9)),
        case(Resize(scale=(2, 2)), (2, 3, 7, 13)),
        case(Resize(scale=(0.5, 1 / 3)), (1, 3, 7, 13)),
        case(Resize(size=(5, 29)), (1, 3, 7, 13)),
        case(Resize(method="linear", scale=(2, 2)), (2, 3, 7, 13)),
        case(Resize(method="linear", scale=(0.5, 1.5)), (2, 3, 8, 12)),
        case(Resize(method="linear", size=(5, 29), corners=True), (1, 3, 7, 1)),
        case(Resize(method="linear", size=(1, 1), corners=True), (1, 3, 7, 13)),
        case(Softmax(), (2, 127)),
        case(Softmax(), (2, 7, 13, 3)),
        case(Softmax(axis=-1), (2, 7, 13)),
        case(Softmax(axis=0), (5, 7), batch=False),
    ]  # fmt: skip


def _families() -> list[Case]:
    """The cases in `cases/`, a file a family of layers, whose `cases(case)` returns a list of them."""

    def case(layer: Layer, *shapes: tuple[int, ...] | None, **flags: Any) -> Case:
        return Case(layer, shapes, **flags)

    files = sorted((Path(__file__).parent / "cases").glob("*.py"))
    return [c for file in files for c in runpy.run_path(str(file))["cases"](case)]


CASES = _cases() + _families()


@pytest.fixture(autouse=True)
def every_thread() -> Iterator[None]:
    """A plan for three threads is run by three: a kernel's shares are what these tests are about."""
    with waiting_for_all_threads():
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a parameter `case` runs on every Case, with `batched_case` on those with a batch."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)
    if "batched_case" in metafunc.fixturenames:
        metafunc.parametrize("batched_case", [case for case in CASES if case.batch], ids=str)


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    return CASES
