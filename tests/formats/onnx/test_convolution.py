"""Convolution, pooling and padding: every attribute against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}
W = {"w": (6, 4, 3, 3)}
WB = W | {"b": (6,)}
XW, XWB = ["x", "w"], ["x", "w", "b"]

# name: (node, constants)
CONVOLUTION = {
    "plain": (N("Conv", XW, ["y"]), W),
    "bias": (N("Conv", XWB, ["y"]), WB),
    "pads": (N("Conv", XW, ["y"], pads=[1, 1, 1, 1], strides=[2, 2]), W),
    "asymmetric": (N("Conv", XWB, ["y"], pads=[0, 2, 1, 0], strides=[1, 3]), WB),
    "dilated": (N("Conv", XW, ["y"], dilations=[2, 3], pads=[1, 2, 3, 4]), W),
    "grouped": (N("Conv", XW, ["y"], group=2), {"w": (6, 2, 3, 3)}),
    "depthwise": (N("Conv", XW, ["y"], group=4, pads=[1, 1, 1, 1]), {"w": (4, 1, 3, 3)}),
    "valid": (N("Conv", XW, ["y"], auto_pad="VALID", strides=[2, 1]), W),
    "same upper": (N("Conv", XW, ["y"], auto_pad="SAME_UPPER", strides=[2, 2]), W),
    "same lower": (N("Conv", XW, ["y"], auto_pad="SAME_LOWER", strides=[2, 2]), W),
    "same upper even": (N("Conv", XW, ["y"], auto_pad="SAME_UPPER"), {"w": (3, 4, 4, 2)}),
    "same lower even": (N("Conv", XW, ["y"], auto_pad="SAME_LOWER"), {"w": (3, 4, 4, 2)}),
}

TRANSPOSED = {
    "plain": ({}, (4, 6, 3, 3)),
    "strided": ({"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]}, (4, 6, 3, 4)),
    "grouped": ({"group": 2, "dilations": [2, 1], "strides": [2, 2]}, (4, 3, 3, 3)),
    "same upper": ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 6, 3, 3)),
    "same lower": ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 6, 3, 3)),
    "to a shape": ({"output_shape": [14, 19], "strides": [2, 2]}, (4, 6, 3, 3)),
}

POOLING = {
    "max": ("MaxPool", {"kernel_shape": [3, 2]}),
    "max strided": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}),
    "max ceil": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "max ceil pads": (
        "MaxPool",
        {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1] * 4, "ceil_mode": 1},
    ),
    "max same upper": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "max same lower": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "average": ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 1]}),
    "average pads": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2]}),
    "average counted": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}),
    "average ceil": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average ceil counted": (
        "AveragePool",
        {
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "pads": [1, 1, 0, 0],
            "ceil_mode": 1,
            "count_include_pad": 1,
        },
    ),
    "average same": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "global average": ("GlobalAveragePool", {}),
    "global max": ("GlobalMaxPool", {}),
    "mean of H, W": ("ReduceMean", {"axes": [2, 3]}),
    "mean of -1, -2": ("ReduceMean", {"axes": [-1, -2], "keepdims": 0}),
    "mean of NHWC": ("ReduceMean", {"axes": [1, 2], "keepdims": 0}),
    "mean of NHWC kept": ("ReduceMean", {"axes": [1, 2]}),
    "maximum of H, W": ("ReduceMax", {"axes": [2, 3], "keepdims": 0}),
}


@pytest.mark.parametrize("case", CONVOLUTION)
def test_convolution(case, agree):
    node, constants = CONVOLUTION[case]
    agree(node, X, constants)


def test_computed_weights(agree):
    agree(N("Conv", XW, ["y"]), X | W)


def test_same_padding_of_a_dilated_filter(convert):
    """onnxruntime does not do this one: the filter spans five cells."""
    net = convert(N("Conv", XW, ["y"], auto_pad="SAME_UPPER", dilations=[2, 2]), X, W)
    assert net["y"].attributes["pad"] == (2, 2, 2, 2)


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolution(case, agree):
    attributes, w = TRANSPOSED[case]
    agree(N("ConvTranspose", XW, ["y"], **attributes), X, {"w": w})


def test_transposed_convolution_with_a_bias(agree):
    agree(N("ConvTranspose", XWB, ["y"]), X, {"w": (4, 6, 3, 3), "b": (6,)})


@pytest.mark.parametrize("case", POOLING)
def test_pooling(case, agree):
    kind, attributes = POOLING[case]
    agree(N(kind, ["x"], ["y"], **attributes), {"x": (2, 4, 7, 10)})


@pytest.mark.parametrize("opset", [13, 18])
def test_reduction_axes_as_attribute_and_input(opset, agree):
    if opset == 13:
        agree(N("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0), X, opset=opset)
    else:
        agree(N("ReduceMean", ["x", "a"], ["y"], keepdims=0), X, {"a": np.array([2, 3])}, opset=opset)
        agree(N("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1), X, opset=opset)


def test_same_padding_of_an_open_size(agree, convert):
    """A 2x2 window of stride 2 pads alike for every size; a 3x3 one does not, and says so."""

    def pool(window):
        return N("MaxPool", ["x"], ["y"], kernel_shape=[window] * 2, strides=[2, 2], auto_pad="SAME_UPPER")

    for size in (6, 7, 8):
        x = np.random.default_rng(size).normal(size=(1, 3, size, size + 1)).astype(np.float32)
        agree(pool(2), {"x": ("N", 3, "h", "w")}, feeds={"x": x})
    fixed = agree(pool(3), {"x": (1, 3, 7, 8)})
    assert [str(s) for s in fixed.inputs["x"].shape] == ["N", "3", "7", "8"]
    with pytest.raises(ConversionError, match=r"SAME_UPPER padding depends on the size h"):
        convert(pool(3), {"x": ("N", 3, "h", "w")})


# pads of (2,4,7,9): the starts of each axis, then the ends
PADS = {
    "H, W": [0, 0, 1, 2, 0, 0, 3, 0],
    "NHWC": [0, 1, 2, 0, 0, 3, 0, 0],
    "C": [0, 1, 0, 0, 0, 3, 0, 0],
    "H": [0, 0, 1, 0, 0, 0, 0, 0],
    "all": [1, 0, 2, 1, 0, 1, 0, 2],
    "nothing": [0] * 8,
}


@pytest.mark.parametrize("case", PADS)
def test_pad(case, agree):
    pads = {"p": np.array(PADS[case])}
    agree(N("Pad", ["x", "p"], ["y"]), X, pads)
    agree(N("Pad", ["x", "p", "v"], ["y"]), X, pads | {"v": np.float32(3)})
    agree(N("Pad", ["x"], ["y"], pads=PADS[case], value=0.5), X, opset=10)


def test_pad_with_named_axes(agree):
    agree(
        N("Pad", ["x", "p", "", "a"], ["y"]),
        X,
        {"p": np.array([1, 2, 0, 3]), "a": np.array([3, -2])},
        opset=18,
    )


def test_an_edge_before_a_maximum(agree, types):
    """The repeated cell is in the window anyway; this is how one exporter writes SAME padding."""
    pads = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    nodes = [
        N("Pad", ["x", "p"], ["a"], mode="edge"),
        N("MaxPool", ["a"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    assert types(agree(nodes, X, pads)) == ["Pooling"]


REFUSED = {
    "3-D": (
        N("Conv", XW, ["y"]),
        {"x": (1, 2, 5, 5, 5)},
        {"w": (3, 2, 3, 3, 3)},
        "3 dimensions; only KH, KW",
    ),
    "1-D pool": (N("MaxPool", ["x"], ["y"], kernel_shape=[2]), {"x": (1, 2, 5)}, {}, "only images"),
    "holes": (N("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2]), X, {}, "no holes"),
    "reflection": (
        N("Pad", ["x", "p"], ["y"], mode="reflect"),
        X,
        {"p": np.array([0, 0, 1, 1] * 2)},
        "mode='reflect'",
    ),
    "edge": (N("Pad", ["x", "p"], ["y"], mode="edge"), X, {"p": np.array([0, 0, 1, 1] * 2)}, "mode='edge'"),
    "cut": (N("Pad", ["x", "p"], ["y"]), X, {"p": np.array([0, 0, -1, 0] * 2)}, "cuts instead of padding"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, convert):
    node, inputs, constants, message = REFUSED[case]
    with pytest.raises(ConversionError, match=message):
        convert(node, inputs, constants)
