"""Windows, lengths, selections and an LSTM's step, against OpenCV's reader of Caffe and onnxruntime; or by hand."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.lstm_unit import LSTMUnit
from fbnet.layers.normalize import Normalize
from fbnet.layers.select import Crop, Filter
from fbnet.layers.volume import MaxPooling3D
from fbnet.layers.window import SPP, Im2col, Upsample

X = np.random.default_rng(3).standard_normal((2, 4, 9, 13)).astype(np.float32)


@pytest.mark.parametrize(
    "how",
    [
        {"kernel": (3, 2)},
        {"kernel": (3, 3), "stride": (2, 1), "pad": (1, 2, 1, 2)},
        {"kernel": (2, 3), "dilation": (3, 2), "pad": (0, 1, 2, 3)},
    ],
)
def test_a_product_with_columns_is_onnxruntimes_convolution(onnx_run, how):
    w = np.random.default_rng(4).standard_normal((5, 4, *how["kernel"])).astype(np.float32)
    columns = Im2col(**how).reference(X)
    n, _, oh, ow = columns.shape
    found = np.einsum("mk,nkp->nmp", w.reshape(5, -1), columns.reshape(n, -1, oh * ow)).reshape(n, 5, oh, ow)
    strides, dilations = how.get("stride", (1, 1)), how.get("dilation", (1, 1))
    wanted = onnx_run("Conv", X, w, pads=how.get("pad", (0,) * 4), strides=strides, dilations=dilations)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["max", "average"])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (24, 17)])
def test_a_pyramid_is_opencvs_poolings(caffe_run, method, size):
    """Caffe's SPP is a pooling a level, whose sizes follow from the image's."""
    x = np.random.default_rng(5).standard_normal((2, 3, *size)).astype(np.float32)
    levels = []
    for bins in (1, 2, 4):
        (kh, top), (kw, left) = ((-(-n // bins), (-(-n // bins) * bins - n + 1) // 2) for n in size)
        text = f"kernel_h: {kh} kernel_w: {kw} stride_h: {kh} stride_w: {kw} pad_h: {top} pad_w: {left}"
        pool = {"max": "MAX", "average": "AVE"}[method]
        levels.append(caffe_run(f'type: "Pooling" pooling_param {{ pool: {pool} {text} }}', x).reshape(2, -1))
    found = SPP(levels=3, method=method).reference(x)
    np.testing.assert_allclose(found, np.concatenate(levels, 1), rtol=1e-5, atol=1e-6)


def test_a_pyramid_is_of_one_length_for_every_image():
    assert str(SPP(levels=3).infer(Spec((Dim("N", 2), 3, Dim("H", 9), 30)))) == "fp32[N,63]"
    with pytest.raises(ShapeError, match="finer than"):
        SPP(levels=4).infer(Spec((1, 1, 3, 30)))
    with pytest.raises(AttributeValueError, match="levels is 0"):
        SPP(levels=0)


def test_what_a_pooling_took_is_put_back_as_onnxruntime_does(onnx_run):
    pooled, place = MaxPooling3D(kernel=(1, 2, 2), stride=(1, 2, 2)).reference(X[:, :, None])
    x, mask = pooled[:, :, 0], place[:, :, 0]
    wide = mask + np.arange(8).reshape(2, 4, 1, 1) * 9 * 13  # ONNX counts through all planes
    wanted = onnx_run("MaxUnpool", x, wide, np.int64([2, 4, 9, 13]), kernel_shape=(2, 2), strides=(2, 2))
    np.testing.assert_array_equal(Upsample(size=(9, 13)).reference(x, mask), wanted)
    with pytest.raises(AttributeValueError, match="give one of them"):
        Upsample(size=(2, 2), scale=(2, 2))
    with pytest.raises(ShapeError, match="mask"):
        Upsample(scale=(2, 2)).infer_outputs([Spec(x.shape), Spec((1, 4, 4, 6))])


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_normalize_is_opencvs(caffe_run, spatial, shared):
    text = f"across_spatial: {str(spatial).lower()} eps: 0.001 channel_shared: {str(shared).lower()}"
    wanted = caffe_run(f'type: "Normalize" norm_param {{ {text} }}', X)
    found = Normalize(across_spatial=spatial, eps=0.001).reference(X)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_normalize_refuses():
    with pytest.raises(AttributeValueError, match="guard is 'both'"):
        Normalize(guard="both")
    with pytest.raises(ShapeError, match=r"needs shape \[4\] or \[1\]"):
        Normalize().infer_outputs([Spec(X.shape), Spec((3,))])


@pytest.mark.parametrize(("axis", "offset"), [(2, (1, 2)), (1, (0, 1, 2)), (2, (3,))])
def test_crop_is_opencvs(caffe_run, axis, offset):
    like = np.zeros((2, 4, 5, 6), np.float32)
    text = f"axis: {axis} offset: {list(offset)}"
    wanted = caffe_run(f'type: "Crop" crop_param {{ {text} }}', X, like)
    np.testing.assert_array_equal(Crop(axis=axis, offset=offset).reference(X, like), wanted)


def test_crop_refuses():
    with pytest.raises(ShapeError, match="reaches past"):
        Crop(offset=(8,)).infer_outputs([Spec(X.shape), Spec((2, 4, 5, 6))])
    with pytest.raises(ShapeError, match="2 axes are cut"):
        Crop(offset=(1, 2, 3)).infer_outputs([Spec(X.shape), Spec((2, 4, 5, 6))])


def test_filter_brings_the_selected_to_the_front():
    found, other = Filter(outputs=["a", "b"]).reference(X, X[:, 0], np.float32([0, 3]))
    np.testing.assert_array_equal(found, np.stack([X[1], np.zeros_like(X[1])]))
    np.testing.assert_array_equal(other[0], X[1, 0])
    with pytest.raises(ShapeError, match="one number for each image"):
        Filter().infer_outputs([Spec((2, 3)), Spec((3,))])


def test_a_step_is_onnxruntimes(onnx_run):
    """Without weights for the state: the gates are what the input brings, in ONNX's order i, o, f, g."""
    random = np.random.default_rng(6)
    c, gates = (random.standard_normal((1, 3, size)).astype(np.float32) for size in (5, 20))
    i, f, o, g = np.split(gates, 4, 2)
    w, r = np.eye(20, dtype=np.float32)[None], np.zeros((1, 20, 5), np.float32)
    _, h, wanted = onnx_run(
        "LSTM",
        np.concatenate([i, o, f, g], 2),
        w,
        r,
        None,
        None,
        np.zeros_like(c),
        c,
        outputs=3,
        hidden_size=5,
    )
    found = LSTMUnit().reference(c, gates, np.ones((1, 3), np.float32))
    np.testing.assert_allclose(found, [wanted, h], rtol=1e-5, atol=1e-6)
    begun = LSTMUnit().reference(c, gates, np.zeros((1, 3), np.float32))
    np.testing.assert_array_equal(begun, LSTMUnit().reference(c * 0, gates, np.ones((1, 3), np.float32)))
