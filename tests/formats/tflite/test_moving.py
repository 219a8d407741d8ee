"""Operators that move numbers, against TensorFlow Lite's runtime: reshape, transpose, cut, join, pad."""

from __future__ import annotations

import numpy as np
import pytest

IMAGE = {"x": (1, 6, 8, 4)}


@pytest.mark.parametrize(
    "shape",
    [(1, 48, 4), (1, 192), (1, 6, 8, 2, 2), (6, 8, 4), (-1, 4), (192,), (1, 6, 1, 8, 4), (1, 6, 8, 4)],
)
def test_reshape(agree, ops, shape):
    options = {"options": "ReshapeOptions", "newShape": list(shape)}
    net = agree(ops.Op("RESHAPE", "x s", **options), IMAGE, {"s": np.int32(shape)})
    assert isinstance(net.inputs["x"].shape[0], int) and (str(net.inputs["x"].shape[0]) == "N") == (
        shape[0] == 1
    )
    agree(ops.Op("RESHAPE", "x", **options), IMAGE)  # in old files the shape is an option


def test_a_head_of_a_detector_takes_larger_images(agree, ops):
    """(1,H,W,C) -> (1,H*W*2,C/2): more places, the same numbers of each."""
    net = agree(ops.Op("RESHAPE", "x s"), IMAGE, {"s": np.int32([1, 96, 2])})
    assert [str(s) for s in net.inputs["x"].shape] == ["N", "H", "W", "4"]
    assert net.forward(x=ops.weights(2, 7, 9, 4))["y"].shape == (2, 126, 2)


@pytest.mark.parametrize("axes", [[], [1], [0, 1], [-1]])
def test_squeeze(agree, ops, axes):
    agree(ops.Op("SQUEEZE", "x", options="SqueezeOptions", squeezeDims=axes), {"x": (1, 1, 5, 1)})


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_expand_dims(agree, ops, axis):
    agree(ops.Op("EXPAND_DIMS", "x a"), {"x": (1, 4, 5)}, {"a": np.int32(axis)})


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (0, 1, 2, 3), (3, 0, 2, 1)])
def test_transpose(agree, ops, order):
    net = agree(ops.Op("TRANSPOSE", "x o", options="TransposeOptions"), IMAGE, {"o": np.int32(order)})
    assert (str(net.inputs["x"].shape[0]) == "N") == (order[0] == 0)


@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_concatenation(agree, ops, axis):
    node = ops.Op(
        "CONCATENATION", "x z c", options="ConcatenationOptions", axis=axis, fusedActivationFunction=0
    )
    agree(node, {"x": (1, 3, 4, 2), "z": (1, 3, 4, 2)}, {"c": ops.weights(1, 3, 4, 2)})


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_pack_and_unpack(agree, ops, axis):
    nodes = [
        ops.Op("PACK", "x z", "p", options="PackOptions", axis=axis, valuesCount=2),
        ops.Op("UNPACK", "p", "y v", options="UnpackOptions", axis=axis, num=2),
    ]
    agree(nodes, {"x": (1, 3, 4), "z": (1, 3, 4)}, outputs="p y v")


def test_split(agree, ops):
    agree(
        ops.Op("SPLIT", "a x", "y z", options="SplitOptions", numSplits=2),
        IMAGE,
        {"a": np.int32(-1)},
        outputs="y z",
    )
    agree(ops.Op("SPLIT", "a x", "y", options="SplitOptions", numSplits=1), IMAGE, {"a": np.int32(2)})
    for sizes in ([1, 5, 2], [1, -1, 2]):
        node = ops.Op("SPLIT_V", "x s a", "y z v", options="SplitVOptions", numSplits=3)
        agree(node, IMAGE, {"s": np.int32(sizes), "a": np.int32(2)}, outputs="y z v")


@pytest.mark.parametrize(
    ("begin", "size"),
    [([0, 1, 2, 0], [1, 3, 4, 4]), ([0, 0, 0, 1], [-1, -1, -1, 2]), ([0, 0, 3, 0], [1, 6, -1, 4])],
)
def test_slice(agree, ops, begin, size):
    agree(ops.Op("SLICE", "x b s"), IMAGE, {"b": np.int32(begin), "s": np.int32(size)})


