"""Reductions, running sums and sorting, held to onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from fbnet.formats.onnx.reduce import REDUCE
from onnx import TensorProto, helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}


@pytest.mark.parametrize("operator", REDUCE)
@pytest.mark.parametrize("axes", [(1,), (-1,), (0, 2), (2, 3), (1, 2, 3), None], ids=str)
@pytest.mark.parametrize("keep", [0, 1])
def test_reduce(operator, axes, keep, agree):
    low = 0.5 if operator == "ReduceLogSum" else None
    if operator == "ReduceSum":  # axes have been an input since opset 13, those of the others since 18
        names = ["x"] if axes is None else ["x", "axes"]
        constants = {} if axes is None else {"axes": np.array(axes)}
        agree(N(operator, names, ["y"], keepdims=keep), X, constants, low=low)
    else:
        named = {} if axes is None else {"axes": axes}
        agree(N(operator, ["x"], ["y"], keepdims=keep, **named), X, low=low)


def test_axes_of_opset_18(agree, types):
    net = agree(N("ReduceMean", ["x", "axes"], ["y"]), X, {"axes": np.array([1])}, opset=18)
    assert types(net) == ["Reduction"]


def test_an_images_mean_is_pooling(agree, types):
    for axes, keep in (((2, 3), 1), ((-1, -2), 0)):
        net = agree(N("ReduceMean", ["x"], ["y"], axes=axes, keepdims=keep), X)
        assert "Pooling" in types(net)


def test_no_axes_and_nothing_to_do(agree):
    node = N("ReduceMean", ["x", "axes"], ["y"], noop_with_empty_axes=1)
    agree(node, X, {"axes": np.zeros(0, np.int64)}, opset=18)


def test_whole_numbers_keep_their_dtype(convert, model):
    for operator in ("ReduceMax", "ReduceMean"):
        made = model(N(operator, ["x"], ["y"], axes=[1]), {"x": (2, 3)})
        made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
        got = convert(made).forward(x=np.array([[1, 2, 4], [7, -9, 2]]))["y"]
        assert got.dtype == np.int32 and got.tolist() == (
            [[4], [7]] if operator == "ReduceMax" else [[2], [0]]
        )


@pytest.mark.parametrize(
    "flags", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}], ids=str
)
def test_cumsum(flags, agree):
    agree(N("CumSum", ["x", "axis"], ["y"], **flags), X, {"axis": np.array(-2)})


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(
    "flags", [{}, {"axis": 2, "keepdims": 0}, {"axis": -1, "select_last_index": 1}], ids=str
)
def test_arg_max(operator, flags, convert, model, expected):
    made = model(N(operator, ["x"], ["y"], **flags), X)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    x = np.random.default_rng(5).integers(0, 4, X["x"]).astype(np.float32)
    np.testing.assert_array_equal(convert(made).forward(x=x)["y"], expected(made, {"x": x})["y"])


@pytest.mark.parametrize("flags", [{}, {"axis": 1}, {"largest": 0}], ids=str)
def test_top_k(flags, convert, model, expected):
    made = model(
        N("TopK", ["x", "k"], ["y", "places"], **flags), X, {"k": np.array([3])}, outputs=["y", "places"]
    )
    made.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    x = np.random.default_rng(5).integers(0, 20, X["x"]).astype(np.float32)
    got, wanted = convert(made).forward(x=x), expected(made, {"x": x})
    for name in ("y", "places"):
        np.testing.assert_array_equal(got[name], wanted[name])


def test_what_needs_a_fixed_size_says_so(convert):
    with pytest.raises(ConversionError, match="whose size n may change"):
        convert(N("TopK", ["x", "k"], ["y", "i"]), {"x": (2, "n")}, {"k": np.array([3])})
    with pytest.raises(ConversionError, match="p=3: it is 1 or 2"):
        convert(N("LpNormalization", ["x"], ["y"], p=3), X)
