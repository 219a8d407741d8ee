"""Flatten, Reshape, Permute, ShuffleChannel, Pad: against onnxruntime, Caffe's rules, messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.reshape import Flatten, Pad, Permute, Reshape, ShuffleChannel


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3), (0, 1, 3, 2)])
def test_permute_is_onnxruntimes(onnx_run, order):
    x = normal(2, 3, 7, 13)
    np.testing.assert_array_equal(Permute(order=order).reference(x), onnx_run("Transpose", x, perm=order))


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 3, 4), (0, 0, 1, 0)])
@pytest.mark.parametrize("shape", [(7, 13), (2, 3, 7, 1)])
def test_pad_is_onnxruntimes(onnx_run, pads, shape):
    x, none = normal(*shape), [0] * (len(shape) - 2)
    everywhere = np.int64([*none, *pads[:2], *none, *pads[2:]])
    wanted = onnx_run("Pad", x, everywhere, np.full((), 0.5, np.float32))
    np.testing.assert_array_equal(Pad(pads=pads, value=0.5).reference(x), wanted)


def test_pad_frames_one_to_three_axes():
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(Pad(pads=(1, 2)).reference(x), np.pad(x, [(0, 0)] * 3 + [(1, 2)]))
    wanted = np.pad(x, [(0, 0), (1, 4), (2, 5), (3, 6)])
    np.testing.assert_array_equal(Pad(pads=(1, 2, 3, 4, 5, 6)).reference(x), wanted)


def test_shuffle_takes_from_the_groups_in_turn():
    x = np.arange(6, dtype=np.float32).reshape(1, 6)
    np.testing.assert_array_equal(ShuffleChannel(group=2).reference(x), [[0, 3, 1, 4, 2, 5]])
    np.testing.assert_array_equal(ShuffleChannel(group=3).reference(x), [[0, 2, 4, 1, 3, 5]])
    x = normal(2, 12, 3, 5)
    there = ShuffleChannel(group=3).reference(x)
    np.testing.assert_array_equal(ShuffleChannel(group=4).reference(there), x)


@pytest.mark.parametrize(
    ("attributes", "out"),
    [
        # the examples of caffe.proto's ReshapeParameter, on x of 2 x 8
        ({"shape": (2, 2, 4)}, (2, 2, 4)),
        ({"shape": (0, 2, 4)}, (2, 2, 4)),
        ({"shape": (0, 2, -1)}, (2, 2, 4)),
        ({"shape": (2, 4), "axis": 1}, (2, 2, 4)),
        ({"shape": (1, 1), "axis": -1}, (2, 8, 1, 1)),
        ({"shape": (1,), "axis": 1, "num_axes": 0}, (2, 1, 8)),
        ({"shape": (-1,)}, (16,)),
        ({"shape": (-1, 1), "axis": 0, "num_axes": 1}, (2, 1, 8)),
    ],
)
def test_reshape_is_caffes(attributes, out):
    layer = Reshape(**attributes)
    assert layer.infer(Spec((2, 8))).shape == out
    x = normal(2, 8)
    np.testing.assert_array_equal(layer.reference(x), x.reshape(out))


def test_aliases_copy_nothing():
    x = normal(2, 3, 7)
    assert Flatten.alias and Reshape.alias and not Permute.alias
    assert np.shares_memory(Flatten().reference(x), x) and np.shares_memory(
        Reshape(shape=(-1,)).reference(x), x
    )


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Flatten(axis=2, end_axis=1), (1, 3, 8), "axis 2 lies after end_axis 1"),
        (Flatten(axis=3), (1, 3, 8), "axis 3 is not one of fp32[1,3,8]"),
        (Reshape(shape=(0, 5)), (1, 9), "x is fp32[1,9] but shape is (0, 5): 9 numbers do not fill 5"),
        (Reshape(shape=(0, 2, -1)), (1, 9), "9 numbers do not fill 2"),
        (Reshape(shape=(0, 0, 0)), (1, 9), "its last 0 has no axis to copy"),
        (Reshape(shape=(-1, 4), axis=-1, num_axes=0), (2, 8), "1 numbers do not fill 4"),
        (Reshape(shape=(1,), axis=3), (1, 9), "it has no axes 3 to"),
        (Reshape(shape=(1,), axis=1, num_axes=3), (1, 9), "it has no axes 1 to 3 to replace"),
        (Permute(order=(0, 2, 1)), (1, 9), "x is fp32[1,9] but order is (0, 2, 1): name each of its 2 axes"),
        (Pad(pads=(1, 1, 1, 1)), (9,), "x is fp32[9] but Pad wants (..., H, W)"),
        (Pad(pads=(1,) * 6), (9, 9), "x is fp32[9,9] but Pad wants (..., D, H, W)"),
        (
            ShuffleChannel(group=2),
            (1, 9),
            "x is fp32[1,9]: its axis 1 must be channels, a multiple of group=2",
        ),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, message):
    with pytest.raises(ShapeError) as error:
        layer.replace(name="r1").infer_outputs([Spec(shape)])
    assert str(error.value).startswith(f"r1 ({layer.type}): ") and message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reshape(), "needs the attribute shape"),
        (lambda: Reshape(shape=(-1, -1)), "at most one -1"),
        (lambda: Reshape(shape=(-2,)), "give sizes, 0 to copy"),
        (lambda: Reshape(shape=(1,), num_axes=-2), "num_axes is -2"),
        (lambda: Permute(order=(0, 0, 1)), "name each axis from 0 on, once"),
        (lambda: Permute(order=(1, 2)), "name each axis from 0 on, once"),
        (lambda: Pad(pads=(1, 1, 1)), "give two numbers of at least 0 for each axis"),
        (lambda: ShuffleChannel(group=0), "group is 0: it must be at least 1"),
        (lambda: Pad(pads=(0, 0, 0, -1)), "give two numbers of at least 0 for each axis"),
    ],
)
def test_senseless_attributes(make, message):
    with pytest.raises(AttributeValueError) as error:
        make()
    assert message in str(error.value)


def test_symbolic_sizes():
    x = Spec((Dim("N", 2), 8, Dim("H", 6), Dim("W", 7)))
    assert str(Flatten().infer(x)) == "fp32[N,(8*H)*W]" and Flatten().infer(x).shape[1] == 336
    assert str(Flatten(axis=2).infer(x)) == "fp32[N,8,H*W]"
    assert str(Reshape(shape=(0, -1)).infer(Spec((Dim("N", 2), 8, 3)))) == "fp32[N,24]"
    assert (
        str(Reshape(shape=(0, 2, -1, 0)).infer(x.replace(shape=(*x.shape[:2], 6, x.shape[3]))))
        == "fp32[N,2,24,W]"
    )
    assert str(Permute(order=(0, 2, 3, 1)).infer(x)) == "fp32[N,H,W,8]"
    assert str(Pad(pads=(1, 1, 1, 2)).infer(x)) == "fp32[N,8,H+2,W+3]"
