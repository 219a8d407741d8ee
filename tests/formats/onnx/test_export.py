"""The way out: every layer as ONNX gives onnxruntime the same numbers, and comes back through our own importer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import fbnet
import numpy as np
import onnx
import onnxruntime
import pytest
from fbnet.engine.dtype import dtype_of
from fbnet.engine.layer import Elementwise, Layer, layer, layers
from fbnet.engine.net import Net
from fbnet.engine.rewrite import apply
from fbnet.engine.tensor import Dim, Spec, Tensor
from fbnet.formats.onnx import export
from fbnet.formats.onnx.export import write
from fbnet.formats.onnx.writer import table, written
from fbnet.layers.examples import cases
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplemented_

# What ONNX can express and our importer may have no layer for.
ONE_WAY = (
    "GELU()",
    "MVN(across_channels=True)",
    "MVN(normalize_variance=False)",
)


def run(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """onnxruntime's outputs, every node as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, dict(inputs)), strict=True))


def same(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)


@pytest.fixture
def agree(tmp_path: Path) -> Callable[..., Net]:
    """agree(net, inputs, back=True) writes it, runs it elsewhere, reads it back -> the net read back

    Without `back`, our own importer may refuse it.
    """

    def check(net: Net, inputs: Mapping[str, np.ndarray], back: bool = True) -> Net:
        path = tmp_path / "net.onnx"
        net.save(path)
        onnx.checker.check_model(str(path), full_check=True)
        wanted = net.forward(**inputs)
        same(run(path, inputs), wanted)
        try:
            again = fbnet.convert(path)
        except fbnet.ConversionError:
            if back:
                raise
            return net
        same(again.forward(**inputs), wanted)
        return again

    return check


def one_layer(case: Any) -> tuple[Net, dict[str, np.ndarray]]:
    """A net of the case's layer alone, and its inputs; weights are constants."""
    arrays = case.arrays()
    count = len(arrays) if case.layer.variadic else 1
    inputs = {f"x{i}": array for i, array in enumerate(arrays[:count])}
    only = case.layer.replace(name="one", inputs=[*inputs, *arrays[count:]])
    return Net([only], inputs={n: Spec(a.shape, dtype_of(a)) for n, a in inputs.items()}), inputs


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_layer(case, agree):
    if case.layer.type not in table:
        pytest.skip(f"{case.layer.type} is not written as ONNX")
    if getattr(case.layer, "antialias", False):
        pytest.skip("opset 17, which is written, has no antialiasing")
    net, inputs = one_layer(case)
    back = not repr(case.layer).startswith(ONE_WAY)
    try:
        agree(net, inputs, back)
        agree(net.loosened(), inputs, back)
    except fbnet.ConversionError as error:
        if "in opset 17 there is no operator" not in str(error):
            raise
        pytest.skip(str(error))
    except (NotImplemented_, Fail) as error:
        if not case.dtypes:
            raise
        pytest.skip(f"onnxruntime refuses this with whole numbers: {error}")


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def small(*rest: Layer, outputs: tuple[str, ...] | None = None) -> Net:
    """A convolution of images of open size, and what comes behind it."""
    conv = layers["Convolution"]("x", weights(4, 3, 3, 3), weights(4), name="conv", pad=(1, 1, 1, 1))
    shape = (Dim("N", 2), 3, Dim("H", 9), Dim("W", 8))
    return Net([conv, *rest], inputs={"x": shape}, outputs=outputs)


def declared(path: Path) -> list[Any]:
    """The sizes of the only input: numbers, or names."""
    (given,) = onnx.load(path).graph.input
    return [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]


def test_sizes_stay_open_where_they_can(agree, tmp_path):
    net = small(layers["Pooling"]("conv", name="pool", kernel=(3, 3), stride=(2, 2)))
    agree(net, {"x": weights(2, 3, 9, 8)})
    assert declared(tmp_path / "net.onnx") == ["N", 3, "H", "W"]
    wanted = net.forward(x=weights(1, 3, 15, 4))
    same(run(tmp_path / "net.onnx", {"x": weights(1, 3, 15, 4)}), wanted)


@pytest.mark.parametrize("method", ["max", "average"])
@pytest.mark.parametrize("pad", [0, 1])
def test_rounding_up_leaves_sizes_open(agree, tmp_path, method, pad):
    pool = layers["Pooling"](
        "conv", name="pool", method=method, kernel=(3, 3), stride=(2, 2), pad=[pad] * 4, ceil=True
    )
    net = small(pool)
    agree(net, {"x": weights(2, 3, 9, 8)})
    assert declared(tmp_path / "net.onnx") == ["N", 3, "H", "W"]
    for h, w in [(4, 5), (5, 4), (7, 7), (8, 8)]:
        x = weights(1, 3, h, w)
        same(run(tmp_path / "net.onnx", {"x": x}), net.forward(x=x))


