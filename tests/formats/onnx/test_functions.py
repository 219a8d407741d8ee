"""Operators by their definitions, a model's own functions, and If and Loop where it is known what they do."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import helper, numpy_helper

N = helper.make_node
X = {"x": (2, 3, 4)}


def body(name, nodes, inputs, outputs, constants=()):
    return helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in inputs],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs],
        [numpy_helper.from_array(array, n) for n, array in constants],
    )


def test_an_operator_without_a_layer_is_its_definition(agree):
    net = agree(N("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2]), X)
    assert len(net) > 3


def test_a_models_own_function(model, convert, expected):
    """Called twice, with an attribute that it hands on."""
    leak = N("LeakyRelu", ["a"], ["t"])
    leak.attribute.add(name="alpha", ref_attr_name="slope", type=1)
    function = helper.make_function(
        "own", "Leaky", ["a", "b"], ["c"], [leak, N("Add", ["t", "b"], ["c"])],
        [helper.make_opsetid("", 17)], attributes=["slope"],
    )  # fmt: skip
    calls = [
        N("Leaky", ["x", "w"], ["h"], domain="own", slope=0.25),
        N("Leaky", ["h", "h"], ["y"], domain="own", slope=0.5),
    ]
    made = model(N("Add", ["x", "w"], ["y"]), X, {"w": (4,)})
    made.graph.ClearField("node")
    made.graph.node.extend(calls)
    made.functions.append(function)
    made.opset_import.append(helper.make_opsetid("own", 1))
    x = np.random.default_rng(2).normal(size=X["x"]).astype(np.float32)
    np.testing.assert_allclose(
        convert(made).forward(x=x)["y"], expected(made, {"x": x})["y"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("chosen", [True, False])
def test_if_takes_the_branch_that_is_known(chosen, agree, types):
    """The branches read what is around them, and have names and constants of their own."""
    branches = {
        "then_branch": body(
            "then", [N("Mul", ["x", "two"], ["r"])], [], [("r", 1)], [("two", np.float32(2))]
        ),
        "else_branch": body("else", [N("Relu", ["h"], ["r"])], [], [("r", 1)]),
    }
    nodes = [N("Neg", ["x"], ["h"]), N("If", ["c"], ["y"], **branches)]
    net = agree(nodes, X, {"c": np.array(chosen)})
    assert types(net)[-1] == ("Power" if chosen else "ReLU")


def test_a_loop_is_its_rounds(agree, types):
    """A state that is carried along, and what every round yields, one after the other."""
    round_ = body(
        "round",
        [N("Identity", ["on"], ["still"]), N("Add", ["s", "x"], ["t"]), N("Relu", ["t"], ["o"])],
        [("i", 7, ()), ("on", 9, ()), ("s", 1, None)],
        [("still", 9), ("t", 1), ("o", 1)],
    )
    loop = N("Loop", ["n", "", "x"], ["last", "all"], body=round_)
    net = agree(loop, {"x": (2, 3)}, {"n": np.array(3)}, outputs=["last", "all"])
    assert types(net).count("Eltwise") == 3


def test_what_is_not_known_is_refused(convert, model):
    branch = body("b", [N("Relu", ["x"], ["r"])], [], [("r", 1)])
    nodes = [
        N("ReduceMax", ["x"], ["m"], keepdims=0),
        N("Cast", ["m"], ["c"], to=9),
        N("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(ConversionError, match="needs its condition"):
        convert(nodes, X)
