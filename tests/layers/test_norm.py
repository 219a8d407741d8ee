"""LRN, BatchNorm, Scale, Bias, MVN: against onnxruntime and OpenCV's Caffe, shape rules, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.norm import LRN, MVN, BatchNorm, Bias, LayerNorm, Scale


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 13, 3), (1, 127, 2, 2)])
@pytest.mark.parametrize("local_size", [1, 3, 5])
def test_lrn_is_onnxruntimes(onnx_run, shape, local_size):
    x = normal(*shape)
    wanted = onnx_run("LRN", x, size=local_size, alpha=0.5, beta=0.75, bias=2.0)
    layer = LRN(local_size=local_size, alpha=0.5, beta=0.75, k=2)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("region", ["across", "within"])
@pytest.mark.parametrize("local_size", [3, 5])
def test_lrn_is_caffes(caffe_run, region, local_size):
    x = normal(2, 7, 13, 9)
    where = {"across": "ACROSS_CHANNELS", "within": "WITHIN_CHANNEL"}[region]
    text = f"local_size: {local_size} alpha: 0.5 beta: 0.75 norm_region: {where}"
    wanted = caffe_run(f'type: "LRN" lrn_param {{ {text} }}', x)
    layer = LRN(local_size=local_size, alpha=0.5, beta=0.75, region=region)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-5, atol=1e-6)


def test_lrn_within_divides_by_the_whole_square():
    x = np.ones((1, 1, 3, 3), np.float32)
    y = LRN(local_size=3, alpha=9, beta=1, region="within").reference(x)[0, 0]
    # corners have 4 neighbours, edges 6, the middle 9; each counts alpha / 9
    np.testing.assert_allclose(y, 1 / np.float32([[5, 7, 5], [7, 10, 7], [5, 7, 5]]), rtol=1e-6)


def test_batchnorm_is_onnxruntimes(onnx_run):
    x, mean, var = normal(2, 7, 13, 3), normal(7), np.abs(normal(7))
    one, zero = np.ones(7, np.float32), np.zeros(7, np.float32)
    wanted = onnx_run("BatchNormalization", x, one, zero, mean, var, epsilon=1e-3)
    np.testing.assert_allclose(BatchNorm(eps=1e-3).reference(x, mean, var), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variance", [True, False])
@pytest.mark.parametrize("across", [True, False])
def test_mvn_is_caffes(caffe_run, variance, across):
    x = normal(2, 7, 13, 3) + 5
    text = f"normalize_variance: {str(variance).lower()} across_channels: {str(across).lower()}"
    wanted = caffe_run(f'type: "MVN" mvn_param {{ {text} }}', x)
    layer = MVN(normalize_variance=variance, across_channels=across)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-4, atol=1e-5)


def test_mvn_adds_eps_to_the_deviation():
    """mvn_layer.cpp: (x - EX) / (sqrt(VarX) + eps)."""
    x = np.float32([[[0, 2]]])
    np.testing.assert_allclose(MVN(eps=1).reference(x), [[[-0.5, 0.5]]])
    np.testing.assert_array_equal(MVN().reference(np.full((1, 1, 4), 3, np.float32)), np.zeros((1, 1, 4)))


def test_scale_and_bias_lie_on_the_axes_from_axis_on():
    x, channels = normal(2, 3, 4, 5), np.float32([1, 10, 100])
    wanted = x * channels[:, None, None] + channels[:, None, None]
    np.testing.assert_array_equal(Scale().reference(x, channels, channels), wanted)
    np.testing.assert_array_equal(Scale(axis=-3).reference(x, channels, channels), wanted)
    np.testing.assert_array_equal(Bias().reference(x, channels), x + channels[:, None, None])
    gates = normal(2, 3)
    np.testing.assert_array_equal(Scale(axis=0).reference(x, gates), x * gates[:, :, None, None])
    whole = normal(4, 5)
    np.testing.assert_array_equal(Bias(axis=2).reference(x, whole), x + whole)
    np.testing.assert_array_equal(Scale().reference(x, np.full((), 2, np.float32)), 2 * x)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (LRN(), [(1, 7)], "x is fp32[1,7] but images are (N, C, H, W)"),
        (
            BatchNorm(),
            [(1, 7, 3, 3), (7,), (3,)],
            "x is fp32[1,7,3,3] but var is fp32[3]: var needs shape [7]",
        ),
        (BatchNorm(), [(7,), (7,), (7,)], "x is fp32[7] but BatchNorm wants channels on axis 1"),
        (
            Scale(),
            [(1, 7, 3), (3,)],
            "x is fp32[1,7,3] but scale is fp32[3]: scale needs shape [7] at axis 1",
        ),
        (Scale(axis=0), [(2, 7, 3), (2, 3)], "scale needs shape [2,7] at axis 0"),
        (Scale(), [(1, 7, 3), (7, 3, 1)], "scale needs shape [7,3] at axis 1"),
        (Scale(), [(1, 7), (7,), (1,)], "scale is fp32[7] but bias is fp32[1]: they need the same shape"),
        (Bias(axis=4), [(1, 7), (7,)], "axis 4 is not one of fp32[1,7]"),
        (MVN(), [(7,)], "x is fp32[7] but MVN wants channels on axis 1"),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, message):
    with pytest.raises(ShapeError) as error:
        layer.replace(name="n1").infer_outputs([Spec(s) for s in shapes])
    assert str(error.value).startswith(f"n1 ({layer.type}): ") and message in str(error.value)


@pytest.mark.parametrize(
    ("cls", "attributes", "message"),
    [
        (LRN, {"local_size": -1}, "local_size is -1: it must be odd and positive"),
        (LRN, {"local_size": 4}, "local_size is 4: it must be odd and positive"),
        (LRN, {"region": "WITHIN_CHANNEL"}, "region is 'WITHIN_CHANNEL': give 'across' or 'within'"),
        (BatchNorm, {"eps": -1}, "eps is -1.0: it must not be negative"),
        (MVN, {"eps": float("nan")}, "eps is nan: it must not be negative"),
    ],
)
def test_senseless_attributes(cls, attributes, message):
    with pytest.raises(AttributeValueError) as error:
        cls(**attributes)
    assert message in str(error.value)


def test_symbolic_sizes():
    x, c = Spec((Dim("N"), 7, Dim("H"), Dim("W"))), Spec((7,))
    results = [
        LRN().infer(x),
        BatchNorm().infer(x, c, c),
        Scale().infer(x, c),
        Bias().infer(x, c),
        MVN().infer(x),
    ]
    assert {str(spec) for spec in results} == {"fp32[N,7,H,W]"}


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_layer_norm_is_onnxruntimes(onnx_run, axis):
    x = np.random.default_rng(axis + 1).normal(3, 2, (2, 3, 7, 13)).astype(np.float32)
    shape = x.shape[axis:]
    scale, bias = np.linspace(-1, 2, np.prod(shape) * 2, dtype=np.float32).reshape(2, *shape)
    wanted = onnx_run("LayerNormalization", x, scale, bias, axis=axis, epsilon=1e-3)
    found = LayerNorm(axis=axis, eps=1e-3).reference(x, scale, bias)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_layer_norm_from_axis_2_is_instance_norm(onnx_run):
    x = np.random.default_rng(5).normal(3, 2, (2, 3, 7, 13)).astype(np.float32)
    wanted = onnx_run("InstanceNormalization", x, np.ones(3, np.float32), np.zeros(3, np.float32))
    np.testing.assert_allclose(LayerNorm(axis=2).reference(x), wanted, rtol=1e-4, atol=1e-5)


def test_layer_norm_wants_a_scale_of_its_rows():
    with pytest.raises(ShapeError, match=r"x is fp32\[2,7\] but scale is fp32\[6\]: scale needs shape \[7\]"):
        LayerNorm().infer_outputs([Spec((2, 7)), Spec((6,))])
