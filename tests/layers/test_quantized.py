"""The integer layers' references against onnxruntime's integer operators: the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Spec
from fbnet.layers.quantize import Dequantize, Quantize, Requantize, Table
from fbnet.layers.quantized import (
    QuantizedConvolution,
    QuantizedDeconvolution,
    QuantizedEltwise,
    QuantizedInnerProduct,
    QuantizedMatMul,
    QuantizedPooling,
)

rng = np.random.default_rng(7)
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test has the same, whichever ran before it."""
    rng.bit_generator.state = START


def whole(*shape: int, low: int = -128, high: int = 127, dtype: type = np.int8) -> np.ndarray:
    return rng.integers(low, high + 1, shape).astype(dtype)


def onnxruntime(
    operator: str, inputs: list[np.ndarray], result: type, domain: str = "", **attributes
) -> np.ndarray:
    """One operator run by onnxruntime."""
    inputs = [np.asarray(a) for a in inputs]
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    make, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype
    names = [f"i{k}" for k in range(len(inputs))]
    values = [
        make.make_tensor_value_info(n, kind(a.dtype), a.shape) for n, a in zip(names, inputs, strict=True)
    ]
    y = make.make_tensor_value_info("y", kind(np.dtype(result)), None)
    node = make.make_node(operator, names, ["y"], domain=domain, **attributes)
    opsets = [make.make_opsetid("", 19), make.make_opsetid("com.microsoft", 1)]
    model = make.make_model(make.make_graph([node], "one", values, [y]), opset_imports=opsets, ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def f32(*values: float) -> np.ndarray:
    return np.array(values if len(values) > 1 else values[0], np.float32)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"stride": (2, 2), "pad": (1, 1, 1, 1)}, {"group": 3}, {"dilation": (2, 1), "pad": (0, 2, 1, 0)}],
)
def test_convolution_is_onnxruntimes(attributes):
    group = attributes.get("group", 1)
    x, w, b = (
        whole(2, 6, 9, 11),
        whole(9, 6 // group, 3, 3, low=-127),
        whole(9, low=-5000, high=5000, dtype=np.int32),
    )
    sx, sw, sy = np.float32(0.031), rng.uniform(0.001, 0.01, 9).astype(np.float32), np.float32(0.09)
    names = {"stride": "strides", "pad": "pads", "dilation": "dilations", "group": "group"}
    wanted = onnxruntime(
        "QLinearConv", [x, f32(sx), whole(low=5, high=5), w, sw, np.zeros(9, np.int8), f32(sy), np.int8(-3), b],
        np.int8, **{names[k]: v for k, v in attributes.items()},
    )  # fmt: skip
    layer = QuantizedConvolution(x_zero=5, scale=float(sy), zero=-3, **attributes)
    got = layer.reference(x, w, b, sx * sw / sy)
    assert wanted.astype(int).std() > 20
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_gate_is_onnxruntimes_hard_swish(transposed):
    """Of real numbers from end to end; and behind it a scale and a shift of each channel, which cost nothing."""
    x, w, b = whole(2, 6, 9, 11), whole(6, 6, 3, 3, low=-127), whole(6, low=-5000, high=5000, dtype=np.int32)
    sx, sw, sy = np.float32(0.031), rng.uniform(0.003, 0.006, 6).astype(np.float32), np.float32(0.1)
    factors, shift = rng.uniform(0.5, 1.5, 6).astype(np.float32), rng.uniform(-2, 2, 6).astype(np.float32)
    if transposed:
        sw[:] = sw[0]  # its filters lie along w's second axis
    real = [
        onnxruntime("DequantizeLinear", [x, sx, np.int8(5)], np.float32),
        onnxruntime("DequantizeLinear", [w, sw, np.zeros(6, np.int8)], np.float32, axis=0),
        b.astype(np.float32) * sx * sw,
    ]
    sums = onnxruntime("ConvTranspose" if transposed else "Conv", real, np.float32, pads=[1, 1, 1, 1])
    swished = onnxruntime("HardSwish", [sums], np.float32)
    # all three pieces of the curve
    assert min((sums < -3).mean(), (np.abs(sums) < 3).mean(), (sums > 3).mean()) > 0.2
    layer = (QuantizedDeconvolution if transposed else QuantizedConvolution)(
        x_zero=5, scale=float(sy), zero=-60, pad=(1, 1, 1, 1)
    )
    for a, c in ((np.ones_like(factors), np.zeros_like(shift)), (factors, shift)):
        y = swished * a[:, None, None] + c[:, None, None]
        wanted = onnxruntime("QuantizeLinear", [y, sy, np.int8(-60)], np.int8)
        gate = np.stack([np.full(6, 0.5), 6 * a / sy, c / sy]).astype(np.float32)
        difference = layer.reference(x, w, b, sx * sw / 6, gate=gate).astype(int) - wanted
        assert wanted.astype(int).std() > 20
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 1e-3


def test_matmul_is_onnxruntimes():
    a, b = whole(3, 5, 40), whole(3, 40, 7)
    scales = f32(0.02), f32(0.03), f32(0.3)
    wanted = onnxruntime(
        "QLinearMatMul", [a, scales[0], np.int8(4), b, scales[1], np.int8(-7), scales[2], np.int8(1)], np.int8
    )
    multiplier = float(scales[0] * scales[1] / scales[2])
    got = QuantizedMatMul(a_zero=4, b_zero=-7, multiplier=multiplier, scale=0.3, zero=1).reference(a, b)
    np.testing.assert_array_equal(got, wanted)
    whole_numbers = onnxruntime("MatMulInteger", [a, b, np.int8(4), np.int8(-7)], np.int32)
    got = QuantizedMatMul(a_zero=4, b_zero=-7, scale=1.0, to="int32").reference(a, b)
    np.testing.assert_array_equal(got, whole_numbers)


def test_inner_product_is_a_matrix_product():
    x, w, b = whole(4, 3, 5), whole(6, 15, low=-127), whole(6, low=-99, high=99, dtype=np.int32)
    multiplier = rng.uniform(1e-3, 2e-3, 6).astype(np.float32)
    y = QuantizedInnerProduct(x_zero=-8, scale=1.0, to="fp32").reference(x, w, b, multiplier)
    acc = (x.reshape(4, 15).astype(np.int64) + 8) @ w.astype(np.int64).T + b
    np.testing.assert_array_equal(y, acc.astype(np.float32) * multiplier)


def test_quantize_and_dequantize_are_onnxruntimes():
    x = rng.standard_normal((2, 3, 7)).astype(np.float32)
    x[0, 0, :4] = 0.05, 0.15, 1e9, -1e9  # halves of a step, and far outside
    q = onnxruntime("QuantizeLinear", [x, f32(0.1), np.int8(3)], np.int8)
    np.testing.assert_array_equal(Quantize(scale=(0.1,), zero=(3,)).reference(x), q)
    real = onnxruntime("DequantizeLinear", [q, f32(0.1), np.int8(3)], np.float32)
    np.testing.assert_array_equal(Dequantize(scale=(0.1,), zero=(3,)).reference(q), real)
    scales, zeros = (0.1, 0.02, 0.5), (3, -1, 0)
    each = onnxruntime("QuantizeLinear", [x, f32(*scales), np.array(zeros, np.int8)], np.int8, axis=1)
    np.testing.assert_array_equal(Quantize(scale=scales, zero=zeros).reference(x), each)


def test_nan_becomes_zero():
    assert Quantize(scale=(0.1,), zero=(9,)).reference(
        np.array([np.nan, np.inf, -np.inf], np.float32)
    ).tolist() == [
        9,
        127,
        -128,
    ]


def test_table_is_any_function():
    table = np.arange(-128, 128).astype(np.int8)[::-1].copy()
    x = whole(3, 50)
    np.testing.assert_array_equal(Table(scale=1.0, zero=0).reference(x, table), -1 - x)


def test_requantize_changes_the_steps():
    x = whole(1000)
    y = Requantize(x_zero=4, multiplier=0.5, scale=2.0, zero=-6).reference(x)
    np.testing.assert_array_equal(y, np.clip(np.rint((x.astype(float) - 4) / 2) - 6, -128, 127))


@pytest.mark.parametrize("operation", ["sum", "prod"])
def test_eltwise_is_onnxruntimes(operation):
    a, b = whole(2, 8, 5, 5), whole(2, 8, 1, 1) if operation == "prod" else whole(2, 8, 5, 5)
    sa, sb, sy = f32(0.02), f32(0.05), f32(0.06)
    name = {"sum": "QLinearAdd", "prod": "QLinearMul"}[operation]
    wanted = onnxruntime(
        name, [a, sa, np.int8(3), b, sb, np.int8(-4), sy, np.int8(2)], np.int8, domain="com.microsoft"
    )
    factors = (float(sa / sy), float(sb / sy)) if operation == "sum" else (float(sa * sb / sy),)
    layer = QuantizedEltwise(operation=operation, x_zero=(3, -4), multiplier=factors, scale=0.06, zero=2)
    difference = layer.reference(a, b).astype(int) - wanted
    # onnxruntime rounds its sums in another order: a tie, and nothing else, may fall to the other side
    x, y, steps = a.astype(float) - 3, b.astype(float) + 4, np.float64(sy)
    real = (x * sa + y * sb) / steps if operation == "sum" else x * y * sa * sb / steps
    tie = np.abs(real - np.floor(real) - 0.5) < 1e-4
    assert np.abs(difference).max() <= 1 and not difference[~tie].any()


def test_average_pooling_divides_once():
    x = whole(1, 2, 6, 6)
    layer = QuantizedPooling(
        method="average", kernel=(3, 3), stride=(1, 1), x_zero=7, multiplier=0.7, scale=1.0
    )
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64) - 7, (3, 3), (2, 3)).sum((-1, -2))
    v = windows.astype(np.float32) / np.float32(9) * np.float32(0.7)
    np.testing.assert_array_equal(layer.reference(x), np.rint(v).astype(np.int8))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(AttributeValueError, match="scale is 0"):
        QuantizedPooling(scale=0.0)
    with pytest.raises(AttributeValueError, match="low <= high"):
        QuantizedConvolution(scale=1.0, low=5, high=4)
    with pytest.raises(ShapeError, match="multiplier is"):
        QuantizedConvolution(scale=1.0).infer(
            Spec((1, 2, 3, 3), "int8"), Spec((4, 2, 1, 1), "int8"), Spec((4,), "int32"), Spec((3,))
        )


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (Spec((4,)), "fp32[4]"),
        (Spec((4, 3)), "fp32[4,3]"),
        (Spec((3, 5)), "fp32[3,5]"),
        (Spec((3, 4, 1)), "fp32[3,4,1]"),
        (Spec((3, 4), "int8"), "int8[3,4]"),
    ],
)
def test_a_gate_of_another_shape_is_refused(gate, told):
    weights = Spec((4,), "int32"), Spec((4,)), None, None
    images = Spec((1, 2, 3, 3), "int8"), Spec((4, 2, 1, 1), "int8")
    spread = Spec((1, 2, 3, 3), "int8"), Spec((2, 4, 1, 1), "int8")
    rows = Spec((1, 18), "int8"), Spec((4, 18), "int8")
    for layer, given in (
        (QuantizedConvolution, images), (QuantizedDeconvolution, spread), (QuantizedInnerProduct, rows)
    ):  # fmt: skip
        assert layer(scale=1.0).infer(*given, *weights, Spec((3, 4))).shape[1] == 4
        with pytest.raises(ShapeError) as error:
            layer(scale=1.0).infer(*given, *weights, gate)
        assert str(error.value) == f"gate is {told} but must be fp32[3,4]"
