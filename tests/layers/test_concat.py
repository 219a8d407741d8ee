"""Concat and Slice: against onnxruntime and OpenCV's Caffe, each other's inverse, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.concat import Concat, Slice


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concat_is_onnxruntimes_and_slice_its_inverse(onnx_run, axis):
    sizes = [1, 7, 5]
    xs = []
    for size in sizes:
        shape = [2, 3, 13]
        shape[axis] = size
        xs.append(normal(*shape))
    y = Concat(axis=axis).reference(*xs)
    np.testing.assert_array_equal(y, onnx_run("Concat", *xs, axis=axis))
    parts = Slice(outputs=["a", "b", "c"], axis=axis, points=(1, 8)).reference(y)
    for part, x in zip(parts, xs, strict=True):
        np.testing.assert_array_equal(part, x)


def test_equal_parts_are_onnxruntimes(onnx_run):
    x = normal(2, 9, 7)
    wanted = onnx_run("Split", x, axis=1, outputs=3, opset=13)
    for part, other in zip(Slice(outputs=["a", "b", "c"]).reference(x), wanted, strict=True):
        np.testing.assert_array_equal(part, other)


def test_slice_is_caffes(caffe_run):
    x = normal(1, 9, 7, 3)
    text = 'type: "Slice" slice_param { axis: 1 slice_point: 2 slice_point: 5 }'
    wanted = caffe_run(text, x, outputs=3)
    layer = Slice(outputs=["a", "b", "c"], points=(2, 5))
    for part, other in zip(layer.reference(x), wanted, strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Concat(), [], "got no input but takes one or more"),
        (
            Concat(),
            [(1, 3, 8), (1, 3, 7)],
            "xs0 is fp32[1,3,8] but xs1 is fp32[1,3,7]: only axis 1 may differ",
        ),
        (Concat(), [(1, 3, 8), (1, 3)], "xs0 is fp32[1,3,8] but xs1 is fp32[1,3]: only axis 1 may differ"),
        (Concat(axis=3), [(1, 3, 8)], "axis 3 is not one of fp32[1,3,8]"),
        (Slice(points=(2, 9)), [(1, 9)], "x is fp32[1,9] but points are (2, 9): axis 1 ends at 9"),
        (Slice(outputs=["a", "b"]), [(1, 9)], "x is fp32[1,9]: axis 1 cannot be cut into 2 equal parts"),
        (Slice(), [(1, 9)], "needs points, or the names of its outputs, to know how many parts to cut"),
        (Slice(points=(2, 5), outputs=["a", "b"]), [(1, 9)], "computes 3 outputs but names 2"),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, message):
    with pytest.raises(ShapeError) as error:
        layer.replace(name="c1").infer_outputs([Spec(s) for s in shapes])
    assert str(error.value).startswith(f"c1 ({layer.type})") and message in str(error.value)


def test_dtypes_that_do_not_fit():
    with pytest.raises(ShapeError, match="xs1 is int8"):
        Concat().infer_outputs([Spec((1, 3)), Spec((1, 3), "int8")])


@pytest.mark.parametrize("points", [(0, 2), (3, 3), (5, 2), (-1,)])
def test_senseless_points(points):
    with pytest.raises(AttributeValueError, match="they must be positive and rise"):
        Slice(points=points)


def test_symbolic_sizes():
    x = Spec((Dim("N", 2), 6, Dim("W", 8)))
    assert str(Concat().infer(x, x)) == "fp32[N,12,W]"
    assert str(Concat(axis=2).infer(x, x)) == "fp32[N,6,W+W]"
    assert [str(s) for s in Slice(points=(2,)).infer(x)] == ["fp32[N,2,W]", "fp32[N,4,W]"]
    assert [str(s) for s in Slice(axis=2, outputs=["a", "b"]).infer(x)] == ["fp32[N,6,W//2]"] * 2
    assert [str(s) for s in Slice(axis=2, points=(3,)).infer(x)] == ["fp32[N,6,3]", "fp32[N,6,W-3]"]
