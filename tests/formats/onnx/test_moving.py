"""Reshape, transpose, cut, join: the numbers stay, their places change."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}

MOVES = {
    "Flatten": (N("Flatten", ["x"], ["y"]), {}),
    "Flatten 0": (N("Flatten", ["x"], ["y"], axis=0), {}),
    "Flatten 2": (N("Flatten", ["x"], ["y"], axis=2), {}),
    "Flatten -1": (N("Flatten", ["x"], ["y"], axis=-1), {}),
    "Flatten 4": (N("Flatten", ["x"], ["y"], axis=4), {}),
    "Transpose": (N("Transpose", ["x"], ["y"]), {}),
    "Transpose NHWC": (N("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1]), {}),
    "Transpose nothing": (N("Transpose", ["x"], ["y"], perm=[0, 1, 2, 3]), {}),
    "Concat": (N("Concat", ["x", "x", "c"], ["y"], axis=-3), {"c": (2, 1, 7, 9)}),
    "Concat one": (N("Concat", ["x"], ["y"], axis=1), {}),
    "Slice": (N("Slice", ["x", "s", "e"], ["y"]), {"s": np.array([0, 1]), "e": np.array([2, 3])}),
    "Slice axes": (
        N("Slice", ["x", "s", "e", "a"], ["y"]),
        {"s": np.array([-4, 2]), "e": np.array([2**63 - 1, -1]), "a": np.array([-1, 2])},
    ),
    "Slice steps": (
        N("Slice", ["x", "s", "e", "a", "t"], ["y"]),
        {"s": np.array([1]), "e": np.array([9]), "a": np.array([1]), "t": np.array([1])},
    ),
    "Unsqueeze": (N("Unsqueeze", ["x", "a"], ["y"]), {"a": np.array([0, -1])}),
}


@pytest.mark.parametrize("case", MOVES)
def test_moving(case, agree):
    node, constants = MOVES[case]
    agree(node, X, constants)


def test_split(agree):
    equal = N("Split", ["x"], ["a", "b"], axis=1)
    agree(equal, X, outputs=["a", "b"], opset=11)
    agree(equal, X, outputs=["a", "b"], opset=13)
    agree(N("Split", ["x"], ["a", "b"], axis=-1, split=[2, 7]), X, outputs=["a", "b"], opset=11)
    by_input = N("Split", ["x", "s"], ["a", "b", "c"], axis=2)
    agree(by_input, X, {"s": np.array([1, 4, 2])}, outputs=["b"])
    agree(N("Split", ["x"], ["a", "b"], axis=2, num_outputs=2), X, outputs=["a", "b"], opset=18)
    agree(N("Split", ["x"], ["a"], axis=2), X, outputs=["a"], opset=13)


def test_attributes_that_became_inputs(agree):
    """axes, starts, ends: attributes in old opsets, inputs in new ones."""
    x = {"x": (2, 1, 7, 9)}
    agree(N("Squeeze", ["x"], ["y"], axes=[1]), x, opset=11)
    agree(N("Squeeze", ["x", "a"], ["y"]), x, {"a": np.array([1])})
    agree(N("Squeeze", ["x"], ["y"]), x)
    agree(N("Unsqueeze", ["x"], ["y"], axes=[0, 3]), x, opset=11)
    agree(N("Slice", ["x"], ["y"], axes=[2], starts=[1], ends=[-2]), x, opset=9)


RESHAPES = [
    ((2, 4, 7, 9), (2, -1)),
    ((2, 4, 7, 9), (0, 0, -1)),
    ((2, 4, 7, 9), (2, 2, 2, 7, 9)),
    ((2, 4, 7, 9), (0, -1, 7, 9)),
    ((2, 4, 7, 9), (4, 2, 63)),
    ((2, 4, 7, 9), (-1,)),
    ((2, 4, 1, 1), (2, 4)),
    ((2, 4), (2, 4, 1, 1)),
    ((1, 4, 1, 1), (4,)),
    ((12,), (3, -1)),
    ((1, 1, 3), (3,)),
    ((2, 3), (2, 3, -1)),
    ((2, 8, 3, 4), (0, 2, 4, 3, 4)),
    ((2, 2, 4, 3, 4), (0, 8, 3, 4)),
    ((2, 3), (-1, 1, 3)),
    ((1, 1), (1,)),
    ((1,), ()),
    ((2, 6), (2, 2, 3)),
]


@pytest.mark.parametrize(("shape", "target"), RESHAPES, ids=str)
def test_reshape(shape, target, agree):
    assert len(agree(N("Reshape", ["x", "s"], ["y"]), {"x": shape}, {"s": np.array(target, np.int64)})) <= 1


def test_reshape_of_opset_1(convert):
    net = convert(N("Reshape", ["x"], ["y"], shape=[0, -1]), X, opset=4)
    assert net.forward(x=np.zeros((2, 4, 7, 9)))["y"].shape == (2, 252)


@pytest.mark.parametrize(
    "target", [(1, 25088), (-1, 25088), (1, 512, 49), (1, 512, 7, 7, 1), (1, 2, 256, 7, 7)], ids=str
)
def test_a_reshape_to_numbers_leaves_the_batch_free(target, agree):
    net = agree(N("Reshape", ["x", "s"], ["y"]), {"x": (1, 512, 7, 7)}, {"s": np.array(target)})
    assert str(net.inputs["x"].shape[0]) == "N"


def test_a_cut_of_an_open_size(agree, convert):
    x = np.zeros((1, 3, 12, 5), np.float32)
    cut = N("Slice", ["x", "s", "e", "a"], ["y"])
    where = {"s": np.array([2]), "a": np.array([2])}
    agree(cut, {"x": (1, 3, "h", 5)}, where | {"e": np.array([10])}, feeds={"x": x})
    agree(cut, {"x": (1, 3, "h", 5)}, where | {"e": np.array([2**31 - 1])}, feeds={"x": x})
    net = agree(cut, {"x": (1, 3, "h", 5)}, where | {"e": np.array([-1])}, feeds={"x": x})
    assert net.forward(x=x[:, :, :6])["y"].shape == (1, 3, 3, 5)
    agree(
        cut,
        {"x": (1, 3, "h", 5)},
        {"s": np.array([-4]), "e": np.array([2**63 - 1]), "a": np.array([2])},
        feeds={"x": x},
    )


def cut_of(start, end, step=1):
    numbers = {"s": np.array([start]), "e": np.array([end]), "a": np.array([1]), "t": np.array([step])}
    return N("Slice", ["x", "s", "e", "a", "t"], ["y"]), numbers


@pytest.mark.parametrize("ends", [(0, 9, 2), (3, 0, -1), (1, 1, 1), (-1, -(2**63), -2)], ids=str)
def test_cut_in_steps(ends, agree):
    node, constants = cut_of(*ends)
    agree(node, X, constants)


REFUSED = {
    "to text": (N("Cast", ["x"], ["y"], to=8), {}, "which no tensor has here"),
    "computed shape": (N("Reshape", ["x", "s"], ["y"]), {}, "computed when the net runs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, convert, model):
    node, constants, message = REFUSED[case]
    made = model(node, X if case != "computed shape" else X | {"s": (2,)}, constants)
    with pytest.raises(ConversionError, match=message):
        convert(made)
