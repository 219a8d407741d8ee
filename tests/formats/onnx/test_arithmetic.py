"""Element by element: activations, and what ONNX's broadcasting becomes."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import TensorProto, helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}

# name: (operator, attributes, where its inputs begin if they are positive)
ACTIVATION = {
    "Relu": ("Relu", {}, None),
    "LeakyRelu": ("LeakyRelu", {}, None),
    "LeakyRelu alpha": ("LeakyRelu", {"alpha": 0.3}, None),
    "LeakyRelu 0": ("LeakyRelu", {"alpha": 0.0}, None),
    "Elu": ("Elu", {"alpha": 0.7}, None),
    "Selu": ("Selu", {}, None),
    "Sigmoid": ("Sigmoid", {}, None),
    "HardSigmoid": ("HardSigmoid", {"alpha": 0.3}, None),
    "HardSwish": ("HardSwish", {}, None),
    "Tanh": ("Tanh", {}, None),
    "Softplus": ("Softplus", {}, None),
    "Exp": ("Exp", {}, None),
    "Abs": ("Abs", {}, None),
    "Neg": ("Neg", {}, None),
    "Identity": ("Identity", {}, None),
    "Dropout": ("Dropout", {}, None),
    "Cast": ("Cast", {"to": TensorProto.FLOAT}, None),
    "Log": ("Log", {}, 0.5),
    "Sqrt": ("Sqrt", {}, 0.5),
    "Reciprocal": ("Reciprocal", {}, 0.5),
}


@pytest.mark.parametrize("case", ACTIVATION)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (3, 1)], ids=str)
def test_activation(case, shape, agree):
    kind, attributes, low = ACTIVATION[case]
    agree(N(kind, ["x"], ["y"], **attributes), {"x": shape}, low=low)


@pytest.mark.parametrize(
    "slope", [(4, 1, 1), (1,), (1, 1, 1), (9,), (4, 7, 9), (7, 9), (1, 4, 1, 1)], ids=str
)
def test_prelu(slope, agree):
    assert len(agree(N("PRelu", ["x", "s"], ["y"]), X, {"s": slope})) <= 3


def test_prelu_of_opset_6(convert, types):
    """Before opset 7 a vector of slopes lay along the channels."""
    net = convert(N("PRelu", ["x", "s"], ["y"]), X, {"s": np.arange(4, dtype=np.float32)}, opset=6)
    assert types(net) == ["PReLU"]


CLIPS = {
    6: (N("Clip", ["x"], ["y"], min=-0.5, max=0.5), {}),
    11: (N("Clip", ["x", "a", "b"], ["y"]), {"a": np.float32(-0.5), "b": np.float32(0.5)}),
    12: (N("Clip", ["x", "", "b"], ["y"]), {"b": np.float32(0.5)}),
    13: (N("Clip", ["x", "a"], ["y"]), {"a": np.float32(-0.5)}),
}


@pytest.mark.parametrize("opset", CLIPS)
def test_clip(opset, agree, types):
    node, constants = CLIPS[opset]
    assert types(agree(node, X, constants, opset=opset)) == ["Clip"]


def test_dropout_in_training_mode(agree, convert):
    node = N("Dropout", ["x", "", "t"], ["y"])
    agree(node, X, {"t": np.array(False)}, opset=13)
    with pytest.raises(ConversionError, match="training_mode"):
        convert(node, X, {"t": np.array(True)}, opset=13)


# Shapes of a second operand beside x (2,4,7,9)
NUMBERS = [(), (1,), (1, 1, 1, 1)]
VECTORS = [(4, 1, 1), (1, 4, 1, 1), (9,), (1, 1, 1, 9), (7, 1), (2, 1, 1, 1)]
BLOCKS = [(7, 9), (4, 7, 9), (4, 1, 9), (1, 4, 7, 9), (2, 4, 7, 9)]


@pytest.mark.parametrize("shape", NUMBERS + VECTORS + BLOCKS, ids=str)
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("order", ["xc", "cx"])
def test_constant_operand(shape, kind, order, agree, types):
    net = agree(N(kind, list(order), ["y"]), X, {"c": shape}, low=0.5)
    assert set(types(net)) <= ({"Power"} if shape in NUMBERS else {"Power", "Bias", "Scale"})
    assert len(net) <= 2


@pytest.mark.parametrize(
    ("kind", "number"), [("Max", 0.0), ("Max", 0.25), ("Min", 0.25), ("Pow", 2.0), ("Pow", 3.0)]
)
def test_one_number(kind, number, agree):
    assert len(agree(N(kind, ["x", "c"], ["y"]), X, {"c": np.float32(number)})) == 1


@pytest.mark.parametrize(
    ("kind", "number"), [("Mul", 1.0), ("Add", 0.0), ("Div", 1.0), ("Sub", 0.0), ("Pow", 1.0)]
)
def test_a_number_that_changes_nothing(kind, number, agree, types):
    nodes = [N(kind, ["x", "c"], ["a"]), N("Relu", ["a"], ["y"])]
    assert types(agree(nodes, X, {"c": np.float32(number)})) == ["ReLU"]


def test_a_constant_used_in_two_shapes(agree):
    """A block beside an image, and a matrix of its own."""
    nodes = [N("Add", ["x", "c"], ["a"]), N("Concat", ["v", "c"], ["b"], axis=0), N("Max", ["v", "c"], ["d"])]
    agree(nodes, {"x": (2, 4, 5, 3), "v": (5, 3)}, {"c": (5, 3)}, outputs=["a", "b", "d"])


@pytest.mark.parametrize("shape", [(4, 1, 3), (4, 1, 1), (1, 3), (2, 1, 1, 3)], ids=str)
def test_a_constant_beside_an_open_size(shape, agree):
    x = np.random.default_rng(3).normal(size=(2, 4, 5, 3)).astype(np.float32)
    agree(N("Add", ["x", "c"], ["y"]), {"x": (2, 4, "h", 3)}, {"c": shape}, feeds={"x": x})


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_a_maximum_with_a_constant_vector(kind, agree):
    agree(N(kind, ["x", "c"], ["y"]), X, {"c": (4, 1, 1)})


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_two_tensors(kind, agree):
    agree(N(kind, ["a", "b"], ["y"]), {"a": ("N", 3, 4, 5), "b": ("N", 3, 4, 5)}, low=0.5)


NARROW = [("N", 3, 1, 1), ("N", 1, 4, 5), ("N", 1, 1, 5), (3, 1, 1), ("N", 1, 4, 1), (1,)]


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("shape", NARROW, ids=str)
def test_two_tensors_broadcast(kind, order, shape, agree):
    random = np.random.default_rng(1)
    a, b = (2, 3, 4, 5), [2 if s == "N" else s for s in shape]
    feeds = {"a": random.random(a, np.float32) + 0.5, "b": random.random(b, np.float32) + 0.5}
    agree(N(kind, list(order), ["y"]), {"a": ("N", 3, 4, 5), "b": shape}, feeds=feeds)


def test_a_gate_for_any_batch(agree, expected, model):
    """(1,C,1,1) times (1,C,H,W), both computed: the 1 is a batch that may be another."""
    nodes = [
        N("GlobalAveragePool", ["x"], ["m"]),
        N("Sigmoid", ["m"], ["s"]),
        N("Mul", ["x", "s"], ["v"]),
        N("Add", ["v", "x"], ["y"]),
    ]
    net = agree(nodes, {"x": (1, 3, 4, 5)})
    assert [str(s) for s in net.inputs["x"].shape] == ["N", "3", "H", "W"]
    x = np.random.default_rng(2).random((2, 3, 6, 7), np.float32)
    wanted = expected(model(nodes, {"x": (2, 3, 6, 7)}), {"x": x})["y"]
    np.testing.assert_allclose(net.forward(x=x)["y"], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["Sum", "Max", "Min", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_many_tensors(kind, count, agree):
    names = list("abc")[:count]
    agree(N(kind, names, ["y"]), dict.fromkeys(names, (2, 3, 4)))


def test_broadcast_of_opset_6(convert):
    """Before opset 7 an attribute says where the second operand lies."""
    c = np.arange(4, dtype=np.float32)
    x = np.ones((2, 4, 7, 9), np.float32)
    got = convert(N("Add", ["x", "c"], ["y"], broadcast=1, axis=1), X, {"c": c}, opset=6).forward(x=x)["y"]
    np.testing.assert_array_equal(got, x + c[:, None, None])


@pytest.mark.parametrize("shapes", [((2, 3, 1), (2, 1, 4)), ((3, 1, 1, 4), (1, 2, 5, 4))], ids=str)
def test_two_tensors_that_widen_each_other(shapes, agree, types):
    assert types(agree(N("Mul", ["a", "b"], ["y"]), dict(zip("ab", shapes, strict=True)))) == ["Binary"]