@pytest.mark.parametrize("method", ["max", "average"])
@pytest.mark.parametrize("shape", [(9, 8), (10, 10), (11, 7)])
def test_windows_that_caffe_leaves_out_fix_images_but_not_the_batch(agree, tmp_path, method, shape):
    pool = layers["Pooling"](
        "conv", name="pool", method=method, kernel=(2, 3), stride=(3, 3), pad=[1] * 4, ceil=True
    )
    net = small(pool).replace(inputs={"x": (Dim("N", 2), 3, Dim("H", shape[0]), Dim("W", shape[1]))})
    agree(net, {"x": weights(2, 3, *shape)})
    assert declared(tmp_path / "net.onnx") == ["N", 3, *shape]
    x = weights(5, 3, *shape)
    same(run(tmp_path / "net.onnx", {"x": x}), net.forward(x=x))


def test_a_size_that_only_the_batch_could_give_is_fixed_too(agree, tmp_path):
    make = layers["Reshape"]
    net = Net(
        [make("x", name="y", shape=(3, -1), axis=1, num_axes=2)], inputs={"x": (Dim("N", 2), Dim("T", 6), 4)}
    )
    agree(net, {"x": weights(2, 6, 4)}, back=False)
    flat = Net([layers["Flatten"]("x", name="y", axis=0, end_axis=1)], inputs={"x": (Dim("N", 2), 3, 5)})
    agree(flat, {"x": weights(2, 3, 5)})
    cut = layers["Slice"]("x", axis=0, points=(1,), outputs=("a", "b"), name="cut")
    agree(Net([cut], inputs={"x": (Dim("N", 2), 3)}), {"x": weights(2, 3)})
    assert declared(tmp_path / "net.onnx") == [2, 3]


def test_batch_norm_and_scale_are_one_node(agree, tmp_path):
    mean, var, factor, shift = weights(4), np.abs(weights(4)) + 0.5, weights(4) + 2, weights(4)
    norm = layers["BatchNorm"]("conv", mean, var, name="bn", eps=0.1)
    net = small(
        norm, layers["Scale"]("bn", factor, shift, name="scale"), layers["ReLU"]("scale", name="relu")
    )
    agree(net, {"x": weights(2, 3, 9, 8)})
    kinds = [n.op_type for n in onnx.load(tmp_path / "net.onnx").graph.node]
    assert kinds == ["Conv", "BatchNormalization", "Relu"]
    # but not if somebody else reads what lies between, or the scale has other axes
    net = small(norm, layers["Scale"]("bn", factor, name="scale"), outputs=("bn", "scale"))
    agree(net, {"x": weights(2, 3, 9, 8)})
    net = small(norm, layers["Scale"]("bn", weights(2), name="scale", axis=0)).replace(
        inputs={"x": (2, 3, 9, 8)}
    )
    agree(net, {"x": weights(2, 3, 9, 8)})
    assert [n.op_type for n in onnx.load(tmp_path / "net.onnx").graph.node] == [*kinds[:2], "Mul"]


def test_squeeze_and_excitation(agree):
    squeezed = layers["Pooling"]("conv", name="pool", method="average", global_pooling=True)
    gate = layers["Sigmoid"]("pool", name="gate")
    net = small(
        squeezed,
        gate,
        layers["Flatten"]("gate", name="flat"),
        layers["Scale"]("conv", "flat", name="y", axis=0),
    )
    agree(net, {"x": weights(2, 3, 9, 8)})


def test_a_residual_that_was_fused_is_added(agree, tmp_path):
    block = [
        layers["Convolution"]("conv", weights(4, 4, 1, 1), name="c"),
        layers["Eltwise"]("c", "conv", name="sum"),
        layers["ReLU"]("sum", name="y"),
    ]
    net = apply(small(*block))
    assert len(net["c"].inputs) == 4
    agree(net, {"x": weights(2, 3, 9, 8)})


def test_every_layer_is_written_with_all_that_it_reads():
    for name, function in table.items():
        reads = signature(layers[name].infer).parameters
        takes = list(signature(function).parameters.values())[2:]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in takes)
        assert variadic or len(takes) >= len(reads) - 1, name


def test_weights_that_are_computed(agree):
    inputs = {"x": weights(2, 3, 4), "w": weights(5, 4), "s": weights(3)}
    product = layers["InnerProduct"]("x", "w", name="product", axis=2)
    net = Net(
        [product, layers["PReLU"]("product", "s", name="prelu"), layers["Bias"]("prelu", "s", name="y")],
        inputs={name: array.shape for name, array in inputs.items()},
    )
    agree(net, inputs, back=False)


