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


LINE, VOLUME = {"x": (2, 4, 9)}, {"x": (2, 4, 5, 6, 7)}
AROUND = {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3])}
OTHERS = {
    "1-D": (N("Conv", XW, ["y"], pads=[1, 2], strides=[2], group=2), LINE, {"w": (6, 2, 3)}, "Convolution"),
    "3-D": (N("Conv", XW, ["y"], dilations=[1, 2, 1]), VOLUME, {"w": (3, 4, 2, 3, 3)}, "Convolution3D"),
    "1-D transposed": (N("ConvTranspose", XW, ["y"], strides=[2]), LINE, {"w": (4, 3, 3)}, "Deconvolution"),
    "3-D transposed": (
        N("ConvTranspose", XW, ["y"], strides=[2, 1, 1], output_padding=[1, 0, 0]),
        VOLUME, {"w": (4, 3, 3, 2, 2)}, "Deconvolution3D",
    ),
    "1-D pool": (N("MaxPool", ["x"], ["y"], kernel_shape=[3], strides=[2]), LINE, {}, "Pooling"),
    "3-D pool": (N("AveragePool", ["x"], ["y"], kernel_shape=[2, 3, 2]), VOLUME, {}, "AveragePooling3D"),
    "holes": (N("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2]), X, {}, "MaxPooling3D"),
    "norm": (N("LpPool", ["x"], ["y"], kernel_shape=[2, 2], p=3), X, {}, "AveragePooling3D"),
    "norm of all": (N("GlobalLpPool", ["x"], ["y"], p=3), X, {}, "Reduction"),
    "line of all": (N("GlobalAveragePool", ["x"], ["y"]), LINE, {}, "Reduction"),
    "reflection": (N("Pad", ["x", "p"], ["y"], mode="reflect"), X, AROUND, "Pad"),
    "edge": (N("Pad", ["x", "p"], ["y"], mode="edge"), X, AROUND, "Pad"),
    "cut": (N("Pad", ["x", "p"], ["y"]), X, {"p": np.array([0, 0, -1, 2, 0, 0, 0, -2])}, "StridedSlice"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_windows(case, agree, types):
    node, inputs, constants, kind = OTHERS[case]
    assert kind in types(agree(node, inputs, constants))


def test_a_line_of_open_length(agree):
    """1-D convolutions cost two aliases, and keep batch and length open."""
    net = agree(N("Conv", XW, ["y"], pads=[1, 1]), {"x": (2, 4, "t")}, {"w": (6, 4, 3)})
    assert [str(s) for s in net.specs()["y"].shape] == ["N", "6", "t"]


def test_places_of_maxima_and_back(agree, model, convert):
    pool = N("MaxPool", ["x"], ["m", "where"], kernel_shape=[2, 2], strides=[2, 2])
    agree(
        [pool, N("MaxUnpool", ["m", "where"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        {"x": (1, 2, 6, 8)},
    )


@pytest.mark.parametrize(
    "attributes", [{}, {"pads": [1, 0, 1, 1]}, {"strides": [2, 2], "dilations": [1, 2]}], ids=str
)
def test_col2im(attributes, convert, model):
    """The sum over windows is what a convolution's gradient is: held to ONNX's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    node = N("Col2Im", ["x", "i", "b"], ["y"], **attributes)
    dilation, stride = attributes.get("dilations", [1, 1]), attributes.get("strides", [1, 1])
    pads = attributes.get("pads", [0] * 4)
    places = [
        (s + pads[i] + pads[i + 2] - dilation[i] * (k - 1) - 1) // stride[i] + 1
        for i, (s, k) in enumerate(zip((7, 9), (2, 3), strict=True))
    ]
    x = {"x": (2, 18, places[0] * places[1])}
    made = model(node, x, {"i": np.array([7, 9]), "b": np.array([2, 3])}, opset=18)
    feeds = {"x": np.random.default_rng(3).normal(size=x["x"]).astype(np.float32)}
    (wanted,) = ReferenceEvaluator(made).run(None, feeds)
    np.testing.assert_allclose(convert(made).forward(**feeds)["y"], wanted, rtol=1e-5, atol=1e-5)


RESIZES = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "linear": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    "corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "cubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
    "antialias": {"mode": "linear", "antialias": 1},
    "antialiased cubic": {"mode": "cubic", "antialias": 1},
}


@pytest.mark.parametrize("how", RESIZES)
def test_resize(how, agree, types):
    sizes = {"s": np.array([2, 4, 5, 13])}
    net = agree(N("Resize", ["x", "", "", "s"], ["y"], **RESIZES[how]), X, sizes, opset=18)
    assert types(net) == ["Resize"]
    if (
        how != "antialiased cubic"
    ):  # whose scale along one axis is above 1: there onnxruntime is of another opinion
        agree(
            N("Resize", ["x", "", "s"], ["y"], **RESIZES[how]), X, {"s": np.float32([1, 1, 2, 0.5])}, opset=18
        )


def test_resize_of_other_axes(agree):
    along = N("Resize", ["x", "", "s"], ["y"], mode="linear")
    agree(along, {"x": (2, 3, 4, 5, 6)}, {"s": np.float32([1, 1, 2, 2, 2])})
    agree(along, {"x": (4, 5)}, {"s": np.float32([2, 1])})
    agree(N("Upsample", ["x", "s"], ["y"], mode="nearest"), X, {"s": np.float32([1, 1, 2, 3])}, opset=9)


def test_a_size_that_grows_with_the_image_is_a_scale(convert, expected, model):
    """Twice its height and width, worked out from its shape while the net runs."""
    nodes = [
        N("Shape", ["x"], ["all"]), N("Slice", ["all", "two", "four"], ["hw"]), N("Mul", ["hw", "twice"], ["big"]),
        N("Slice", ["all", "zero", "two"], ["nc"]), N("Concat", ["nc", "big"], ["sizes"], axis=0),
        N("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ]  # fmt: skip
    constants = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "four": np.array([4]),
        "twice": np.array([2, 2]),
    }
    made = model(nodes, {"x": ("n", 3, "h", "w")}, constants)
    net = convert(made)
    for shape in ((1, 3, 5, 8), (3, 3, 12, 7)):
        x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(net.forward(x=x)["y"], expected(made, {"x": x})["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(mode, padding, agree):
    for corners in (0, 1):
        node = N("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=corners)
        agree(node, {"x": (2, 3, 5, 7), "g": (2, 4, 3, 2)}, opset=20)


REFUSED = {
    "4-D": (
        N("Conv", XW, ["y"]),
        {"x": (1, 2, 5, 5, 5, 5)},
        {"w": (3, 2, 3, 3, 3, 3)},
        "its input has 6 dimensions",
    ),
    "no image": (
        N("MaxPool", ["x"], ["y"], kernel_shape=[2]),
        {"x": (5, 7)},
        {},
        "its input has 2 dimensions",
    ),
    "mode": (
        N("Resize", ["x", "", "s"], ["y"], mode="area"),
        X,
        {"s": np.float32([1, 1, 2, 2])},
        "mode='area'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, convert):
    node, inputs, constants, message = REFUSED[case]
    with pytest.raises(ConversionError, match=message):
        convert(node, inputs, constants)
