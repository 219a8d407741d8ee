"""Operators that work element by element or along axes, and products, against TensorFlow Lite's runtime."""

from __future__ import annotations

import numpy as np
import pytest

IMAGE = {"x": (1, 4, 5, 6)}
PLAIN = "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LOGISTIC TANH ELU HARD_SWISH EXP ABS NEG SIGN FLOOR CEIL ROUND SIN COS"
ABOVE_0 = "LOG SQRT RSQRT SQUARE"


@pytest.mark.parametrize("kind", [*PLAIN.split(), *ABOVE_0.split()])
def test_elementwise(agree, ops, kind):
    agree(ops.Op(kind, "x"), IMAGE, low=0.1 if kind in ABOVE_0.split() else None)


def test_activations_with_a_parameter(agree, ops):
    agree(ops.Op("LEAKY_RELU", "x", options="LeakyReluOptions", alpha=0.3), IMAGE)
    for approximate in (False, True):
        agree(ops.Op("GELU", "x", options="GeluOptions", approximate=approximate), IMAGE, tolerance=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 6), (6,), (1, 1, 1), (1, 5, 1), (4, 5, 6)])
def test_prelu(agree, ops, shape):
    agree(ops.Op("PRELU", "x a"), IMAGE, {"a": ops.weights(*shape)})


OPTIONS = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}
BINARY = [
    "ADD", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM", "FLOOR_DIV", "FLOOR_MOD", "SQUARED_DIFFERENCE", "ATAN2",
]  # fmt: skip


def low(kind):
    """DIV and POW of numbers that are not near 0 or below it."""
    return 0.5 if kind in ("DIV", "POW", "FLOOR_DIV", "FLOOR_MOD") else None


@pytest.mark.parametrize("shape", [(), (6,), (1, 1, 1, 6), (1, 4, 5, 6), (4, 1, 1), (1, 5, 6)])
@pytest.mark.parametrize("kind", BINARY)
def test_binary_with_a_constant(agree, ops, kind, shape):
    constants = {"c": ops.weights(*shape, low=low(kind))}
    if kind != "ATAN2" or shape == (1, 4, 5, 6):
        agree(ops.Op(kind, "x c", options=OPTIONS.get(kind, "")), IMAGE, constants, low=low(kind))
        agree(ops.Op(kind, "c x", options=OPTIONS.get(kind, "")), IMAGE, constants, low=low(kind))


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (1, 1, 1, 6), (1, 4, 5, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("kind", BINARY[:-1])
def test_binary(agree, ops, kind, shape):
    inputs = IMAGE | {"z": shape}
    agree(ops.Op(kind, "x z", options=OPTIONS.get(kind, "")), inputs, low=low(kind))
    agree(ops.Op(kind, "z x", options=OPTIONS.get(kind, "")), inputs, low=low(kind))


def test_binary_of_fewer_axes_has_no_free_batch(agree, ops):
    net = agree(ops.Op("ADD", "x z", options="AddOptions"), {"x": (1, 4, 5, 6), "z": (5, 6)})
    assert not str(net.inputs["x"].shape[0]).isalpha()


@pytest.mark.parametrize("activation", [1, 2, 3])
@pytest.mark.parametrize("kind", OPTIONS)
def test_binary_and_its_activation(agree, ops, kind, activation):
    node = ops.Op(kind, "x c", options=OPTIONS[kind], fusedActivationFunction=activation)
    agree(node, IMAGE, {"c": 4 * ops.weights(6, low=0.1)})


def test_sum_of_many(agree, ops):
    agree(ops.Op("ADD_N", "x z x"), {"x": (1, 3, 4), "z": (1, 3, 4)})


@pytest.mark.parametrize("kind", ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
def test_compare_and_select(agree, ops, kind):
    nodes = [ops.Op(kind, "x c", "b"), ops.Op("SELECT_V2", "b x zero", "y")]
    constants = {"c": np.float32([0, 0.5, -0.5, 1, 2, 0]), "zero": np.float32(0)}
    agree(nodes, IMAGE, constants, types={"b": "bool"}, outputs="y b")


def test_logic(agree, ops):
    nodes = [
        ops.Op("LESS", "x zero", "a"), ops.Op("GREATER", "x one", "b"), ops.Op("LOGICAL_OR", "a b", "c"),
        ops.Op("LOGICAL_NOT", "c", "d"), ops.Op("LOGICAL_AND", "a d", "e"), ops.Op("CAST", "c", "y"),
    ]  # fmt: skip
    types = dict.fromkeys("abcde", "bool")
    agree(nodes, IMAGE, {"zero": np.float32(0), "one": np.float32(1)}, types=types, outputs="y d e")


def test_cast(agree, ops):
    agree([ops.Op("CAST", "x", "i"), ops.Op("CAST", "i", "y")], IMAGE, types={"i": "int32"}, outputs="i y")
    feeds = {"x": np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)}
    agree(ops.Op("CAST", "x"), {"x": (1, 2, 3, 4)}, types={"x": "uint8"}, feeds=feeds, larger=False)


REDUCED = ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [[1, 2], [2, 1], [-1], [3], [1], [0, 1, 2, 3], [1, 3]])
@pytest.mark.parametrize("kind", REDUCED)
def test_reductions(agree, ops, kind, axes, keep):
    node = ops.Op(kind, "x a", options="ReducerOptions", keepDims=keep)
    net = agree(node, IMAGE, {"a": np.int32(axes)}, larger=False)
    assert not any(n.type == "Permute" for n in list(net)[1:])
    assert (str(net.inputs["x"].shape[0]) == "N") == (0 not in axes)


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(1, 7), (1, 3, 4, 5), (2, 3, 5)])
def test_softmax(agree, ops, shape, beta):
    agree(ops.Op("SOFTMAX", "x", options="SoftmaxOptions", beta=beta), {"x": shape})
    agree(ops.Op("LOG_SOFTMAX", "x"), {"x": shape})


