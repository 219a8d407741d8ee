"""What is known before the net runs: shape sub-graphs, arithmetic on weights, and bombs made of them."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from onnx import helper, numpy_helper

N = helper.make_node


def constant(name, numbers):
    return N("Constant", [], [name], value=numpy_helper.from_array(np.array(numbers)))


FLATTEN = [  # x.view(x.size(0), -1), as exporters write it
    N("Shape", ["x"], ["shape"]),
    constant("zero", 0),
    N("Gather", ["shape", "zero"], ["batch"], axis=0),
    N("Unsqueeze", ["batch"], ["batch1"], axes=[0]),
    N("Cast", ["batch1"], ["batch2"], to=7),
    constant("rest", [-1]),
    N("Concat", ["batch2", "rest"], ["target"], axis=0),
    N("Reshape", ["x", "target"], ["y"]),
]


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_shape_sub_graph_becomes_flatten(batch, agree, types):
    net = agree(FLATTEN, {"x": (batch, 4, 7, 9)}, opset=11)
    assert types(net) == ["Flatten"]
    assert [str(s) for s in net.inputs["x"].shape] == ["N" if batch == 1 else "batch", "4", "H", "W"]
    assert net.forward(x=np.zeros((5, 4, 2, 3)))["y"].shape == (5, 24)


SHUFFLE = [
    N("Shape", ["x"], ["shape"]),
    *[constant(f"{i}", [i]) for i in range(4)],
    *[N("Gather", ["shape", f"{i}"], [name], axis=0) for i, name in enumerate("nchw")],
    N("Constant", [], ["two"], value_ints=[2]),
    N("Div", ["c", "two"], ["half"]),
    N("Concat", ["n", "two", "half", "h", "w"], ["split"], axis=0),
    N("Reshape", ["x", "split"], ["five"]),
    N("Transpose", ["five"], ["turned"], perm=[0, 2, 1, 3, 4]),
    N("Concat", ["n", "c", "h", "w"], ["joined"], axis=0),
    N("Reshape", ["turned", "joined"], ["y"]),
]


def test_a_channel_shuffle_keeps_its_sizes_free(agree, types):
    x = np.random.default_rng(3).random((2, 6, 3, 5), np.float32)
    net = agree(SHUFFLE, {"x": ("n", 6, "h", "w")}, opset=13, feeds={"x": x})
    assert types(net) == ["ShuffleChannel"]
    assert [str(s) for s in net.inputs["x"].shape] == ["n", "6", "h", "w"]
    fixed = agree(SHUFFLE, {"x": (1, 6, 8, 8)}, opset=13)
    assert [str(s) for s in fixed.inputs["x"].shape] == ["N", "6", "H", "W"]


def test_arithmetic_and_moving_of_sizes(agree):
    """Slice, Squeeze, Split, Add, Sub, Mul and ReduceProd of a shape with an open batch."""
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Slice", ["shape", "one", "four"], ["chw"]),
        N("ReduceProd", ["chw"], ["all"], keepdims=1),
        N("Split", ["shape"], ["front", "back"]),
        N("Slice", ["front", "nought", "one"], ["n"]),
        N("Squeeze", ["n"], ["n0"]),
        N("Add", ["n0", "one"], ["more"]),
        N("Sub", ["more", "one"], ["same"]),
        N("Mul", ["same", "one"], ["again"]),
        N("Reshape", ["again", "one"], ["batch"]),
        N("Concat", ["batch", "all"], ["target"], axis=0),
        N("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"nought": np.array([0]), "one": np.array([1]), "four": np.array([4])}
    x = np.random.default_rng(4).random((3, 2, 4, 5), np.float32)
    net = agree(nodes, {"x": ("n", 2, 4, 5)}, constants, opset=13, feeds={"x": x})
    assert len(net) == 1


def test_shape_with_start_and_end(agree):
    nodes = [N("Shape", ["x"], ["tail"], start=-2), N("Concat", ["rest", "tail"], ["target"], axis=0),
             N("Reshape", ["x", "target"], ["y"])]  # fmt: skip
    x = np.zeros((2, 3, 4, 5), np.float32)
    agree(nodes, {"x": ("n", 3, "h", "w")}, {"rest": np.array([-1])}, opset=15, feeds={"x": x})


def test_a_size_in_a_place_that_needs_a_number(agree, convert, model):
    """The file's own 8 is used for what must be a number; H and W stay as they are then, and N is free."""
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Slice", ["shape", "two", "three"], ["h"]),
        N("Concat", ["zeros", "h", "zero"], ["pads"], axis=0),
        N("Pad", ["x", "pads"], ["y"]),
    ]
    zero = {
        "zeros": np.zeros(6, np.int64),
        "zero": np.zeros(1, np.int64),
        "two": np.array([2]),
        "three": np.array([3]),
    }
    net = agree(nodes, {"x": (1, 3, 8, 8)}, zero)
    assert [str(s) for s in net.inputs["x"].shape] == ["N", "3", "8", "8"]
    open_sizes = model(nodes, {"x": (1, 3, "h", 8)}, zero)
    with pytest.raises(ConversionError, match=r"depends on the size h: give a number with shapes="):
        convert(open_sizes)
    assert len(convert(open_sizes, shapes={"x": (1, 3, 8, 8)})) == 1


