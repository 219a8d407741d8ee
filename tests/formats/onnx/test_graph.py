"""The walk: names, outputs, options, and the list of what cannot be converted."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError, InputError, RegistryError
from fbnet.engine.tensor import Dim
from fbnet.formats.onnx.graph import operator, operators
from onnx import TensorProto, helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}
W = {"w": (6, 4, 3, 3)}


def test_names_are_the_files(agree):
    nodes = [
        N("Conv", ["x", "w"], ["blob"], name="conv1"),
        N("Relu", ["blob"], ["y"]),
        N("Exp", ["y"], ["z"], name="e"),
    ]
    net = agree(nodes, X, W, outputs=["y", "z"])
    assert [(layer.name, layer.outputs) for layer in net] == [
        ("conv1", ("blob",)),
        ("y", ("y",)),
        ("e", ("z",)),
    ]
    assert net.outputs == ("y", "z")
    assert list(net.constants) == ["w"]
    assert net.name == "tiny"
    assert net.metadata["source"] == "tiny.onnx, ONNX opset 17"


def test_nodes_of_one_name_and_none(convert):
    nodes = [N("Relu", ["x"], ["a"], name="r"), N("Exp", ["a"], ["b"], name="r"), N("Abs", ["b"], ["y"])]
    assert [layer.name for layer in convert(nodes, X)] == ["r", "r_1", "y"]


def test_a_node_of_several_layers(convert):
    node = N("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], name="bn")
    net = convert(node, X, {"s": (4,)})
    assert [(layer.name, layer.outputs) for layer in net] == [
        ("bn/batchnorm", ("bn/batchnorm",)),
        ("bn", ("y",)),
    ]


def test_shared_weights_are_one_constant(agree):
    nodes = [N("Conv", ["x", "w"], ["a"], pads=[1] * 4), N("Conv", ["a", "w"], ["y"], pads=[1] * 4)]
    assert list(agree(nodes, X, {"w": (4, 4, 3, 3)}).constants) == ["w"]


def test_a_weight_with_the_name_of_another(agree):
    """Transposed weights are called <layer>.w, unless the file uses that name."""
    nodes = [
        N("MatMul", ["x", "fc.w"], ["a"], name="fc"),
        N("Gemm", ["a", "fc.w"], ["y"], transB=1, name="other"),
    ]
    assert len(agree(nodes, {"x": (2, 4)}, {"fc.w": (4, 3)}).constants) == 2


def test_identities_at_the_outputs(agree, types):
    """A dropped identity leaves its output's name to what was before it, if that can take it."""
    nodes = [
        N("Relu", ["x"], ["r"]),
        N("Identity", ["r"], ["y"]),
        N("Exp", ["r"], ["e"]),
        N("Identity", ["e"], ["z"]),
        N("Identity", ["e"], ["same"]),
        N("Identity", ["x"], ["input"]),
    ]
    net = agree(nodes, X, outputs=["y", "z", "same", "input"])
    assert sorted(types(net)) == ["Exp", "ReLU", "Reshape", "Reshape"]


def test_outputs_that_are_constants(convert):
    nodes = [
        N("Constant", [], ["y"], value_floats=[1.0, 2.0]),
        N("Identity", ["c"], ["z"]),
        N("Relu", ["x"], ["r"]),
    ]
    net = convert(nodes, {"x": (2,)}, {"c": (3,)}, outputs=["y", "z", "r"])
    np.testing.assert_array_equal(net.forward(x=np.zeros(2))["y"], [1, 2])


def test_nodes_that_no_output_needs_are_left_out(convert, types):
    nodes = [N("Relu", ["x"], ["y"]), N("NonMaxSuppression", ["x", "x"], ["unused"])]
    assert types(convert(nodes, {"x": (1, 2, 3)})) == ["ReLU"]


def test_optional_results_are_only_refused_when_needed(convert, model, monkeypatch):
    monkeypatch.setitem(operators, "com.example.MaxPool", lambda g, node, x: g.add("ReLU", x))
    half = N("MaxPool", ["x"], ["m", "rest"], kernel_shape=[2, 2])

    def made(nodes, outputs):
        found = model(nodes, X, outputs=outputs)
        found.graph.node[0].domain = "com.example"
        found.opset_import.append(helper.make_opsetid("com.example", 1))
        return found

    assert len(convert(made(half, ["m"]))) == 1
    message = r"m \(com\.example\.MaxPool\): its output 'rest' has no counterpart"
    for nodes, outputs in (([half, N("Cast", ["rest"], ["y"], to=1)], ["y"]), (half, ["m", "rest"])):
        with pytest.raises(ConversionError, match=message):
            convert(made(nodes, outputs))


