"""Functions of one operand, comparisons, truths, casts and whole numbers, held to onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}

# name: (operator, attributes, opset, the layers that it becomes)
FUNCTIONS = {
    **{
        name: (name, {}, 17, ["Unary"])
        for name in ("Floor", "Ceil", "Round", "Sign", "Erf", "Sin", "Cos", "Tan")
    },
    **{name: (name, {}, 17, ["Unary"]) for name in ("Atan", "Sinh", "Cosh", "Asinh", "Softsign")},
    "Mish": ("Mish", {}, 18, ["Mish"]),
    "HardSwish": ("HardSwish", {}, 17, ["HardSwish"]),
    "Gelu": ("Gelu", {}, 20, ["GELU"]),
    "Gelu tanh": ("Gelu", {"approximate": "tanh"}, 20, ["GELU"]),
    "Celu": ("Celu", {"alpha": 1.7}, 17, ["Power", "ELU", "Power"]),
    "Celu 1": ("Celu", {}, 17, ["ELU"]),
    "ThresholdedRelu": ("ThresholdedRelu", {"alpha": 0.4}, 17, ["Compare", "Where"]),
    "Shrink": ("Shrink", {"lambd": 0.6, "bias": 0.2}, 17, None),
    "LogSoftmax": ("LogSoftmax", {"axis": 1}, 17, ["Reduction", "Binary"]),
    "LogSoftmax of opset 11": ("LogSoftmax", {"axis": 2}, 11, None),
    "Hardmax": ("Hardmax", {"axis": 3}, 17, ["ArgMax", "Compare", "Cast"]),
    "Hardmax of opset 11": ("Hardmax", {"axis": 1}, 11, None),
    "LpNormalization 1": ("LpNormalization", {"axis": 1, "p": 1}, 17, None),
    "LpNormalization 2": ("LpNormalization", {"axis": -1}, 17, None),
    "MeanVarianceNormalization": ("MeanVarianceNormalization", {}, 17, None),
    "MVN of images": ("MeanVarianceNormalization", {"axes": [2, 3]}, 17, ["MVN"]),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_function(case, agree, types):
    kind, attributes, opset, layers = FUNCTIONS[case]
    net = agree(N(kind, ["x"], ["y"], **attributes), X, opset=opset)
    assert layers is None or types(net) == layers


@pytest.mark.parametrize("kind", ["Asin", "Acos", "Atanh", "Acosh"])
def test_functions_of_part_of_the_numbers(kind, agree):
    low, high = (1, 9) if kind == "Acosh" else (-0.99, 0.99)
    x = np.linspace(low, high, 35, dtype=np.float32).reshape(5, 7)
    agree(N(kind, ["x"], ["y"]), {"x": (5, 7)}, feeds={"x": x})


@pytest.fixture
def same(model, convert, expected):
    """same(nodes, feeds, opset=17): what goes in and comes out has the dtypes and numbers of onnxruntime -> Net"""

    def run(nodes, feeds, opset=17, to=TensorProto.FLOAT):
        made = model(nodes, {name: array.shape for name, array in feeds.items()}, opset=opset)
        for value, array in zip(made.graph.input, feeds.values(), strict=True):
            value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        made.graph.output[0].type.tensor_type.elem_type = to
        net = convert(made)
        got, wanted = net.forward(**feeds)["y"], expected(made, feeds)["y"]
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
        return net

    return run


WHOLE = np.array([[-9, -4, -1, 0, 1], [2, 5, 7, 11, 100]])
DIVISORS = np.array([[4, -3, 2, 5, 1], [-2, 3, 4, 7, -9]])


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mod"])
def test_whole_numbers(kind, operator, same, types):
    feeds = {"a": WHOLE.astype(kind), "b": DIVISORS.astype(kind)}
    net = same(N(operator, ["a", "b"], ["y"]), feeds, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
    assert types(net) == ["Binary"]


@pytest.mark.parametrize("operator", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
@pytest.mark.parametrize("kind", ["float32", "int64"])
def test_compare(operator, kind, same, types):
    feeds = {"a": WHOLE.astype(kind), "b": np.array([[-4], [7]], kind)}
    assert types(same(N(operator, ["a", "b"], ["y"]), feeds, to=TensorProto.BOOL)) == ["Compare"]


@pytest.mark.parametrize("operator", ["And", "Or", "Xor"])
def test_truths(operator, same):
    a = np.array([[True, False], [True, False]])
    nodes = [N(operator, ["a", "b"], ["t"]), N("Not", ["t"], ["y"])]
    same(nodes, {"a": a, "b": np.array([True, False])}, to=TensorProto.BOOL)


def test_mod_of_floats(same):
    a, b = np.array([5.3, -5.3, 5.3, 4.0], np.float32), np.array([2.1, 2.1, -2.1, 2.0], np.float32)
    same(N("Mod", ["a", "b"], ["y"], fmod=1), {"a": a, "b": b})


def test_where(same):
    feeds = {"c": np.array([[True], [False]]), "a": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}
    same(N("Where", ["c", "a", "b"], ["y"]), feeds)


def test_is_nan_and_is_inf(same):
    x = np.array([1, np.nan, np.inf, -np.inf, 0], np.float32)
    same(N("IsNaN", ["x"], ["y"]), {"x": x}, to=TensorProto.BOOL)
    for flags in ({}, {"detect_negative": 0}, {"detect_positive": 0}):
        same(N("IsInf", ["x"], ["y"], **flags), {"x": x}, to=TensorProto.BOOL)


@pytest.mark.parametrize("to", ["float32", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("kind", ["float32", "int64", "bool"])
def test_cast(kind, to, same, types):
    x = np.array([0, 1, 2.7, 100]).astype(kind)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    net = same([N("Cast", ["x"], ["c"], to=code), N("Identity", ["c"], ["y"])], {"x": x}, to=code)
    assert types(net) == (["Reshape"] if kind == to else ["Cast"])


def test_pow_of_two_dtypes(same):
    feeds = {"a": np.array([1.5, 2, 3], np.float32), "b": np.array([2, 3, 4], np.int64)}
    same(N("Pow", ["a", "b"], ["y"]), feeds)
    same(N("Pow", ["b", "a"], ["y"]), feeds, to=TensorProto.INT64)


def test_clip_by_what_is_computed(same, types):
    feeds = {"x": WHOLE.astype(np.float32), "l": np.array(-2, np.float32), "h": np.array(6, np.float32)}
    assert types(same(N("Clip", ["x", "l", "h"], ["y"]), feeds)) == ["Binary", "Binary"]
    feeds = {name: array.astype(np.int64) for name, array in feeds.items()}
    same(N("Clip", ["x", "l", "h"], ["y"]), feeds, to=TensorProto.INT64)


def test_prelu_by_what_is_computed(same):
    feeds = {"x": WHOLE.astype(np.float32), "s": np.array([[0.5], [0.25]], np.float32)}
    same(N("PRelu", ["x", "s"], ["y"]), feeds)
