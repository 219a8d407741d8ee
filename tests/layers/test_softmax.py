"""Softmax: against onnxruntime and OpenCV's Caffe, extremes, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.softmax import Softmax


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (2, 127), (2, 7, 13, 3)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_is_onnxruntimes(onnx_run, shape, axis):
    x = 10 * normal(*shape)
    np.testing.assert_allclose(
        Softmax(axis=axis).reference(x), onnx_run("Softmax", x, axis=axis), rtol=1e-5, atol=1e-7
    )


def test_softmax_is_caffes(caffe_run):
    x = normal(2, 7, 13, 3)
    wanted = caffe_run('type: "Softmax" softmax_param { axis: 1 }', x)
    np.testing.assert_allclose(Softmax().reference(x), wanted, rtol=1e-5, atol=1e-7)


def test_extremes_neither_overflow_nor_warn():
    y = Softmax().reference(np.float32([[1e38, 0, -1e38], [1e4, 1e4, 1e4]]))
    np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


def test_axis_that_is_not_there():
    with pytest.raises(ShapeError) as error:
        Softmax(name="prob", axis=2).infer_outputs([Spec((1, 1000))])
    assert str(error.value) == "prob (Softmax): axis 2 is not one of fp32[1,1000]"


def test_symbolic_sizes():
    assert str(Softmax().infer(Spec((Dim("N"), 1000)))) == "fp32[N,1000]"
