"""Activations: against onnxruntime and OpenCV's Caffe, extremes, refused attributes."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.activation import (
    BNLL,
    ELU,
    GELU,
    AbsVal,
    Clip,
    Dropout,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Swish,
    TanH,
)

X = np.linspace(-20, 20, 2 * 3 * 127, dtype=np.float32).reshape(2, 3, 127)


@pytest.mark.parametrize(
    ("layer", "operator", "attributes"),
    [
        (ReLU(), "Relu", {}),
        (ReLU(negative_slope=0.1), "LeakyRelu", {"alpha": 0.1}),
        (Sigmoid(), "Sigmoid", {}),
        (TanH(), "Tanh", {}),
        (ELU(), "Elu", {}),
        (ELU(alpha=0.25), "Elu", {"alpha": 0.25}),
        (Clip(min=-1, max=6), "Clip", {"min": -1.0, "max": 6.0, "opset": 6}),
        (Clip(), "Clip", {"opset": 6}),
        (AbsVal(), "Abs", {}),
        (BNLL(), "Softplus", {}),
        (Exp(), "Exp", {}),
        (HardSigmoid(alpha=0.2), "HardSigmoid", {}),
        (HardSigmoid(alpha=0.1, beta=0.6), "HardSigmoid", {"alpha": 0.1, "beta": 0.6}),
        (HardSwish(), "HardSwish", {}),
        (Mish(), "Mish", {"opset": 18}),
        (GELU(), "Gelu", {"opset": 20}),
        (GELU(approximate=True), "Gelu", {"opset": 20, "approximate": "tanh"}),
    ],
    ids=repr,
)
def test_activations_are_onnxruntimes(onnx_run, layer, operator, attributes):
    np.testing.assert_allclose(layer.reference(X), onnx_run(operator, X, **attributes), rtol=1e-5, atol=1e-6)


def test_swish_is_a_number_times_its_sigmoid():
    np.testing.assert_allclose(Swish(beta=2).reference(X), X * Sigmoid().reference(2 * X), rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "prototxt"),
    [
        (ReLU(negative_slope=0.1), "ReLU relu_param { negative_slope: 0.1 }"),
        (ELU(alpha=0.5), "ELU elu_param { alpha: 0.5 }"),
        (BNLL(), "BNLL"),
        (AbsVal(), "AbsVal"),
        (Power(power=2, scale=0.5, shift=1), "Power power_param { power: 2 scale: 0.5 shift: 1 }"),
        (Power(power=-0.5, scale=0.1, shift=3), "Power power_param { power: -0.5 scale: 0.1 shift: 3 }"),
        (Power(scale=-2, shift=1), "Power power_param { scale: -2 shift: 1 }"),
    ],
    ids=repr,
)
def test_activations_are_caffes(caffe_run, layer, prototxt):
    name, _, parameters = prototxt.partition(" ")
    x = X.reshape(2, 3, 1, 127)
    wanted = caffe_run(f'type: "{name}" {parameters}', x)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("slopes", [3, 1])
def test_prelu_is_onnxruntimes(onnx_run, slopes):
    slope = np.linspace(-0.5, 0.5, slopes, dtype=np.float32)
    y = PReLU().reference(X, slope)
    np.testing.assert_array_equal(y, onnx_run("PRelu", X, slope.reshape(slopes, 1)))
    if slopes == 1:
        np.testing.assert_array_equal(y, PReLU().reference(X, slope.reshape(())))


@pytest.mark.parametrize("base", [-1.0, 2.0, 10.0])
def test_log_undoes_exp(base):
    x = np.linspace(-2, 2, 13, dtype=np.float32)
    y = Exp(base=base, scale=0.5, shift=1).reference(x)
    np.testing.assert_allclose(y, (np.e if base == -1 else base) ** (1 + 0.5 * x), rtol=1e-5)
    # log_base(shift + scale * x) with scale 4, shift 0 is log_base(4) more
    more = np.log(4) / (1 if base == -1 else np.log(base))
    np.testing.assert_allclose(Log(base=base, scale=4).reference(y), 1 + 0.5 * x + more, rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [ReLU(), Sigmoid(), TanH(), ELU(), BNLL(), Clip(min=-1, max=1), HardSigmoid(), Swish(), Mish(), GELU()],
    ids=repr,
)
def test_extremes_neither_overflow_nor_warn(layer):
    y = layer.reference(np.float32([-3e38, -1000, -0.0, 0, 1000, 3e38]))
    assert np.isfinite(y).all() and y.dtype == np.float32


def test_sigmoid_keeps_the_small_end():
    np.testing.assert_allclose(Sigmoid().reference(np.float32([-50])), [1.9287498e-22], rtol=1e-5)


def test_dropout_does_nothing_and_costs_nothing():
    assert Dropout.alias and Dropout(ratio=0.7).reference(X) is X


@pytest.mark.parametrize(
    ("cls", "attributes", "message"),
    [
        (Clip, {"min": 2, "max": 1}, "min 2.0 must not be above max 1.0"),
        (Clip, {"min": float("nan")}, "must not be above max"),
        (Exp, {"base": 0}, "base is 0.0: give a positive number but 1, or -1 for e"),
        (Log, {"base": 1}, "base is 1.0: give a positive number but 1, or -1 for e"),
        (Dropout, {"ratio": 1.5}, "ratio is 1.5: it is a part, from 0 to 1"),
    ],
)
def test_senseless_attributes(cls, attributes, message):
    with pytest.raises(AttributeValueError) as error:
        cls(**attributes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 64, 8, 8), (32,)], "x is fp32[1,64,8,8] but slope is fp32[32]: slope needs shape [64] or [1]"),
        ([(1, 64, 8, 8), (64, 1)], "slope needs shape [64] or [1]"),
        ([(64,), (64,)], "x is fp32[64] but PReLU wants channels on axis 1: (N, C, ...)"),
    ],
)
def test_slopes_that_do_not_fit(shapes, message):
    with pytest.raises(ShapeError) as error:
        PReLU(name="prelu1").infer_outputs([Spec(s) for s in shapes])
    assert message in str(error.value)


def test_symbolic_sizes():
    x = Spec((Dim("N"), 3, Dim("H")))
    assert str(ReLU().infer(x)) == str(PReLU().infer(x, Spec((3,)))) == "fp32[N,3,H]"