MASKS = {
    "all": ([0, 1, 2, 0], [1, 5, 8, 4], [1, 2, 3, 1], {}),
    "from the end": ([0, -4, 1, -1], [1, -1, -2, 4], [1, 1, 2, 1], {}),
    "backwards": ([0, 5, 7, 3], [1, 0, 1, 1], [1, -1, -2, -1], {}),
    "to the very front": ([0, 5, 7, 3], [1, 0, 0, 0], [1, -1, -2, -1], {"endMask": 0b1110}),
    "masks": ([3, 3, 3, 3], [4, 5, 6, 4], [1, 1, 1, 1], {"beginMask": 0b0111, "endMask": 0b0001}),
    "one element": ([0, 2, 3, 0], [1, 3, 4, 4], [1, 1, 1, 1], {"shrinkAxisMask": 0b0110}),
    "the last element": ([0, -1], [1, 0], [1, 1], {"shrinkAxisMask": 0b10}),
    "the rest": ([0, 1], [1, 3], [1, 1], {}),
    "ellipsis": ([0, 0, 1], [0, 0, 3], [1, 1, 1], {"ellipsisMask": 0b010, "beginMask": 1, "endMask": 1}),
    "a new axis": ([0, 0, 1], [0, 0, 3], [1, 1, 1], {"newAxisMask": 0b010, "beginMask": 1, "endMask": 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", MASKS)
def test_strided_slice(agree, ops, case):
    begin, end, strides, masks = MASKS[case]
    node = ops.Op("STRIDED_SLICE", "x b e s", options="StridedSliceOptions", **masks)
    agree(node, IMAGE, {"b": np.int32(begin), "e": np.int32(end), "s": np.int32(strides)}, larger=False)


@pytest.mark.parametrize(
    "pads",
    [
        [(0, 0), (1, 2), (3, 0), (0, 0)],
        [(0, 0), (0, 0), (0, 0), (0, 5)],
        [(1, 0), (0, 1), (1, 0), (2, 3)],
        [(0, 0)] * 4,
    ],
)
def test_pad(agree, ops, pads):
    agree(ops.Op("PAD", "x p"), IMAGE, {"p": np.int32(pads)})
    agree(ops.Op("PADV2", "x p v"), IMAGE, {"p": np.int32(pads), "v": np.float32(-1.5)})


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("pads", [[(0, 0), (1, 2), (3, 0), (0, 0)], [(0, 0), (2, 2), (2, 2), (1, 1)]])
def test_mirror_pad(agree, ops, mode, pads):
    agree(ops.Op("MIRROR_PAD", "x p", options="MirrorPadOptions", mode=mode), IMAGE, {"p": np.int32(pads)})


def test_gather(agree, ops):
    for indices in ([3, 0, 1, 1], [[0, 1], [2, 3]], 2):
        node = ops.Op("GATHER", "x i", options="GatherOptions", axis=3)
        agree(node, IMAGE, {"i": np.int32(indices)})
    agree(ops.Op("GATHER_ND", "x i"), {"x": (3, 4, 5)}, {"i": np.int32([[0, 1], [2, 3]])})


def test_tile_and_reverse_and_broadcast(agree, ops):
    agree(ops.Op("TILE", "x r"), IMAGE, {"r": np.int32([1, 2, 1, 3])})
    agree(ops.Op("REVERSE_V2", "x a"), IMAGE, {"a": np.int32([2])})
    agree(ops.Op("BROADCAST_TO", "x s", version=2), {"x": (1, 3, 1)}, {"s": np.int32([2, 3, 4])})


def test_sizes_are_constants(agree, ops, types):
    """SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE, as converters write 'flatten': folded, and free in the batch."""
    nodes = [
        ops.Op("SHAPE", "x", "sizes", options="ShapeOptions", outType=2),
        ops.Op(
            "STRIDED_SLICE", "sizes zero one one", "batch", options="StridedSliceOptions", shrinkAxisMask=1
        ),
        ops.Op("PACK", "batch all", "target", options="PackOptions", axis=0, valuesCount=2),
        ops.Op("RESHAPE", "x target", "y"),
    ]
    constants = {"zero": np.int32([0]), "one": np.int32([1]), "all": np.int32(192)}
    integers = dict.fromkeys(("sizes", "batch", "target"), "int32")
    net = agree(nodes, IMAGE, constants, types=integers)
    assert types(net) == ["Flatten"]
    assert [str(s) for s in net.inputs["x"].shape] == ["N", "6", "8", "4"]


def test_arithmetic_on_sizes(agree, ops, types):
    nodes = [
        ops.Op("SHAPE", "x", "sizes", options="ShapeOptions", outType=2),
        ops.Op("GATHER", "sizes where", "plane", options="GatherOptions", axis=0),
        ops.Op("REDUCE_PROD", "plane axis", "area", options="ReducerOptions", keepDims=True),
        ops.Op("CONCATENATION", "batch area channels", "target", options="ConcatenationOptions", axis=0),
        ops.Op("RESHAPE", "x target", "y"),
    ]
    constants = {
        "where": np.int32([1, 2]), "axis": np.int32([0]), "batch": np.int32([1]), "channels": np.int32([4]),
    }  # fmt: skip
    integers = dict.fromkeys(("sizes", "plane", "area", "target"), "int32")
    assert types(agree(nodes, IMAGE, constants, types=integers)) == ["Flatten"]
