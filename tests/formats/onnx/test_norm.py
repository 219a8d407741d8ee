"""Products with a matrix, and normalisation, opset by opset."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import helper

N = helper.make_node

# name: (attributes, shape of B, shape of C)
GEMMS = {
    "plain": ({}, (5, 6), None),
    "row": ({}, (5, 6), (6,)),
    "one row": ({"transB": 1}, (6, 5), (1, 6)),
    "number": ({"alpha": 0.5, "beta": 2.0}, (5, 6), (1,)),
    "scaled": ({"alpha": 0.5, "beta": 2.0, "transB": 1}, (6, 5), (6,)),
    "whole": ({"beta": -1.5}, (5, 6), (3, 6)),
    "column": ({"beta": -1.5}, (5, 6), (3, 1)),
    "no beta": ({"beta": 0.0}, (5, 6), (6,)),
}


@pytest.mark.parametrize("case", GEMMS)
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("computed", ["", "b", "bc"])
def test_gemm(case, turned, computed, agree):
    attributes, b, c = GEMMS[case]
    tensors = {"b": b} | ({} if c is None else {"c": c})
    inputs = {"a": (5, 3) if turned else (3, 5)} | {k: v for k, v in tensors.items() if k in computed}
    constants = {k: v for k, v in tensors.items() if k not in computed}
    agree(N("Gemm", ["a", *tensors], ["y"], transA=turned, **attributes), inputs, constants)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 4, 3, 5)], ids=str)
def test_matmul(shape, agree, types):
    assert types(agree(N("MatMul", ["x", "w"], ["y"]), {"x": shape}, {"w": (5, 6)})) == ["InnerProduct"]
    agree(N("MatMul", ["x", "w"], ["y"]), {"x": shape}, {"w": (1,) * (len(shape) - 2) + (5, 6)})


def test_matmul_of_two_tensors(agree):
    agree(N("MatMul", ["a", "b"], ["y"]), {"a": (3, 5), "b": (5, 2)})


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3, 5), (2, 5, 2)), ((4, 1, 3, 5), (2, 5, 2)), ((5,), (2, 5, 3)), ((3, 5), (5,)), ((5,), (5,))],
    ids=str,
)
def test_matmul_broadcasts(a, b, agree):
    agree(N("MatMul", ["a", "b"], ["y"]), {"a": a, "b": b})


EINSUMS = {
    "ij,jk->ik": [(3, 5), (5, 2)], "bhqd,bhkd->bhqk": [(2, 3, 4, 5), (2, 3, 6, 5)],
    "...ij,...jk": [(2, 3, 5), (1, 5, 2)],
    "i,j->ij": [(3,), (4,)], "ij->ji": [(3, 4)], "ijk->k": [(2, 3, 4)], "ii->i": [(4, 4)], "bii->b": [(2, 3, 3)],
    "ab,bc,cd->ad": [(2, 3), (3, 4), (4, 5)], "bchw,bc->bhw": [(2, 3, 4, 5), (2, 3)],
}  # fmt: skip


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation, agree):
    names = "abc"[: len(EINSUMS[equation])]
    agree(
        N("Einsum", list(names), ["y"], equation=equation), dict(zip(names, EINSUMS[equation], strict=True))
    )


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalization(axis, agree, types):
    shape = (4, 6) if axis == 1 else (6,)
    node = N("LayerNormalization", ["x", "s", "b"], ["y"], axis=axis, epsilon=1e-3)
    assert types(agree(node, {"x": (2, 4, 6)}, {"s": shape, "b": shape})) == ["LayerNorm"]


def test_instance_normalization(agree, types):
    node = N("InstanceNormalization", ["x", "s", "b"], ["y"])
    assert types(agree(node, {"x": (2, 4, 5, 6)}, {"s": (4,), "b": (4,)})) == ["GroupNorm"]


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 4, 7, 9), (2, 4)], ids=str)
def test_batch_normalization(opset, shape, agree, types):
    node = N("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)
    constants = dict.fromkeys("sbmv", (4,))
    assert types(agree(node, {"x": shape}, constants, low=0.5, opset=opset)) == ["BatchNorm", "Scale"]


@pytest.mark.parametrize("attributes", [{"training_mode": 1}, {"spatial": 0}], ids=str)
def test_batch_normalization_refused(attributes, convert):
    node = N("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], **attributes)
    with pytest.raises(ConversionError, match=next(iter(attributes))):
        convert(
            node,
            {"x": (2, 4, 7, 9)},
            dict.fromkeys("sbmv", (4,)),
            opset=15 if "training_mode" in attributes else 8,
        )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn(size, agree):
    agree(N("LRN", ["x"], ["y"], size=size, alpha=0.3, beta=0.7, bias=1.5), {"x": (2, 8, 3, 3)})


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 1, 1), (2, 3, 4), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("axis", [None, -1, 1, 0])
def test_softmax(kind, opset, shape, axis, agree):
    """Before opset 13 all axes from `axis` on are one."""
    agree(N(kind, ["x"], ["y"], **({} if axis is None else {"axis": axis})), {"x": shape}, opset=opset)


def test_layer_normalization_in_parts(agree, types):
    """As exporters wrote it before there was an operator: centred, squared, averaged, divided."""
    nodes = [
        N("ReduceMean", ["x"], ["m"], axes=[-1]),
        N("Sub", ["x", "m"], ["d"]),
        N("Pow", ["d", "two"], ["q"]),
        N("ReduceMean", ["q"], ["v"], axes=[-1]),
        N("Add", ["v", "eps"], ["e"]),
        N("Sqrt", ["e"], ["r"]),
        N("Div", ["d", "r"], ["n"]),
        N("Mul", ["n", "s"], ["w"]),
        N("Add", ["w", "b"], ["y"]),
    ]
    constants = {"two": np.float32(2), "eps": np.float32(1e-3), "s": (7,), "b": (7,)}
    assert types(agree(nodes, {"x": (2, 5, 7)}, constants)) == ["LayerNorm"]
    cubed = agree(nodes[:7], {"x": (2, 5, 7)}, constants | {"two": np.float32(4)}, outputs=["n"])
    assert "LayerNorm" not in types(cubed)


def test_instance_normalization_in_parts(agree, types):
    nodes = [
        N("ReduceMean", ["x"], ["m"], axes=[2, 3]),
        N("Sub", ["x", "m"], ["d"]),
        N("Mul", ["d", "d"], ["q"]),
        N("ReduceMean", ["q"], ["v"], axes=[2, 3]),
        N("Add", ["eps", "v"], ["e"]),
        N("Sqrt", ["e"], ["r"]),
        N("Div", ["d", "r"], ["y"]),
    ]
    assert types(agree(nodes, {"x": (2, 3, 5, 7)}, {"eps": np.float32(1e-5)})) == ["GroupNorm"]
