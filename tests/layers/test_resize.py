"""Resize: against onnxruntime, sizes, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.resize import Resize

X = np.random.default_rng(0).standard_normal((2, 3, 7, 13)).astype(np.float32)


def onnx_resize(onnx_run, layer, mode, coordinates, **attributes):
    """What onnxruntime makes of X by the layer's scale or size."""
    if layer.scale:
        given = [X, None, np.float32([1, 1, *layer.scale])]
    else:
        given = [X, None, None, np.int64([*X.shape[:2], *layer.size])]
    return onnx_run("Resize", *given, mode=mode, coordinate_transformation_mode=coordinates, **attributes)


SIZES = [{"scale": (2, 2)}, {"scale": (3, 0.5)}, {"scale": (1.5, 0.7)}, {"size": (14, 5)}, {"size": (1, 30)}]


@pytest.mark.parametrize("given", SIZES, ids=str)
def test_nearest_is_onnxruntimes(onnx_run, given):
    layer = Resize(**given)
    wanted = onnx_resize(onnx_run, layer, "nearest", "asymmetric", nearest_mode="floor")
    np.testing.assert_array_equal(layer.reference(X), wanted)


@pytest.mark.parametrize("given", SIZES, ids=str)
@pytest.mark.parametrize("corners", [False, True])
def test_linear_is_onnxruntimes(onnx_run, given, corners):
    layer = Resize(method="linear", corners=corners, **given)
    wanted = onnx_resize(onnx_run, layer, "linear", "align_corners" if corners else "half_pixel")
    np.testing.assert_allclose(layer.reference(X), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 9, 10, 31, 100])
@pytest.mark.parametrize("scale", [1 / 3, 2 / 3, 0.1, 1.1, float(np.float32(1 / 3))])
def test_sizes_do_not_suffer_from_rounding(scale, size):
    thirtieths = round(scale * 30)
    assert Resize(scale=(scale, 1)).infer(Spec((1, 1, 30 * size, 1))).shape[2] == thirtieths * size


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"method": "area", "size": (1, 1)}, "method is 'area': give 'nearest', 'linear' or 'cubic'"),
        ({}, "give one of them, [h, w], above 0"),
        ({"scale": (2, 2), "size": (2, 2)}, "give one of them"),
        ({"scale": (2,)}, "give one of them"),
        ({"scale": (2, float("nan"))}, "give one of them"),
        ({"size": (0, 5)}, "give one of them"),
        ({"size": (2, 2), "corners": True}, "corners belongs to method 'linear', not to 'nearest'"),
    ],
)
def test_senseless_attributes(attributes, message):
    with pytest.raises(AttributeValueError) as error:
        Resize(**attributes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 8), "x is fp32[1,3,8] but images are (N, C, H, W)"),
        ((1, 3, 0, 8), "an image without pixels cannot be resized"),
        ((1, 3, 1, 8), "nothing is left of it at scale [0.5, 0.5]"),
    ],
)
def test_shapes_that_do_not_fit(shape, message):
    with pytest.raises(ShapeError) as error:
        Resize(scale=(0.5, 0.5)).infer(Spec(shape))
    assert message in str(error.value)


def test_symbolic_sizes():
    x = Spec((Dim("N", 2), 3, Dim("H", 6), Dim("W", 7)))
    assert str(Resize(scale=(2, 0.5)).infer(x)) == "fp32[N,3,H*2,W//2]"
    assert str(Resize(scale=(1.5, 1)).infer(x)) == "fp32[N,3,(H*3)//2,W]"
    assert str(Resize(size=(5, 5)).infer(x)) == "fp32[N,3,5,5]"
