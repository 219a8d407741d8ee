"""Models in the form that onnxruntime's quantizer writes: integer layers, and onnxruntime's own numbers.

They are its definition's numbers, in floating point, where a sum may fall to the other side of a half: that is one step
of an int8 tensor, some thousandths of a result. What integer operators give is compared to the bit in
tests/layers/test_quantized.py.
"""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

import fbnet  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(3)
REAL = {"Convolution", "InnerProduct", "Pooling", "Eltwise", "Sigmoid"}


class Model:
    """An ONNX graph in the making, each tensor quantized and dequantized where the caller says so."""

    def __init__(self, unsigned: bool):
        self.nodes, self.constants = [], {}
        self.kind, self.middle = (np.uint8, 128) if unsigned else (np.int8, 0)

    def constant(self, array, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def through(self, x: str, scale: float, zero: int) -> str:
        """x, quantized and dequantized."""
        told = self.constant(scale), self.constant(zero + self.middle, self.kind)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *told), *told)

    def weights(self, *shape: int, scale) -> str:
        w = RNG.integers(-127, 128, shape)
        zero = self.constant(np.zeros(np.shape(scale)), np.int8)
        return self.node("DequantizeLinear", self.constant(w, np.int8), self.constant(scale), zero, axis=0)

    def bias(self, m: int, scale) -> str:
        """In steps of the input's scale * the weights'."""
        b = RNG.integers(-2000, 2000, m)
        zero = self.constant(np.zeros(np.shape(scale)), np.int32)
        return self.node("DequantizeLinear", self.constant(b, np.int32), self.constant(scale), zero, axis=0)

    def save(self, path, y: str, shape) -> None:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 13, 11])
        out = helper.make_tensor_value_info(y, TensorProto.FLOAT, shape)
        stored = [numpy_helper.from_array(v, k) for k, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "quantized", [x], [out], stored)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)


def model(path, unsigned: bool, per_channel: bool) -> None:
    """Two branches with other scales that are added and joined, as detectors and residual nets have them."""
    m = Model(unsigned)
    each = RNG.uniform(0.002, 0.00411, 16) if per_channel else 0.003
    x = m.through("x", 0.0311, -7)
    y = m.node(
        "Conv", x, m.weights(16, 3, 3, 3, scale=each), m.bias(16, 0.0311 * np.asarray(each)), pads=[1] * 4
    )
    y = m.through(m.node("Relu", y), 0.0217, -128)
    pooled = m.through(m.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.0217, -128)
    z = m.node("Conv", pooled, m.weights(16, 16, 3, 3, scale=0.001), pads=[1] * 4)
    added = m.through(m.node("Add", m.through(z, 0.0393, 3), pooled), 0.0519, -20)
    deep = m.node("Conv", added, m.weights(16, 1, 3, 3, scale=0.004), pads=[1] * 4, group=16)
    joined = m.through(m.node("Concat", m.through(deep, 0.0587, 11), added, axis=1), 0.0613, 2)
    gated = m.through(m.node("Sigmoid", joined), 0.00397, -128)
    mean = m.through(m.node("GlobalAveragePool", gated), 0.00411, -128)
    flat = m.through(m.node("Flatten", mean), 0.00411, -128)
    m.save(
        path,
        m.node("Gemm", flat, m.weights(10, 32, scale=0.01), m.bias(10, 0.00411 * 0.01), transB=1),
        [1, 10],
    )


@pytest.mark.parametrize(("unsigned", "per_channel"), [(True, False), (False, True)])
def test_a_quantized_model_runs_in_integers_with_onnxruntimes_numbers(tmp_path, unsigned, per_channel):
    model(tmp_path / "m.onnx", unsigned, per_channel)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # by the definition
    judge = ort.InferenceSession(str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    net = fbnet.convert(tmp_path / "m.onnx")
    assert not REAL & {layer.type for layer in net.layers}
    for _ in range(4):
        x = RNG.standard_normal((1, 3, 13, 11)).astype(np.float32)
        (wanted,) = judge.run(None, {"x": x})
        (defined,) = net.forward(x=x).values()
        assert np.ptp(wanted) > 0.5
        np.testing.assert_allclose(defined, wanted, rtol=0, atol=0.003 * np.abs(wanted).max())
        np.testing.assert_array_equal(net(x), defined)


def test_what_is_partly_quantized_stays_real_there(tmp_path):
    m = Model(unsigned=False)
    y = m.node("Conv", m.through("x", 0.0311, 0), m.weights(8, 3, 1, 1, scale=0.003))
    m.save(tmp_path / "m.onnx", m.node("Exp", y), [1, 8, 13, 11])
    net = fbnet.convert(tmp_path / "m.onnx")
    assert [layer.type for layer in net.layers] == ["Quantize", "QuantizedConvolution", "Exp"]
    judge = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    x = RNG.standard_normal((1, 3, 13, 11)).astype(np.float32)
    np.testing.assert_allclose(net(x), judge.run(None, {"x": x})[0], rtol=1e-5)
