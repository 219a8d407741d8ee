"""Pooling: against onnxruntime and OpenCV's Caffe, shape rules, messages, refused attributes."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.pool import Pooling


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


# kernel, stride, pad (top, left, bottom, right), x
WINDOWS = [
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1, 1, 1)),
    ((2, 2), (2, 2), (0, 0, 0, 0), (2, 3, 14, 127)),
    ((3, 3), (2, 2), (0, 0, 0, 0), (1, 3, 13, 8)),
    ((3, 3), (2, 2), (1, 1, 1, 1), (2, 3, 13, 8)),
    ((3, 2), (2, 3), (1, 0, 2, 1), (1, 3, 13, 13)),
    ((5, 5), (3, 3), (2, 2, 2, 2), (1, 2, 7, 9)),
]


@pytest.mark.parametrize(("kernel", "stride", "pad", "x"), WINDOWS)
@pytest.mark.parametrize("ceil", [False, True])
def test_max_is_onnxruntimes(onnx_run, kernel, stride, pad, x, ceil):
    x = normal(*x)
    wanted = onnx_run("MaxPool", x, kernel_shape=kernel, strides=stride, pads=pad, ceil_mode=int(ceil))
    layer = Pooling(kernel=kernel, stride=stride, pad=pad, ceil=ceil)
    np.testing.assert_array_equal(layer.reference(x), wanted)


@pytest.mark.parametrize(("kernel", "stride", "pad", "x"), WINDOWS)
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("count_pad", [False, True])
def test_average_is_onnxruntimes(onnx_run, kernel, stride, pad, x, ceil, count_pad):
    x = normal(*x)
    wanted = onnx_run(
        "AveragePool",
        x,
        kernel_shape=kernel,
        strides=stride,
        pads=pad,
        ceil_mode=int(ceil),
        count_include_pad=int(count_pad),
        opset=19,
    )
    layer = Pooling(method="average", kernel=kernel, stride=stride, pad=pad, ceil=ceil, count_pad=count_pad)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["max", "average"])
def test_global_is_onnxruntimes(onnx_run, method):
    x = normal(2, 7, 13, 3)
    wanted = onnx_run({"max": "GlobalMaxPool", "average": "GlobalAveragePool"}[method], x)
    np.testing.assert_allclose(
        Pooling(method=method, global_pooling=True).reference(x), wanted, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "shape"),
    [
        (2, 2, 0, (1, 3, 13, 7)),
        (3, 2, 0, (2, 3, 13, 8)),
        (3, 2, 1, (1, 3, 13, 8)),
        (3, 2, 1, (1, 3, 7, 127)),
        (5, 3, 2, (1, 2, 7, 9)),
        (5, 5, 0, (1, 2, 7, 13)),
    ],
)
@pytest.mark.parametrize("method", ["max", "average"])
def test_ceil_is_caffes(caffe_run, method, kernel, stride, pad, shape):
    x = normal(*shape)
    pool = {"max": "MAX", "average": "AVE"}[method]
    text = f"pool: {pool} kernel_size: {kernel} stride: {stride} pad: {pad}"
    wanted = caffe_run(f'type: "Pooling" pooling_param {{ {text} }}', x)
    layer = Pooling(method=method, kernel=[kernel] * 2, stride=[stride] * 2, pad=[pad] * 4, ceil=True)
    np.testing.assert_allclose(layer.reference(x), wanted, rtol=1e-5, atol=1e-6)


def test_caffes_divisor_counts_padding_but_nothing_past_it():
    """pooling_layer.cpp: pool_size = min(start + kernel, size + pad) - start, before it is cut to x."""
    x = np.ones((1, 1, 4, 4), np.float32)
    layer = Pooling(method="average", kernel=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1), ceil=True)
    row = np.float32(
        [2 / 3, 1, 1 / 2]
    )  # two real cells of three, three of three, one of the two within padding
    np.testing.assert_allclose(layer.reference(x)[0, 0], np.outer(row, row))
    real = layer.replace(count_pad=False).reference(x)
    np.testing.assert_array_equal(real, np.ones((1, 1, 3, 3)))


@pytest.mark.parametrize(
    ("attributes", "size", "out"),
    [
        ({"kernel": (3, 3), "stride": (2, 2)}, 224, 111),
        ({"kernel": (3, 3), "stride": (2, 2), "ceil": True}, 224, 112),
        ({"kernel": (2, 2), "stride": (2, 2), "ceil": True}, 7, 4),
        # the fourth window would begin at 7, past the image
        ({"kernel": (2, 2), "stride": (2, 2), "pad": (1, 1, 1, 1), "ceil": True}, 6, 4),
        ({"kernel": (2, 2), "stride": (2, 2), "pad": (1, 1, 1, 1), "ceil": True}, 7, 4),
        ({"kernel": (1, 1), "stride": (3, 3), "ceil": True}, 5, 2),
        ({"kernel": (7, 7), "stride": (7, 7), "ceil": True}, 6, 1),
        ({"kernel": (9, 9), "global_pooling": True}, 5, 1),
    ],
)
def test_sizes(attributes, size, out):
    spec = Pooling(**attributes).infer(Spec((1, 2, size, size)))
    assert spec.shape == (1, 2, out, out)
    assert Pooling(**attributes).reference(np.zeros((1, 2, size, size), np.float32)).shape == spec.shape


@pytest.mark.parametrize(
    ("attributes", "shape", "message"),
    [
        ({}, (3, 8, 8), "x is fp32[3,8,8] but images are (N, C, H, W)"),
        ({}, (1, 3, 0, 8), "an image without pixels cannot be pooled"),
        ({"kernel": (9, 9)}, (1, 3, 8, 8), "with pad [0, 0, 0, 0] it is smaller than the kernel, [9, 9]"),
        ({"kernel": (9, 9), "ceil": True}, (1, 3, 8, 8), "smaller than the kernel"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(attributes, shape, message):
    with pytest.raises(ShapeError) as error:
        Pooling(name="pool1", **attributes).infer_outputs([Spec(shape)])
    assert str(error.value).startswith("pool1 (Pooling): ") and message in str(error.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"method": "stochastic"}, "method is 'stochastic': give 'max' or 'average'"),
        ({"kernel": (0, 3)}, "kernel is (0, 3): give 2 numbers of at least 1"),
        ({"stride": (1, 2, 3)}, "stride is (1, 2, 3): give 2 numbers of at least 1"),
        ({"kernel": (2, 2), "pad": (0, 0, 2, 0)}, "pad is (0, 0, 2, 0) but kernel is (2, 2)"),
    ],
)
def test_senseless_attributes(attributes, message):
    with pytest.raises(AttributeValueError) as error:
        Pooling(name="pool1", **attributes)
    assert message in str(error.value)


def test_symbolic_sizes():
    x = Spec((Dim("N"), 3, Dim("H", 112), Dim("W", 112)))
    assert str(Pooling(kernel=(3, 3), stride=(2, 2), ceil=True).infer(x)) == "fp32[N,3,H//2,W//2]"
    assert (
        str(Pooling(kernel=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1)).infer(x)) == "fp32[N,3,(H+1)//2,(W+1)//2]"
    )
    assert str(Pooling(global_pooling=True).infer(x)) == "fp32[N,3,1,1]"