def test_dropout_leaves_no_node(agree, tmp_path):
    net = small(layers["Dropout"]("conv", name="drop"), layers["ReLU"]("drop", name="relu"))
    agree(net, {"x": weights(2, 3, 9, 8)})
    assert [n.op_type for n in onnx.load(tmp_path / "net.onnx").graph.node] == ["Conv", "Relu"]
    agree(
        small(layers["Dropout"]("conv", name="drop")), {"x": weights(2, 3, 9, 8)}
    )  # but a result keeps its name


def test_results_that_are_no_layers(agree):
    bias = Tensor("b", data=weights(3))
    net = Net([layers["Bias"]("x", bias, name="y")], inputs={"x": (2, 3)}, outputs=("y", "x", "b"))
    agree(net, {"x": weights(2, 3)}, back=False)


def test_names_are_kept(agree, tmp_path):
    again = agree(small(layers["ReLU"]("conv", name="relu")), {"x": weights(2, 3, 9, 8)})
    assert [one.name for one in again.layers] == ["conv", "relu"]
    assert list(again.constants) == ["conv.w", "conv.b"]
    assert str(again.inputs["x"]) == "fp32[N,3,H,W]"


def test_a_name_that_is_taken(agree):
    """A net may call its tensors as the exporter would call its own."""
    names = ["relu/conv", "relu/constant", "relu/mul"]
    made = [
        layers["Power"](a, name=b, scale=2.0, shift=1.0)
        for a, b in zip(["x", *names], [*names, "relu"], strict=True)
    ]
    agree(Net(made, inputs={"x": (2, 3)}), {"x": weights(2, 3)})


def test_half_precision_weights_become_fp32(agree):
    net = small()
    half = {name: t.data.astype(np.float16) for name, t in net.constants.items()}
    full = {name: a.astype(np.float32) for name, a in half.items()}
    path = agree(net.replace(constants=full), {"x": weights(2, 3, 9, 8)})
    net.replace(constants=half)
    assert [str(t.spec.dtype) for t in path.constants.values()] == ["fp32", "fp32"]


def test_metadata_travels(tmp_path):
    small().replace(metadata={"labels": ["a", "b"]}).save(tmp_path / "net.onnx")
    properties = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(properties["labels"]) == ["a", "b"]


def test_all_that_cannot_be_written_is_told_at_once(tmp_path):
    @layer("TestZork")
    class Zork(Elementwise):
        """y = x        x: (...) -> y: (...)"""

        def reference(self, x):
            return x

    try:
        fused = layers["Convolution"]("conv", weights(2, 4, 1, 1), name="fused", activation="TestZork")
        net = small(Zork("conv", name="a"), layers["ReLU"]("a", name="b"), fused)
        with pytest.raises(fbnet.ConversionError) as caught:
            write(net, tmp_path / "net.onnx")
    finally:
        layers.discard("TestZork")
    assert caught.value.problems == (
        "a (TestZork): there is no operator for this layer type",
        "fused (Convolution): its activation TestZork has no operator in ONNX",
    )
    assert not list(tmp_path.iterdir())


def test_quantised_tensors_are_refused(tmp_path):
    from fbnet.engine.dtype import Quantization
    from fbnet.engine.tensor import Spec

    spec = Spec((4, 3, 3, 3), "int8", Quantization((0.1,), (0,)))
    net = small().replace(
        constants={"conv.b": weights(4), "conv.w": Tensor("conv.w", spec, np.ones((4, 3, 3, 3), np.int8))}
    )
    with pytest.raises(fbnet.ConversionError, match=r"'conv\.w' is quantised"):
        write(net, tmp_path / "net.onnx")


def test_an_operator_written_twice():
    with pytest.raises(fbnet.RegistryError, match="already written by"):
        written("ReLU")(lambda w, layer, x: x)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a file could hold no weights at all."""
    monkeypatch.setattr(export, "MOST_BYTES", export.GRAPH_BYTES)


def test_weights_too_large_for_one_file_lie_beside_it(agree, little_room, tmp_path):
    w = weights(64, 4, 7, 7) / 10
    net = small(layers["Convolution"]("conv", w, weights(64), name="y"), layers["ReLU"]("y", name="relu"))
    agree(net, {"x": weights(2, 3, 9, 8)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert (tmp_path / "net.onnx").stat().st_size < w.nbytes < (tmp_path / "net.onnx.data").stat().st_size + 1
    before = (tmp_path / "net.onnx").read_bytes()
    agree(net, {"x": weights(2, 3, 9, 8)})  # over itself
    assert (tmp_path / "net.onnx").read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path, little_room):
    with pytest.raises(fbnet.FileError, match="cannot be written"):
        write(small(), tmp_path / "nowhere" / "net.onnx")


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(fbnet.ConversionError, match=r"pip install fbnet\[onnx\]"):
        write(small(), tmp_path / "net.onnx")
