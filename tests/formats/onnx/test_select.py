"""Gathering, scattering, repeating and recurrent operators against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

N = helper.make_node
X = {"x": (2, 5, 7)}


@pytest.mark.parametrize(
    ("indices", "axis", "kind"),
    [
        ([[0, -1], [3, 2]], 1, "Gather"), ([2, 3, 4], 1, "StridedSlice"), (1, 2, "StridedSlice"),
        (-1, 1, "StridedSlice"), ([-2, -1, 0], 1, "Gather"),
    ],
    ids=str,
)  # fmt: skip
def test_gather(indices, axis, kind, agree, types):
    """Neighbours in order are cut out, which costs less."""
    assert kind in types(agree(N("Gather", ["x", "i"], ["y"], axis=axis), X, {"i": np.array(indices)}))


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter(reduction, agree):
    places = np.array([[[0, 4, 1]], [[2, -1, 3]]])
    constants = {"i": places, "u": np.float32(np.arange(6).reshape(2, 1, 3))}
    agree(N("ScatterElements", ["x", "i", "u"], ["y"], axis=2, reduction=reduction), X, constants, opset=18)
    constants = {"i": np.array([[0, 1], [1, -2]]), "u": (2, 7)}
    agree(N("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction), X, constants, opset=18)


OTHERS = {
    "elements": (N("GatherElements", ["x", "i"], ["y"], axis=1), {"i": np.arange(14).reshape(2, 1, 7) % 5}),
    "nd": (N("GatherND", ["x", "i"], ["y"], batch_dims=1), {"i": np.array([[[1, 2]], [[4, -7]]])}),
    "tile": (N("Tile", ["x", "i"], ["y"]), {"i": np.array([1, 2, 3])}),
    "expand": (N("Expand", ["x", "i"], ["y"]), {"i": np.array([3, 1, 5, 7])}),
    "compress": (N("Compress", ["x", "i"], ["y"], axis=1), {"i": np.array([True, False, True, True])}),
    "trilu": (N("Trilu", ["x", "i"], ["y"], upper=0), {"i": np.array(-1)}),
    "reverse": (N("ReverseSequence", ["x", "i"], ["y"], time_axis=1, batch_axis=0), {"i": np.array([2, 5])}),
    "split": (N("Split", ["x", "i"], ["y", "z"], axis=1), {"i": np.array([5, 0])}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_others(case, agree):
    node, constants = OTHERS[case]
    agree(node, X, constants)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_and_back(mode, agree, types):
    there = N("DepthToSpace", ["x"], ["y"], blocksize=2, mode=mode)
    assert types(agree(there, {"x": (2, 12, 3, 4)})) == ["DepthToSpace"]
    assert types(agree(N("SpaceToDepth", ["x"], ["y"], blocksize=2), {"x": (2, 3, 4, 6)})) == ["SpaceToDepth"]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent(kind, gates, direction, agree, types):
    d = 2 if direction == "bidirectional" else 1
    names = ["y", "h", "c"] if kind == "LSTM" else ["y", "h"]
    node = N(kind, ["x", "w", "r", "b", "", "h0"], names, hidden_size=4, direction=direction)
    constants = {"w": (d, gates * 4, 3), "r": (d, gates * 4, 4), "b": (d, gates * 8), "h0": (d, 2, 4)}
    assert types(agree(node, {"x": (5, 2, 3)}, constants, outputs=names)) == [kind]
