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


def test_integers_that_are_also_read_as_real_numbers(tmp_path):
    """One tensor, quantized for a convolution and as it is for an Exp; the last result stays integers."""
    m = Model(unsigned=True)
    y = m.node("Conv", m.through("x", 0.0311, 0), m.weights(8, 3, 1, 1, scale=0.003))
    z = m.node("Conv", m.through(y, 0.0217, 0), m.weights(8, 8, 1, 1, scale=0.003))
    last = m.through(
        m.node("Add", m.through(z, 0.01, 0), m.through(m.node("Exp", y), 0.02, -128)), 0.03, -128
    )
    m.save(tmp_path / "m.onnx", last, [1, 8, 13, 11])
    net = fbnet.convert(tmp_path / "m.onnx")
    kinds = [layer.type for layer in net.layers]
    assert kinds.count("QuantizedConvolution") == 2 and kinds.count("QuantizedEltwise") == 1
    assert kinds.count("Quantize") == 3 and kinds.count("Dequantize") == 1  # x, y, the Exp's; and the result
    assert net.metadata["quantization"]["floats"] == {
        layer.name: "what it reads was not quantized" for layer in net if layer.type == "Exp"
    }
    judge = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    x = RNG.standard_normal((1, 3, 13, 11)).astype(np.float32)
    (got,) = net.forward(x=x).values()
    np.testing.assert_allclose(got, judge.run(None, {"x": x})[0], rtol=0, atol=0.0301)


def test_what_is_partly_quantized_stays_real_there(tmp_path):
    m = Model(unsigned=False)
    y = m.node("Conv", m.through("x", 0.0311, 0), m.weights(8, 3, 1, 1, scale=0.003))
    m.save(tmp_path / "m.onnx", m.node("Exp", y), [1, 8, 13, 11])
    net = fbnet.convert(tmp_path / "m.onnx")
    assert [layer.type for layer in net.layers] == ["Quantize", "QuantizedConvolution", "Exp"]
    judge = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    x = RNG.standard_normal((1, 3, 13, 11)).astype(np.float32)
    np.testing.assert_allclose(net(x), judge.run(None, {"x": x})[0], rtol=1e-5)


@pytest.fixture(scope="module")
def real_model(tmp_path_factory):
    """A net in floats with what detectors and classifiers are made of."""
    m = Model(unsigned=False)

    def conv(x: str, c: int, k: int, group: int = 1, **attributes) -> str:
        w = RNG.standard_normal((16 if c < 32 else c, c // group, k, k)) / np.sqrt(c // group * k * k)
        return m.node(
            "Conv", x, m.constant(w), m.constant(w[:, 0, 0, 0]), pads=[k // 2] * 4, group=group, **attributes
        )

    a = m.node("Relu", conv("x", 3, 3))
    b = m.node("Add", a, m.node("LeakyRelu", conv(a, 16, 3), alpha=0.1))
    c = m.node("Concat", b, m.node("Mul", b, m.node("Sigmoid", conv(b, 16, 1))), axis=1)
    d = conv(m.node("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2]), 32, 3, group=32)
    d = m.node("AveragePool", d, kernel_shape=[2, 2], strides=[2, 2])
    e = m.node("Flatten", m.node("GlobalAveragePool", d))
    f = m.node(
        "Gemm", e, m.constant(RNG.standard_normal((10, 32))), m.constant(RNG.standard_normal(10)), transB=1
    )
    g = m.node("MatMul", m.node("Softmax", f), m.constant(RNG.standard_normal((10, 7))))
    path = tmp_path_factory.mktemp("real") / "real.onnx"
    m.save(path, g, [1, 7])
    return path


@pytest.mark.parametrize("unsigned", [True, False])
def test_a_qoperator_model_runs_in_integers_with_onnxruntimes_bits(real_model, tmp_path, unsigned):
    """All that onnxruntime's quantizer writes as operators of its own; a Softmax alone is computed in floats."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    samples = [RNG.standard_normal((1, 3, 13, 11)).astype(np.float32) for _ in range(4)]

    class Reader(quantization.CalibrationDataReader):
        left = iter(samples)

        def get_next(self):
            sample = next(self.left, None)
            return None if sample is None else {"x": sample}

    kind = quantization.QuantType.QUInt8 if unsigned else quantization.QuantType.QInt8
    quantization.quantize_static(
        real_model, tmp_path / "q.onnx", Reader(), quant_format=quantization.QuantFormat.QOperator,
        per_channel=not unsigned, activation_type=kind, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    written = {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}
    assert {"QLinearConv", "QGemm", "QLinearConcat", "QLinearSigmoid", "QLinearMatMul", "MaxPool"} <= written
    net = fbnet.convert(tmp_path / "q.onnx")
    assert list(net.metadata["quantization"]["floats"].values()) == ["Softmax has no integer layer"]
    kinds = [layer.type for layer in net.layers]
    assert kinds.count("Quantize") == kinds.count("Dequantize") == 2  # the Softmax, and both ends
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    judge = ort.InferenceSession(str(tmp_path / "q.onnx"), options, providers=["CPUExecutionProvider"])
    for x in samples:
        (wanted,) = judge.run(None, {"x": x})
        assert np.ptp(wanted) > 0.1
        np.testing.assert_array_equal(net.forward(x=x)[net.outputs[0]], wanted)
