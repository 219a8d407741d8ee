"""Eltwise: against onnxruntime and OpenCV's Caffe, messages, refused attributes."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.eltwise import Eltwise


def several(count, *shape):
    return list(np.random.default_rng(count).standard_normal((count, *shape)).astype(np.float32))


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("operation", ["sum", "max"])
def test_eltwise_is_onnxruntimes(onnx_run, operation, count):
    xs = several(count, 2, 7, 13)
    wanted = onnx_run(operation.capitalize(), *xs)
    np.testing.assert_allclose(Eltwise(operation=operation).reference(*xs), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "parameters"),
    [
        (Eltwise(), "operation: SUM"),
        (Eltwise(coeff=(1, -1)), "operation: SUM coeff: 1 coeff: -1"),
        (Eltwise(operation="prod"), "operation: PROD"),
        (Eltwise(operation="max"), "operation: MAX"),
    ],
)
def test_eltwise_is_caffes(caffe_run, layer, parameters):
    xs = several(2, 2, 3, 13, 7)
    wanted = caffe_run(f'type: "Eltwise" eltwise_param {{ {parameters} }}', *xs)
    np.testing.assert_allclose(layer.reference(*xs), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Eltwise(), [(1, 3)], "got 1 input but takes two or more"),
        (Eltwise(coeff=(1, 2)), [(1, 3)] * 3, "got 3 inputs but coeff has 2: give one factor an input"),
        (
            Eltwise(),
            [(1, 3, 8, 8), (1, 3, 1, 1)],
            "xs0 is fp32[1,3,8,8] but xs1 is fp32[1,3,1,1]: all need one shape and dtype",
        ),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, message):
    with pytest.raises(ShapeError) as error:
        layer.replace(name="res2a").infer_outputs([Spec(s) for s in shapes])
    assert str(error.value) == f"res2a (Eltwise): {message}"


def test_dtypes_that_do_not_fit():
    with pytest.raises(ShapeError, match="xs1 is int8"):
        Eltwise().infer_outputs([Spec((1, 3)), Spec((1, 3), "int8")])


def test_senseless_attributes():
    with pytest.raises(AttributeValueError, match="operation is 'mean'"):
        Eltwise(operation="mean")
    with pytest.raises(AttributeValueError, match="coeff belongs to a sum"):
        Eltwise(operation="max", coeff=(1, 2))


def test_symbolic_sizes():
    x = Spec((Dim("N"), 3, Dim("H")))
    assert str(Eltwise().infer(x, x)) == "fp32[N,3,H]"