def test_l2_normalisation(agree, ops):
    agree(ops.Op("L2_NORMALIZATION", "x", options="L2NormOptions"), IMAGE)
    agree(ops.Op("L2_NORMALIZATION", "x", options="L2NormOptions"), {"x": (1, 6)})


@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
@pytest.mark.parametrize("output_type", [2, 4])
def test_arg_max(agree, ops, kind, output_type):
    options = {"options": f"{kind.title().replace('_', '')}Options", "outputType": output_type}
    node = ops.Op(kind, "x a", **options)
    agree(node, IMAGE, {"a": np.int32(-1)}, types={"y": "int32" if output_type == 2 else "int64"})


def test_top_k_and_cumulative_sums(agree, ops):
    agree(
        ops.Op("TOPK_V2", "x k", "y i"),
        {"x": (1, 9)},
        {"k": np.int32(3)},
        outputs="y i",
        types={"i": "int32"},
    )
    for exclusive, reverse in ((False, False), (True, False), (False, True)):
        node = ops.Op("CUMSUM", "x a", options="CumsumOptions", exclusive=exclusive, reverse=reverse)
        agree(node, {"x": (1, 4, 5)}, {"a": np.int32(1)})


def test_one_hot_of_what_is_largest(agree, ops):
    nodes = [
        ops.Op("ARG_MAX", "x a", "i", options="ArgMaxOptions", outputType=2),
        ops.Op("ONE_HOT", "i depth on off", options="OneHotOptions", axis=-1),
    ]
    constants = {"a": np.int32(1), "depth": np.int32(6), "on": np.float32(2), "off": np.float32(-1)}
    agree(nodes, {"x": (1, 6)}, constants, types={"i": "int32"})


# -- products --------------------------------------------------------------------------------------------------


def test_fully_connected(agree, ops):
    options = {"options": "FullyConnectedOptions"}
    w, b = ops.weights(3, 20), ops.weights(3)
    agree(ops.Op("FULLY_CONNECTED", "x w b", **options), {"x": (1, 20)}, {"w": w, "b": b})
    agree(ops.Op("FULLY_CONNECTED", "x w -", **options), {"x": (4, 20)}, {"w": w})
    agree(
        ops.Op("FULLY_CONNECTED", "x w b", fusedActivationFunction=1, **options),
        {"x": (1, 20)},
        {"w": w, "b": b},
    )
    net = agree(
        ops.Op("FULLY_CONNECTED", "x w b", keepNumDims=True, **options), {"x": (1, 4, 20)}, {"w": w, "b": b}
    )
    assert str(net.inputs["x"].shape[0]) == "N"
    agree(ops.Op("FULLY_CONNECTED", "x w b", **options), {"x": (3, 4, 20)}, {"w": w, "b": b})


def test_an_image_that_is_flattened_for_a_product_is_not_transposed(agree, ops, types):
    """The weights' columns change places instead."""
    nodes = [
        ops.Op(
            "CONV_2D", "x w b", "c", options="Conv2DOptions", strideH=1, strideW=1, fusedActivationFunction=1
        ),
        ops.Op("RESHAPE", "c s", "r"),
        ops.Op("FULLY_CONNECTED", "r v -", options="FullyConnectedOptions"),
    ]
    constants = {
        "w": ops.weights(5, 3, 3, 6),
        "b": ops.weights(5),
        "s": np.int32([1, 100]),
        "v": ops.weights(7, 100),
    }
    assert types(agree(nodes, IMAGE, constants)) == [
        "Permute",
        "Convolution",
        "ReLU",
        "Flatten",
        "InnerProduct",
    ]


@pytest.mark.parametrize("adj_x", [False, True])
@pytest.mark.parametrize("adj_y", [False, True])
def test_batch_matmul(agree, ops, adj_x, adj_y):
    node = ops.Op("BATCH_MATMUL", "x z", options="BatchMatMulOptions", adjX=adj_x, adjY=adj_y)
    a, b = ((5, 4) if adj_x else (4, 5)), ((3, 5) if adj_y else (5, 3))
    agree(node, {"x": (1, 2, *a), "z": (1, 2, *b)}, larger=False)
    agree(node, {"x": (1, *a)}, {"z": ops.weights(*b)})
    agree(node, {"x": (2, 3, *a), "z": (3, *b)})


def test_constants_are_computed_at_once(agree, ops, types):
    """What depends on constants alone leaves no layer."""
    nodes = [
        ops.Op("MUL", "a b", "c", options="MulOptions"),
        ops.Op("RSQRT", "c", "d"),
        ops.Op("TRANSPOSE", "d o", "e"),
        ops.Op("ADD", "x e", options="AddOptions"),
    ]
    constants = {"a": ops.weights(6, 1, low=1), "b": ops.weights(6, 1, low=1), "o": np.int32([1, 0])}
    assert types(agree(nodes, IMAGE, constants)) == ["Bias"]


def test_fill_and_range(agree, ops):
    nodes = [
        ops.Op("FILL", "s v", "f"), ops.Op("RANGE", "zero six one", "r"),
        ops.Op("MUL", "f r", "m", options="MulOptions"), ops.Op("ADD", "x m", options="AddOptions"),
    ]  # fmt: skip
    constants = {
        "s": np.int32([1, 1, 6]), "v": np.float32(0.5),
        "zero": np.float32(0), "six": np.float32(6), "one": np.float32(1),
    }  # fmt: skip
    agree(nodes, IMAGE, constants)
