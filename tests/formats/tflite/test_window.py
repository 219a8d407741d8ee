"""Convolution, pooling and resizing against TensorFlow Lite's runtime: padding, strides, holes, groups, activations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

SAME, VALID = 0, 1


def conv(ops, kind="CONV_2D", inputs="x w b", **values):
    options = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}[kind]
    given = {"padding": SAME, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1} | values
    return ops.Op(kind, inputs, options=options, **given)


@pytest.mark.parametrize(
    ("padding", "stride", "kernel"), list(product((SAME, VALID), (1, 2, 3), (1, 2, 3, 5)))
)
def test_convolution(agree, ops, padding, stride, kernel):
    """On sizes that leave each remainder: a SAME padding differs with it."""
    w, b = ops.weights(5, kernel, kernel, 3), ops.weights(5)
    for size in (7, 8, 9):
        node = conv(ops, padding=padding, strideH=stride, strideW=stride)
        net = agree(node, {"x": (1, size, size + 1, 3)}, {"w": w, "b": b})
        assert [n.type for n in net].count("Convolution") == 1
        assert str(net.inputs["x"].shape[0]) == "N"


def test_convolution_of_another_size(agree, ops):
    """Where the padding is the same whatever the size, the net takes any; where it is not, that of the file."""
    w, b = ops.weights(5, 3, 3, 3), ops.weights(5)
    shape = {"x": (1, 9, 12, 3)}
    free = agree(conv(ops), shape, {"w": w, "b": b})
    assert [str(s) for s in free.inputs["x"].shape] == ["N", "H", "W", "3"]
    fixed = agree(conv(ops, strideH=2, strideW=2), shape, {"w": w, "b": b})
    assert [str(s) for s in fixed.inputs["x"].shape] == ["N", "9", "12", "3"]


def test_uneven_strides_and_holes(agree, ops):
    w, b = ops.weights(4, 3, 2, 3), ops.weights(4)
    agree(conv(ops, strideH=2, strideW=1), {"x": (2, 9, 8, 3)}, {"w": w, "b": b})
    agree(conv(ops, dilationHFactor=2, dilationWFactor=3), {"x": (1, 9, 10, 3)}, {"w": w, "b": b})
    agree(conv(ops, padding=VALID, dilationHFactor=2), {"x": (1, 9, 10, 3)}, {"w": w, "b": b})


def test_grouped_convolution(agree, ops):
    net = agree(conv(ops), {"x": (1, 6, 6, 8)}, {"w": ops.weights(6, 3, 3, 4), "b": ops.weights(6)})
    assert next(n for n in net if n.type == "Convolution").group == 2


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", [SAME, VALID])
def test_depthwise_convolution(agree, ops, padding, multiplier):
    constants = {"w": ops.weights(1, 3, 3, 4 * multiplier), "b": ops.weights(4 * multiplier)}
    for stride in (1, 2):
        node = conv(
            ops,
            "DEPTHWISE_CONV_2D",
            padding=padding,
            strideH=stride,
            strideW=stride,
            depthMultiplier=multiplier,
        )
        agree(node, {"x": (1, 8, 7, 4)}, constants)


@pytest.mark.parametrize("activation", [0, 1, 2, 3, 4])
def test_the_activation_that_is_part_of_it(agree, ops, activation):
    if activation == 4:
        pytest.skip("the runtime has no convolution with TANH")
    node = conv(ops, fusedActivationFunction=activation)
    agree(node, {"x": (1, 6, 6, 3)}, {"w": ops.weights(5, 3, 3, 3), "b": 4 * ops.weights(5)})


@pytest.mark.parametrize(("padding", "stride", "kernel"), list(product((SAME, VALID), (1, 2, 3), (2, 3, 4))))
def test_transposed_convolution(agree, ops, padding, stride, kernel):
    h, w = 5, 6
    shape = [n * stride if padding == SAME else (n - 1) * stride + kernel for n in (h, w)]
    node = ops.Op(
        "TRANSPOSE_CONV",
        "s w x",
        options="TransposeConvOptions",
        padding=padding,
        strideH=stride,
        strideW=stride,
    )
    constants = {"s": np.int32([1, *shape, 4]), "w": ops.weights(4, kernel, kernel, 3)}
    agree(node, {"x": (1, h, w, 3)}, constants, larger=False)


def test_transposed_convolution_of_an_odd_size(agree, ops):
    node = ops.Op(
        "TRANSPOSE_CONV",
        "s w x b",
        options="TransposeConvOptions",
        padding=SAME,
        strideH=2,
        strideW=2,
        version=3,
    )
    constants = {"s": np.int32([1, 9, 11, 4]), "w": ops.weights(4, 3, 3, 3), "b": ops.weights(4)}
    net = agree(node, {"x": (1, 5, 6, 3)}, constants)
    assert [str(s) for s in net.inputs["x"].shape] == ["N", "5", "6", "3"]


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
@pytest.mark.parametrize(("padding", "stride", "kernel"), list(product((SAME, VALID), (1, 2, 3), (1, 2, 3))))
def test_pooling(agree, ops, kind, padding, stride, kernel):
    for size in (7, 8, 9):
        node = ops.Op(
            kind, "x", options="Pool2DOptions", padding=padding, strideH=stride, strideW=stride,
            filterHeight=kernel, filterWidth=kernel + 1, fusedActivationFunction=1,
        )  # fmt: skip
        agree(node, {"x": (1, size, size, 3)})


def test_pooling_of_the_whole_image(agree, ops):
    node = ops.Op(
        "AVERAGE_POOL_2D",
        "x",
        options="Pool2DOptions",
        padding=VALID,
        strideH=6,
        strideW=5,
        filterHeight=6,
        filterWidth=5,
    )
    net = agree(node, {"x": (1, 6, 5, 3)}, larger=False)
    assert next(n for n in net if n.type == "Pooling").global_pooling


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("new", [(10, 12), (7, 9), (3, 5), (15, 6)])
@pytest.mark.parametrize("kind", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_resize(agree, ops, kind, new, corners, half):
    if corners and half:
        pytest.skip("the runtime does not take both")
    options = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    node = ops.Op(kind, "x s", options=options, alignCorners=corners, halfPixelCenters=half, version=3)
    net = agree(node, {"x": (1, 5, 6, 3)}, {"s": np.int32(new)}, larger=False)
    assert (str(net.inputs["x"].shape[1]) == "H") == (new in ((10, 12), (15, 6)) and not corners)


@pytest.mark.parametrize("kind", ["DEPTH_TO_SPACE", "SPACE_TO_DEPTH"])
def test_blocks(agree, ops, kind):
    options = "DepthToSpaceOptions" if kind == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    agree(ops.Op(kind, "x", options=options, blockSize=2), {"x": (1, 4, 6, 12)})


def test_local_response_normalisation(agree, ops):
    node = ops.Op(
        "LOCAL_RESPONSE_NORMALIZATION", "x", options="LocalResponseNormalizationOptions",
        radius=2, bias=1.5, alpha=0.3, beta=0.75,
    )  # fmt: skip
    agree(node, {"x": (1, 3, 4, 9)})


def test_l2_pooling(agree, ops):
    node = ops.Op(
        "L2_POOL_2D",
        "x",
        options="Pool2DOptions",
        padding=SAME,
        strideH=2,
        strideW=2,
        filterHeight=3,
        filterWidth=3,
    )
    agree(node, {"x": (1, 7, 8, 3)})


def test_space_to_batch_and_back(agree, ops):
    """How older converters write a convolution with holes."""
    nodes = [
        ops.Op("SPACE_TO_BATCH_ND", "x block pads", "a"),
        ops.Op("CONV_2D", "a w b", "c", options="Conv2DOptions", padding=VALID, strideH=1, strideW=1),
        ops.Op("BATCH_TO_SPACE_ND", "c block crops", "y"),
    ]
    constants = {
        "block": np.int32([2, 2]), "pads": np.int32([[2, 3], [2, 2]]), "crops": np.int32([[0, 1], [0, 0]]),
        "w": ops.weights(4, 3, 3, 3), "b": ops.weights(4),
    }  # fmt: skip
    agree(nodes, {"x": (1, 7, 8, 3)}, constants)
