"""If, Loop and Scan where it is known beforehand what they do, held to onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import TensorProto, helper, numpy_helper

N = helper.make_node
FLOAT = TensorProto.FLOAT


def body(nodes, inputs, outputs, constants=None):
    """A sub-graph of fp32 tensors of unknown shape, but for those of another type."""
    kinds = {"round": TensorProto.INT64, "go": TensorProto.BOOL, "goes": TensorProto.BOOL}

    def info(name):
        kind = kinds.get(name.rstrip("2"), FLOAT)
        return helper.make_tensor_value_info(name, kind, None if kind == FLOAT else [])

    stored = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    return helper.make_graph(nodes, "body", list(map(info, inputs)), list(map(info, outputs)), stored)


def running_sum():
    """Of each slice: the sum so far, twice."""
    nodes = [N("Add", ["total", "slice"], ["next"]), N("Add", ["next", "next"], ["twice"])]
    return body(nodes, ["total", "slice"], ["next", "twice"])


@pytest.mark.parametrize("directions", [{}, {"scan_input_directions": [1], "scan_output_directions": [1]}])
@pytest.mark.parametrize("axes", [{}, {"scan_input_axes": [1], "scan_output_axes": [1]}])
def test_scan(axes, directions, agree):
    scan = N("Scan", ["s", "x"], ["last", "y"], body=running_sum(), num_scan_inputs=1, **axes, **directions)
    agree(scan, {"x": (3, 4), "s": (3,) if axes else (4,)}, outputs=["last", "y"])


def test_scan_over_an_open_size(convert):
    scan = N("Scan", ["s", "x"], ["last", "y"], body=running_sum(), num_scan_inputs=1)
    with pytest.raises(ConversionError, match="goes over T rounds: one number must be known"):
        convert(scan, {"x": ("T", 4), "s": (4,)}, outputs=["last", "y"])


def test_loop(agree):
    nodes = [
        N("Identity", ["go"], ["goes"]),
        N("Mul", ["held", "factor"], ["next"]),
        N("Neg", ["next"], ["row"]),
    ]
    inside = body(nodes, ["round", "go", "held"], ["goes", "next", "row"], {"factor": np.float32([2])})
    loop = N("Loop", ["n", "", "x"], ["last", "y"], body=inside)
    agree(loop, {"x": (2, 3)}, {"n": np.array(4)}, outputs=["last", "y"])


@pytest.mark.parametrize("chosen", [True, False])
def test_if(chosen, agree, types):
    branches = {
        "then_branch": body([N("Relu", ["x"], ["r"])], [], ["r"]),
        "else_branch": body([N("Elu", ["x"], ["e"])], [], ["e"]),
    }
    net = agree(N("If", ["c"], ["y"], **branches), {"x": (2, 3)}, {"c": np.array(chosen)})
    assert types(net) == ["ReLU" if chosen else "ELU"]


def test_rounds_without_end_are_refused(convert):
    nodes = [N("Identity", ["go"], ["goes"]), N("Relu", ["held"], ["next"])]
    loop = N("Loop", ["n", "", "x"], ["y"], body=body(nodes, ["round", "go", "held"], ["goes", "next"]))
    with pytest.raises(ConversionError, match="goes 9000000000 rounds"):
        convert(loop, {"x": (2, 3)}, {"n": np.array(9_000_000_000)})
    inner = N("Loop", ["m", "", "all"], ["after"], body=loop.attribute[0].g)
    nodes = [N("Identity", ["go2"], ["goes2"]), inner]
    outer = body(nodes, ["round2", "go2", "all"], ["goes2", "after"], {"m": np.array(4000)})
    with pytest.raises(ConversionError, match="nodes of this model: refused"):
        convert(N("Loop", ["n", "", "x"], ["y"], body=outer), {"x": (2, 3)}, {"n": np.array(4000)})
