"""Convolution and Deconvolution: against onnxruntime, shape rules, messages, refused attributes."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, RegistryError, ShapeError
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.conv import Convolution, Deconvolution


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = [
    # x, w, attributes
    ((1, 3, 13, 13), (8, 3, 1, 1), {}),
    ((2, 3, 13, 7), (8, 3, 3, 3), {"pad": (1, 1, 1, 1)}),
    ((1, 3, 127, 127), (4, 3, 7, 7), {"stride": (2, 2), "pad": (3, 3, 3, 3)}),
    ((2, 3, 13, 7), (8, 3, 5, 2), {"pad": (0, 1, 2, 3), "stride": (3, 1)}),
    ((1, 8, 13, 13), (6, 4, 3, 3), {"group": 2, "stride": (1, 2)}),
    ((1, 7, 13, 13), (7, 1, 3, 3), {"group": 7, "pad": (1, 1, 1, 1), "stride": (2, 2)}),
    ((1, 7, 13, 13), (14, 1, 3, 3), {"group": 7}),
    ((1, 2, 13, 13), (3, 2, 3, 3), {"dilation": (2, 3), "pad": (2, 3, 2, 3)}),
    ((1, 4, 1, 1), (4, 4, 3, 3), {"pad": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution_is_onnxruntimes(onnx_run, x, w, attributes, bias):
    arrays = [normal(*x), normal(*w), *([normal(w[0])] if bias else [])]
    layer = Convolution(**attributes)
    wanted = onnx_run(
        "Conv",
        *arrays,
        pads=layer.pad,
        strides=layer.stride,
        dilations=layer.dilation,
        group=layer.group,
    )
    np.testing.assert_allclose(layer.reference(*arrays), wanted, rtol=1e-4, atol=1e-4)


DECONVOLUTIONS = [
    ((1, 3, 7, 7), (3, 8, 1, 1), {}),
    ((2, 3, 7, 13), (3, 5, 4, 4), {"stride": (2, 2), "pad": (1, 1, 1, 1)}),
    ((2, 3, 7, 5), (3, 5, 3, 2), {"stride": (3, 2), "pad": (0, 1, 2, 0), "output_pad": (1, 1)}),
    ((1, 6, 7, 7), (6, 2, 3, 3), {"group": 3, "dilation": (2, 1)}),
    ((1, 7, 1, 13), (7, 1, 4, 4), {"group": 7, "stride": (2, 2), "pad": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), DECONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_deconvolution_is_onnxruntimes(onnx_run, x, w, attributes, bias):
    layer = Deconvolution(**attributes)
    arrays = [normal(*x), normal(*w), *([normal(w[1] * layer.group)] if bias else [])]
    wanted = onnx_run(
        "ConvTranspose",
        *arrays,
        pads=layer.pad,
        strides=layer.stride,
        dilations=layer.dilation,
        group=layer.group,
        output_padding=layer.output_pad,
    )
    np.testing.assert_allclose(layer.reference(*arrays), wanted, rtol=1e-4, atol=1e-4)


def test_deconvolution_is_the_transpose():
    """<conv(x), y> == <x, deconv(y)> for every x and y."""
    w, attributes = normal(5, 3, 3, 3), {"stride": (2, 1), "pad": (1, 0, 0, 1)}
    x = normal(1, 3, 13, 7)
    convolved = Convolution(**attributes).reference(x, w)
    y = normal(*convolved.shape)
    back = Deconvolution(**attributes).reference(y, w)
    assert back.shape[2:] == (13 - 1 + 1 - (13 + 1 - 3) % 2, 7)
    np.testing.assert_allclose((convolved * y).sum(), (x[:, :, : back.shape[2]] * back).sum(), rtol=1e-3)


@pytest.mark.parametrize(
    "type_name, args", [("ReLU", ()), ("ReLU", (0.1,)), ("Clip", (0, 6)), ("Sigmoid", ())]
)
def test_a_fused_activation_is_the_layer_after(type_name, args):
    x, w, b = normal(2, 3, 7, 7), normal(4, 3, 3, 3), normal(4)
    fused = Convolution(activation=type_name, activation_args=args).reference(x, w, b)
    cls = layers[type_name]
    after = cls(**dict(zip(cls.declared, args, strict=False))).reference(Convolution().reference(x, w, b))
    np.testing.assert_array_equal(fused, after)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Convolution(), [(1, 3, 9, 9), (6, 4, 7, 7)], "x is fp32[1,3,9,9] but w is fp32[6,4,7,7]: w needs C=3"),
        (Convolution(group=2), [(1, 4, 8, 8), (6, 4, 3, 3)], "w needs C/group=4/2=2"),
        (Convolution(group=2), [(1, 3, 8, 8), (6, 3, 3, 3)], "C=3 and M=6 must be multiples of group=2"),
        (Convolution(), [(3, 8, 8), (6, 3, 3, 3)], "x is fp32[3,8,8] but images are (N, C, H, W)"),
        (Convolution(), [(1, 3, 8, 8), (6, 27)], "w is fp32[6,27] but filters are (M, C/group, KH, KW)"),
        (Convolution(), [(1, 3, 8, 8), (6, 3, 3, 3), (3,)], "b is fp32[3] but there are M=6 filters"),
        (Convolution(pad=(1, 0, 1, 0)), [(1, 3, 3, 8), (6, 3, 7, 1)], "with padding is 5 but the filter needs 7"),
        (Convolution(dilation=(1, 4)), [(1, 3, 8, 8), (6, 3, 3, 3)], "its width with padding is 8"),
        (Deconvolution(), [(1, 3, 8, 8), (4, 3, 3, 3)], "but w is fp32[4,3,3,3]: w needs C=3"),
        (Deconvolution(group=2), [(1, 3, 8, 8), (3, 3, 3, 3)], "C=3 must be a multiple of group=2"),
        (Deconvolution(group=3), [(1, 3, 8, 8), (3, 2, 3, 3), (2,)], "b needs shape [6]"),
        (Deconvolution(pad=(2, 0, 2, 0)), [(1, 3, 2, 8), (3, 2, 3, 3)], "nothing is left of y's height"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(layer, shapes, message):
    with pytest.raises(ShapeError) as error:
        layer.replace(name="conv1").infer_outputs([Spec(s) for s in shapes])
    assert str(error.value).startswith(f"conv1 ({layer.type}): ")
    assert message in str(error.value)


@pytest.mark.parametrize("cls", [Convolution, Deconvolution])
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stride": (0, 1)}, "stride is (0, 1): give 2 numbers of at least 1"),
        ({"stride": (1,)}, "give 2 numbers"),
        ({"pad": (1, 1)}, "pad is (1, 1): give 4 numbers of at least 0"),
        ({"pad": (1, 1, 1, -1)}, "give 4 numbers of at least 0"),
        ({"dilation": (1, 0)}, "dilation is (1, 0): give 2 numbers of at least 1"),
        ({"group": 0}, "group is 0: it must be at least 1"),
        ({"stride": 2}, "stride: tuple[int, ...] = (1, 1) cannot be 2"),
    ],
)
def test_senseless_attributes(cls, attributes, message):
    with pytest.raises(AttributeValueError) as error:
        cls(name="conv1", **attributes)
    assert str(error.value).startswith("conv1") and message in str(error.value)


def test_senseless_activations():
    with pytest.raises(RegistryError, match="Did you mean 'ReLU'"):
        Convolution(activation="relu")
    with pytest.raises(AttributeValueError, match="Softmax is no activation"):
        Convolution(activation="Softmax")
    with pytest.raises(AttributeValueError, match="ReLU got 2 arguments"):
        Convolution(activation="ReLU", activation_args=(0, 1))


def test_symbolic_sizes():
    image = Spec((Dim("N"), 3, Dim("H", 224), Dim("W", 224)))
    first = Convolution(stride=(2, 2), pad=(3, 3, 3, 3)).infer(image, Spec((64, 3, 7, 7)))
    assert str(first) == "fp32[N,64,(H+1)//2,(W+1)//2]" and first.shape[2] == 112
    assert str(Convolution(pad=(1, 1, 1, 1)).infer(image, Spec((8, 3, 3, 3)))) == "fp32[N,8,H,W]"
    assert str(Convolution().infer(image, Spec((8, 3, 3, 3)))) == "fp32[N,8,H-2,W-2]"
    up = Deconvolution(stride=(2, 2), pad=(1, 1, 1, 1)).infer(image, Spec((3, 8, 4, 4)))
    assert str(up) == "fp32[N,8,H*2,W*2]" and up.shape[3] == 448


def test_macs_are_multiply_adds():
    # AlexNet's conv2 as published: 27 * 27 * 256 outputs of 5 * 5 * 48 terms
    x, w = Spec((1, 96, 27, 27)), Spec((256, 48, 5, 5))
    assert Convolution(pad=(2, 2, 2, 2), group=2).macs(x, w, Spec((256,))) == 27 * 27 * 256 * 5 * 5 * 48
    assert Deconvolution(stride=(2, 2)).macs(Spec((2, 3, 7, 7)), Spec((3, 8, 4, 4))) == 2 * 49 * 3 * 8 * 16
