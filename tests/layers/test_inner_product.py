"""InnerProduct: against onnxruntime, shape rules, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.inner_product import InnerProduct


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("n", "k", "m"), [(1, 1, 1), (2, 13, 7), (7, 127, 13), (1, 91, 127)])
def test_inner_product_is_onnxruntimes(onnx_run, n, k, m):
    x, w, b = normal(n, k), normal(m, k), normal(m)
    wanted = onnx_run("Gemm", x, w, b, transB=1)
    np.testing.assert_allclose(InnerProduct().reference(x, w, b), wanted, rtol=1e-4, atol=1e-4)


def test_axes_from_axis_on_are_flattened():
    x, w = normal(2, 3, 4, 5), normal(7, 20)
    y = InnerProduct(axis=2).reference(x, w)
    np.testing.assert_allclose(y, np.einsum("nchw,mhw->ncm", x, w.reshape(7, 4, 5)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(InnerProduct(axis=-2).reference(x, w), y)


def test_a_fused_activation_sees_the_bias():
    x, w, b = normal(2, 3), normal(4, 3), normal(4)
    y = InnerProduct(activation="ReLU", activation_args=(0.5,)).reference(x, w, b)
    plain = InnerProduct().reference(x, w, b)
    np.testing.assert_array_equal(y, np.where(plain > 0, plain, np.float32(0.5) * plain))


@pytest.mark.parametrize(
    ("axis", "shapes", "message"),
    [
        (1, [(1, 256, 6, 6), (4096, 9000)], "x is fp32[1,256,6,6] but w is fp32[4096,9000]: w needs K=9216"),
        (1, [(1, 9), (4, 3, 3)], "w is fp32[4,3,3] but weights are (M, K)"),
        (2, [(1, 9), (4, 9)], "axis 2 is not one of fp32[1,9]"),
        (1, [(1, 9), (4, 9), (9,)], "b is fp32[9] but w is fp32[4,9]: b needs shape [4]"),
    ],
)
def test_shapes_that_do_not_fit(axis, shapes, message):
    with pytest.raises(ShapeError) as error:
        InnerProduct(name="fc6", axis=axis).infer_outputs([Spec(s) for s in shapes])
    assert str(error.value) == f"fc6 (InnerProduct): {message}"


def test_senseless_attributes():
    with pytest.raises(AttributeValueError, match="Pooling is no activation"):
        InnerProduct(activation="Pooling")


def test_symbolic_sizes_and_macs():
    x, w = Spec((Dim("N", 2), 256, 6, 6)), Spec((4096, 9216))
    assert str(InnerProduct().infer(x, w)) == "fp32[N,4096]"
    assert InnerProduct().macs(x, w) == 2 * 4096 * 9216
    assert type(InnerProduct().macs(x, w)) is int