def test_half_and_double_become_fp32(convert, model):
    for kind in (np.float16, np.float64):
        made = model(N("Add", ["x", "c"], ["y"]), {"x": (2, 3)}, {"c": np.arange(3, dtype=kind)})
        for value in (*made.graph.input, *made.graph.output):
            value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        got = convert(made).forward(x=np.ones((2, 3)))["y"]
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, [[1, 2, 3]] * 2)


def test_everything_unsupported_is_listed(convert):
    """Also behind a node that failed, and only what the outputs need."""
    nodes = [
        N("RandomUniformLike", ["x"], ["a"], name="noise"),
        N("RandomNormalLike", ["a"], ["b"], name="more"),
        N("Relu", ["b"], ["c"]),
        N("Dropout", ["c", "", "t"], ["d"], name="training"),
        N("LpNormalization", ["c"], ["e"], axis=1, p=3, name="cubes"),
        N("NonZero", ["x"], ["unused"]),
    ]
    with pytest.raises(ConversionError) as caught:
        convert(nodes, X, {"t": np.array(True)}, outputs=["d", "e"])
    found = [problem.split(":")[0] for problem in caught.value.problems]
    assert found == [
        "noise (RandomUniformLike)",
        "more (RandomNormalLike)",
        "training (Dropout)",
        "cubes (LpNormalization)",
    ]
    assert "p=3" in caught.value.problems[3]
    assert "tiny: 4 nodes cannot be converted" in str(caught.value)


def test_foreign_domains_are_named(convert, model):
    made = model([N("Relu", ["x"], ["a"]), N("Relu", ["a"], ["y"])], X)
    made.graph.node[0].domain = "com.example"
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(
        ConversionError, match=r"a \(com\.example\.Relu\): there is no layer for this operator"
    ):
        convert(made)


def test_shapes_that_do_not_fit_are_problems_too(convert):
    with pytest.raises(ConversionError, match=r"y \(Conv\): .* w needs C=4"):
        convert(N("Conv", ["x", "w"], ["y"]), X, {"w": (6, 5, 3, 3)})
    with pytest.raises(ConversionError, match=r"kernel_shape=\[5, 5\] but its weights are"):
        convert(N("Conv", ["x", "w"], ["y"], kernel_shape=[5, 5]), X, W)


def test_inputs_that_are_no_numbers(convert, model):
    made = model(N("Relu", ["x"], ["y"]), X)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(ConversionError, match=r"the input 'x' is no tensor of numbers"):
        convert(made)
    made = model(N("Softmax", ["x"], ["y"]), X)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ConversionError, match=r"Softmax computes with floating-point tensors only"):
        convert(made)


@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]
)
def test_inputs_keep_their_dtype(kind, convert, model):
    made = model(N("Equal", ["x", "c"], ["y"]), {"x": (2, 3)}, {"c": np.ones(3, kind)})
    made.graph.input[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    net = convert(made)
    assert net.inputs["x"].dtype.name == kind and net.specs()["y"].dtype.name == "bool"
    x = np.array([[0, 1, 1], [1, 0, 0]], kind)
    np.testing.assert_array_equal(net.forward(x=x)["y"], x == 1)


def test_what_depends_on_constants_alone_is_computed_at_once(agree, types):
    nodes = [N("Relu", ["c"], ["r"]), N("Elu", ["r"], ["e"]), N("Add", ["x", "e"], ["y"])]
    net = agree(nodes, X, {"c": (4, 1, 1)})
    assert types(net) == ["Bias"]


def test_options(convert, tmp_path):
    relu = N("Relu", ["x"], ["y"])
    net = convert(relu, X, shapes={"x": ("n", 4, "h", 9)})
    assert net.inputs["x"].shape == (1, 4, 224, 9)
    assert isinstance(net.inputs["x"].shape[2], Dim)
    with pytest.raises(InputError, match=r"no input 'X'. Did you mean 'x'"):
        convert(relu, X, shapes={"X": (1, 4, 8, 8)})
    with pytest.raises(InputError, match="one file"):
        fbnet.convert(tmp_path / "tiny.onnx", tmp_path / "other.bin")


def test_sizes_left_open(convert):
    shapes = [
        str(s) for s in convert(N("Relu", ["x"], ["y"]), {"x": (None, 3, None, None)}).inputs["x"].shape
    ]
    assert shapes == ["N", "3", "H", "W"]


def test_an_operator_is_registered_once():
    with pytest.raises(
        RegistryError, match=r"'Relu' is already registered by fbnet\.formats\.onnx\.elementwise"
    ):
        operator("Relu")(lambda g, node, x: x)
