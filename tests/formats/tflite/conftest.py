"""What the importer's tests share: tiny models, written by TensorFlow Lite's own schema and held to its runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fbnet
import flatbuffers
import numpy as np
import pytest

# TensorType; int4 are given as the bytes they lie in
TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float64": 10,
    "int4": 17,
}


def weights(*shape: int, low: float | None = None, seed: int = 7) -> np.ndarray:
    """Seeded fp32 numbers around 0, or from `low` up to `low` + 1."""
    random = np.random.default_rng([seed, *shape])
    return (random.normal(size=shape) if low is None else low + random.random(shape)).astype(np.float32)


class Op:
    """An operator: `Op("CONV_2D", "x w b", "y", padding=0, strideH=1)`; options have the schema's own names."""

    def __init__(
        self,
        type: str,
        inputs: str,
        outputs: str = "y",
        options: str = "",
        custom: bytes = b"",
        **values: Any,
    ):
        self.type, self.inputs, self.outputs = type, inputs.split(), outputs.split()
        self.options, self.custom, self.values = options, custom, values


@pytest.fixture(scope="session")
def schema() -> Any:
    """TensorFlow Lite's generated code."""
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


@pytest.fixture(scope="session")
def build(schema: Any) -> Callable[..., bytes]:
    """build(ops, inputs={name: shape}, constants={name: array}, outputs="y", types={name: dtype}, ...) -> a file"""

    def run(
        ops: Op | Sequence[Op],
        inputs: Mapping[str, Sequence[int]],
        constants: Mapping[str, np.ndarray] | None = None,
        outputs: str = "y",
        types: Mapping[str, str] | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        quantization: Mapping[str, tuple] | None = None,
        sparsity: Mapping[str, Any] | None = None,
    ) -> bytes:
        ops = [ops] if isinstance(ops, Op) else list(ops)
        arrays = {name: np.asarray(a) for name, a in (constants or {}).items()}
        names = list(
            dict.fromkeys(
                [*inputs, *arrays, *(n for op in ops for n in (*op.inputs, *op.outputs) if n != "-")]
            )
        )
        model = schema.ModelT()
        model.version, model.description = 3, "tiny"
        model.buffers, model.operatorCodes = [schema.BufferT()], []
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.name = [], [], "main"
        for name in names:
            tensor = schema.TensorT()
            array = arrays.get(name)
            tensor.name = name
            stored = str(array.dtype) if array is not None else "float32"
            tensor.type = TYPES[(types or {}).get(name, stored)]
            tensor.shape = list(
                inputs.get(name, (shapes or {}).get(name, array.shape if array is not None else ()))
            )
            if array is not None:
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(array.tobytes(), np.uint8)
                model.buffers.append(buffer)
                tensor.buffer = len(model.buffers) - 1
            if name in (quantization or {}):
                scale, zero, axis = quantization[name]
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = list(scale), list(zero)
                tensor.quantization.quantizedDimension = axis
            if name in (sparsity or {}):
                tensor.sparsity = sparsity[name]
            graph.tensors.append(tensor)
        for op in ops:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, op.type, schema.BuiltinOperator.CUSTOM)
            code.builtinCode, code.deprecatedBuiltinCode, code.version = (
                number,
                min(number, 127),
                op.values.pop("version", 1),
            )
            if number == schema.BuiltinOperator.CUSTOM:
                code.customCode = op.type
            model.operatorCodes.append(code)
            row = schema.OperatorT()
            row.opcodeIndex = len(model.operatorCodes) - 1
            row.inputs = [-1 if n == "-" else names.index(n) for n in op.inputs]
            row.outputs = [names.index(n) for n in op.outputs]
            if op.options:
                row.builtinOptionsType = getattr(schema.BuiltinOptions, op.options)
                row.builtinOptions = getattr(schema, f"{op.options}T")()
                for key, value in op.values.items():
                    assert hasattr(row.builtinOptions, key), key
                    setattr(row.builtinOptions, key, value)
            if op.custom:
                row.customOptions = np.frombuffer(op.custom, np.uint8)
            graph.operators.append(row)
        graph.inputs = [names.index(n) for n in inputs]
        graph.outputs = [names.index(n) for n in outputs.split()]
        model.subgraphs = [graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return run


@pytest.fixture(scope="session")
def judge() -> Callable[..., dict[str, np.ndarray]]:
    """judge(file or path, feeds) -> what TensorFlow Lite's runtime computes, by the names of the outputs.

    Its plain kernels, not the fast ones. Feeds of another shape than the file's resize the net; None if it cannot be.
    """
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")

    def run(model: bytes | Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        given = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        kernels = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        net = interpreter.Interpreter(experimental_op_resolver_type=kernels, **given)
        rows = {row["name"]: row for row in net.get_input_details()}
        try:
            for name, array in feeds.items():
                if tuple(rows[name]["shape"]) != array.shape:
                    net.resize_tensor_input(rows[name]["index"], array.shape)
            net.allocate_tensors()
            for name, array in feeds.items():
                net.set_tensor(rows[name]["index"], array)
            net.invoke()
        except RuntimeError:
            if any(tuple(rows[name]["shape"]) != array.shape for name, array in feeds.items()):
                return None
            raise
        return {row["name"]: net.get_tensor(row["index"]) for row in net.get_output_details()}

    return run


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., fbnet.Net]:
    """convert(bytes) -> Net"""

    def run(model: bytes) -> fbnet.Net:
        path = tmp_path / "tiny.tflite"
        path.write_bytes(model)
        return fbnet.convert(path)

    return run


@pytest.fixture
def agree(build: Callable, convert: Callable, judge: Callable) -> Callable[..., fbnet.Net]:
    """agree(ops, inputs, constants, ...) converts, runs both, compares to 1e-5 -> Net

    With the file's sizes; and with a batch of 3, and with larger images, where the net says that it takes them. There
    the runtime need not: then a batch must be as its images one by one.
    """

    def same(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], tolerance: float) -> None:
        assert list(got) == list(wanted)
        for name, array in wanted.items():
            assert (got[name].shape, got[name].dtype) == (array.shape, array.dtype), name
            np.testing.assert_allclose(got[name], array, rtol=tolerance, atol=tolerance)

    def run(
        ops: Op | Sequence[Op],
        inputs: Mapping[str, Sequence[int]],
        constants: Mapping[str, Any] | None = None,
        low: float | None = None,
        feeds: Mapping[str, np.ndarray] | None = None,
        tolerance: float = 1e-5,
        larger: bool = True,
        **described: Any,
    ) -> fbnet.Net:
        model = build(ops, inputs, constants, **described)
        net = convert(model)
        if feeds is None:
            feeds = {name: weights(*shape, low=low) for name, shape in inputs.items()}
        same(net.forward(**feeds), judge(model, feeds), tolerance)
        first = next(iter(net.inputs.values())) if net.inputs else None
        free = [isinstance(s, fbnet.Dim) for s in first.shape] if first else []
        if free and free[0] and all(s[0] == 1 for s in inputs.values()):
            many = {name: np.concatenate([a, a[..., ::-1], 2 * a]) for name, a in feeds.items()}
            each = [judge(model, {name: a[i : i + 1] for name, a in many.items()}) for i in range(3)]
            same(net.forward(**many), {k: np.concatenate([e[k] for e in each]) for k in each[0]}, tolerance)
        if len(free) == 4 and free[1] and larger:
            wide = {name: weights(s[0], s[1] + 32, s[2] + 64, s[3], low=low) for name, s in inputs.items()}
            wanted = judge(model, wide)
            if wanted is not None:
                same(net.forward(**wide), wanted, tolerance)
        return net

    return run


@pytest.fixture
def ops() -> Any:
    """ops.Op, ops.weights"""
    return SimpleNamespace(Op=Op, weights=weights)


@pytest.fixture
def types() -> Callable[[fbnet.Net], list[str]]:
    """types(net) -> its layers' types, in order"""
    return lambda net: [layer.type for layer in net.layers]
