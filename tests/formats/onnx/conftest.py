"""What the importer's tests share: tiny models, converted and held to onnxruntime on the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fbnet
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
Nodes = onnx.NodeProto | Sequence[onnx.NodeProto]
Shapes = Mapping[str, Sequence[int | str]]


def weights(*shape: int, low: float | None = None, seed: int = 7) -> np.ndarray:
    """Seeded fp32 numbers around 0, or from `low` up to `low` + 1."""
    random = np.random.default_rng([seed, *shape])
    return (random.normal(size=shape) if low is None else low + random.random(shape)).astype(np.float32)


def tiny_model(
    nodes: Nodes,
    inputs: Shapes,
    constants: Mapping[str, np.ndarray | tuple] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    low: float | None = None,
) -> onnx.ModelProto:
    """A model of fp32 inputs whose outputs declare a rank only. A constant that is a shape gets random numbers."""
    arrays = {
        name: weights(*given, low=low, seed=i) if isinstance(given, tuple) else np.asarray(given)
        for i, (name, given) in enumerate((constants or {}).items())
    }
    graph = helper.make_graph(
        [nodes] if isinstance(nodes, onnx.NodeProto) else nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = {o.name: o for o in onnx.shape_inference.infer_shapes(made).graph.output}
    for output in made.graph.output:
        known = inferred[output.name].type.tensor_type
        rank = len(known.shape.dim) if known.HasField("shape") else 0
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [None] * rank))
    return made


@pytest.fixture
def model() -> Callable[..., onnx.ModelProto]:
    """tiny_model(nodes, inputs, constants, outputs, opset, low)"""
    return tiny_model


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., fbnet.Net]:
    """convert(model, **options) or convert(nodes, inputs, constants, ..., **options) -> Net"""

    def run(
        first: onnx.ModelProto | Nodes, *rest: Any, shapes: Shapes | None = None, **described: Any
    ) -> fbnet.Net:
        made = first if isinstance(first, onnx.ModelProto) else tiny_model(first, *rest, **described)
        path = tmp_path / "tiny.onnx"
        path.write_bytes(made.SerializeToString())
        return fbnet.convert(path, **({} if shapes is None else {"shapes": shapes}))

    return run


@pytest.fixture
def expected() -> Callable[..., dict[str, np.ndarray]]:
    """expected(model or path, feeds) -> onnxruntime's outputs"""

    def run(made: onnx.ModelProto | Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        source = str(made) if isinstance(made, Path) else made.SerializeToString()
        session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, dict(feeds)), strict=True))

    return run


@pytest.fixture
def agree(convert: Callable, expected: Callable) -> Callable[..., fbnet.Net]:
    """agree(nodes, inputs, constants, ..., feeds=None) converts, runs both, compares to 1e-5 -> Net"""

    def run(
        nodes: Nodes,
        inputs: Shapes,
        constants: Mapping[str, Any] | None = None,
        feeds: Mapping[str, np.ndarray] | None = None,
        low: float | None = None,
        **described: Any,
    ) -> fbnet.Net:
        made = tiny_model(nodes, inputs, constants, low=low, **described)
        net = convert(made)
        if feeds is None:
            feeds = {name: weights(*map(int, spec.shape), low=low) for name, spec in net.inputs.items()}
        got, wanted = net.forward(**feeds), expected(made, feeds)
        assert list(got) == list(wanted)
        for name, array in wanted.items():
            assert (got[name].shape, got[name].dtype) == (array.shape, array.dtype)
            np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)
        return net

    return run


@pytest.fixture
def types() -> Callable[[fbnet.Net], list[str]]:
    """types(net) -> its layers' types, in order"""
    return lambda net: [layer.type for layer in net.layers]
