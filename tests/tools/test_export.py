from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layer, layers
from fbnet.engine.tensor import Dim
from fbnet.layers.activation import ReLU
from fbnet.layers.conv import Convolution
from fbnet.tools import export

pytest.importorskip("onnx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A net of one convolution and a rectifier, in a file."""
    w = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    net = fbnet.Net(
        [Convolution("data", w, name="conv"), ReLU("conv", name="relu")],
        inputs={"data": (Dim("N", 1), 3, Dim("H", 8), Dim("W", 8))},
        name="small",
    )
    net.save(tmp_path / "small.fbnet")
    return tmp_path / "small.fbnet"


def test_export_and_verify(program, model, tmp_path):
    out = tmp_path / "small.onnx"
    found = program.json("export", model, "-o", out, "--verify")
    assert found["bytes"] == out.stat().st_size and found["layers"] == 2 and found["error"] < 1e-6
    back = fbnet.convert(out)
    assert str(back.inputs["data"]) == "fp32[N,3,H,W]"
    assert [one.type for one in back.layers] == ["Convolution", "ReLU"]


def test_for_people(program, model, tmp_path):
    result = program("export", model, "-o", tmp_path / "small.onnx", "--verify")
    assert "data fp32[N,3,H,W] -> relu" in result.stdout and "differ by at most" in result.stdout


def test_a_fixed_shape(program, model, tmp_path):
    program("export", model, "-o", tmp_path / "small.onnx", "--shape", "data=2,3,16,16")
    import onnx

    (given,) = onnx.load(tmp_path / "small.onnx").graph.input
    assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [2, 3, 16, 16]


def test_what_cannot_be_exported(program, model, tmp_path):
    assert "no input 'dat'" in program.fails(
        "export", model, "-o", tmp_path / "x.onnx", "--shape", "dat=1,3,8,8"
    )
    assert "convert" in program.fails("export", model, "-o", tmp_path / "x.fbnet")
    assert "not written" in program.fails("export", model, "-o", tmp_path / "x.prototxt")
    assert "no importer" in program.fails("export", model, "-o", tmp_path / "x.txt")
    assert "cannot be written" in program.fails("export", model, "-o", tmp_path / "no folder" / "x.onnx")


def test_layers_without_an_operator_are_named(program, tmp_path):
    @layer("TestZork")
    class Zork(fbnet.Elementwise):
        """y = x        x: (...) -> y: (...)"""

        def reference(self, x):
            return x

    try:
        fbnet.Net([Zork("x", name="a"), Zork("a", name="b")], inputs={"x": (1, 3)}).save(tmp_path / "z.fbnet")
        line = program.fails("export", tmp_path / "z.fbnet", "-o", tmp_path / "z.onnx")
    finally:
        layers.discard("TestZork")
    assert "2 layers cannot be written" in line and "a (TestZork)" in line and "b (TestZork)" in line
    assert not (tmp_path / "z.onnx").exists()


def test_a_file_that_computes_something_else(program, model, tmp_path, monkeypatch):
    def other(net, path):
        fbnet.engine.format.write(net.replace(constants={"conv.w": 2 * net.constants["conv.w"].data}), path)

    monkeypatch.setattr(export, "write", other)
    line = program.fails("export", model, "-o", tmp_path / "small.onnx", "--verify", code=1)
    assert "computes something else" in line