def test_arithmetic_on_weights(agree, types):
    """It happens at import: one layer is left."""
    nodes = [
        N("Transpose", ["w"], ["wt"], perm=[3, 2, 0, 1]),
        N("Mul", ["wt", "s"], ["ws"]),
        N("Sqrt", ["v"], ["root"]),
        N("Div", ["v", "root"], ["b"]),
        N("Conv", ["x", "ws", "b"], ["y"]),
    ]
    constants = {"w": (3, 3, 4, 6), "s": np.float32(0.5), "v": (6,)}
    assert types(agree(nodes, {"x": (2, 4, 7, 9)}, constants, low=0.1)) == ["Convolution"]


def test_constants_of_every_kind(agree):
    nodes = [
        N("ConstantOfShape", ["s"], ["zeros"]),
        N("ConstantOfShape", ["s"], ["twos"], value=numpy_helper.from_array(np.float32([2]))),
        N("Constant", [], ["f"], value_float=1.5),
        N("Constant", [], ["fs"], value_floats=[1.0, 2.0, 3.0]),
        N("Expand", ["f", "s"], ["wide"]),
        N("Where", ["mask", "twos", "wide"], ["chosen"]),
        N("Sum", ["zeros", "fs", "chosen"], ["c"]),
        N("Add", ["x", "c"], ["y"]),
    ]
    constants = {"s": np.array([3]), "mask": np.array([True, False, True])}
    assert len(agree(nodes, {"x": (2, 3)}, constants)) == 1


BOMBS = {
    "filled": ([N("ConstantOfShape", ["s"], ["c"]), N("Add", ["x", "c"], ["y"])], {"s": np.array([1 << 40])}),
    "doubled": (
        [
            *(N("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(60)),
            N("Add", ["x", "c60"], ["y"]),
        ],
        {"c0": (8,)},
    ),
    "repeated": (
        [N("Expand", ["c", "s"], ["e"]), N("Mul", ["x", "e"], ["y"])],
        {"c": (1,), "s": np.array([1 << 20, 1 << 20])},
    ),
    "tiled": (
        [N("Tile", ["c", "s"], ["e"]), N("Mul", ["x", "e"], ["y"])],
        {"c": (1,), "s": np.array([1 << 40])},
    ),
    "counted": (
        [N("Range", ["a", "b", "d"], ["e"]), N("Mul", ["x", "e"], ["y"])],
        {"a": np.float32(0), "b": np.float32(1e12), "d": np.float32(1)},
    ),
    "spread": (
        [N("Add", ["a", "b"], ["c"]), N("Mul", ["x", "c"], ["y"])],
        {"a": (1 << 16, 1), "b": (1, 1 << 16)},
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(case, convert):
    """A small file that asks for much memory is refused before it is taken."""
    nodes, constants = BOMBS[case]
    with pytest.raises(ConversionError, match=r"would need more than \d+ MB"):
        convert(nodes, {"x": (1,)}, constants)


def test_an_absurd_activation(convert):
    node = N("Pad", ["x", "p"], ["y"])
    with pytest.raises(ConversionError, match="absurdly large"):
        convert(node, {"x": (1, 1, 1, 1)}, {"p": np.array([0, 0, 1 << 30, 0, 0, 0, 0, 1 << 30])})
