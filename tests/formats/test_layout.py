"""Permute layers pushed through a net: the same numbers, fewer of them, and the outputs' names and layouts stay."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.formats.layout import without_permutes

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # NCHW -> NHWC, and back


def L(kind, *inputs, out, **attributes):
    return layers[kind](*inputs, name=f"{out}_layer", outputs=[out], **attributes)


def check(net, permutes=None, **shapes):
    """The tidied net, after it gave what `net` gives."""
    tidied = without_permutes(net)
    random = np.random.default_rng(1)
    feeds = {
        name: random.normal(size=spec.concrete.shape).astype(np.float32) for name, spec in net.inputs.items()
    }
    wanted, got = net.forward(**feeds), tidied.forward(**feeds)
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-6, atol=1e-6)
    if permutes is not None:
        assert sum(layer.type == "Permute" for layer in tidied) == permutes
    return tidied


def weights(*shape):
    return np.random.default_rng(list(shape)).normal(size=shape).astype(np.float32)


def between(*moved):
    """conv, Permute to NHWC, these layers from 'a' to 'b', Permute to NCHW, conv."""
    return fbnet.Net(
        [
            L("Convolution", "x", weights(4, 3, 3, 3), out="c1"),
            L("Permute", "c1", out="a", order=LAST),
            *moved,
            L("Permute", "b", out="p", order=FIRST),
            L("Convolution", "p", weights(2, 4, 1, 1), out="y"),
        ],
        inputs={"x": ("N", 3, 8, 9)},
    )


def test_nothing_to_do():
    net = fbnet.Net([L("ReLU", "x", out="y")], inputs={"x": (1, 3)})
    assert without_permutes(net) is net


MOVED = {
    "elementwise": [L("ReLU", "a", out="b", negative_slope=0.1)],
    "bias": [L("Bias", "a", weights(4), out="b", axis=3)],
    "scale": [L("Scale", "a", weights(4), weights(4), out="b", axis=-1)],
    "bias along H": [L("Bias", "a", weights(6), out="b", axis=1)],
    "block of H, W": [L("Bias", "a", weights(6, 7), out="b", axis=1)],
    "softmax": [L("Softmax", "a", out="b", axis=3)],
    "join": [
        L("Concat", "a", "a", out="j", axis=3),
        layers["Slice"]("j", outputs=["b", "z"], axis=3, points=[4]),
    ],
    "sum": [L("ReLU", "a", out="r"), L("Eltwise", "a", "r", out="b", coeff=(1.0, -2.0))],
    "pad of H and W": [L("Pad", "a", out="b", pads=(1, 2, 0, 3, 0, 0), value=0.5)],
    "pad of channels": [
        L("Pad", "a", out="q", pads=(0, 2)),
        L("StridedSlice", "q", out="b", starts=[2], ends=[6], axes=[3]),
    ],
    "pad of all": [
        L("Pad", "a", out="q", pads=(1, 0, 1, 1, 0, 2, 1, 0)),
        L("StridedSlice", "q", out="b", starts=[0, 0, 2, -1], ends=[9, 4, 9, 0], steps=[1, 1, 1, -1]),
    ],
    "slice of each axis": [
        L("StridedSlice", "a", out="b", starts=[0, 1, 1], ends=[9, 5, 7], steps=[1, 2, 3])
    ],
    "gather": [L("Gather", "a", np.array([3, 0, 1, 1]), out="b", axis=-1)],
    "reduction": [
        L("Reduction", "a", out="m", axes=(3,), keep_dims=True),
        L("Binary", "a", "m", out="b", operation="sub"),
    ],
    "all that is broadcast": [
        L("Compare", "a", weights(1, 1, 7, 4), out="less", operation="less"),
        L("Where", "less", "a", weights(1, 1, 1, 1), out="b"),
    ],
    "cumulative sum": [L("CumSum", "a", out="b", axis=3)],
    "product with a constant": [L("Eltwise", "a", weights(1, 6, 7, 4), out="b", operation="prod")],
}


@pytest.mark.parametrize("case", MOVED)
def test_inverse_pairs_cancel(case):
    check(between(*MOVED[case]), 0 if case != "join" else 1)  # the join's other half is an output, in NHWC


def test_axes_that_go():
    """What is left of an image in NHWC is read as it is stored, or in the order that is left."""
    for axes, permutes in (((1, 2), 0), ((3,), 0), ((1,), 1)):
        net = fbnet.Net(
            [
                L("Permute", "x", out="t", order=LAST),
                L("Reduction", "t", out="y", axes=axes, operation="sum"),
            ],
            inputs={"x": (2, 3, 4, 5)},
        )
        check(net, permutes)
    net = fbnet.Net(
        [L("Permute", "x", out="t", order=LAST), L("ArgMax", "t", out="y", axis=3, keep_dims=False)],
        inputs={"x": (2, 3, 4, 5)},
    )
    check(net, 0)


def test_a_layer_that_needs_its_layout_gets_it():
    check(between(L("Bias", "a", weights(7, 4), out="b", axis=2)), 2)
    check(between(L("PReLU", "a", weights(6), out="b")), 2)


def test_weights_take_over_a_permute_before_flatten():
    net = fbnet.Net(
        [
            L("Permute", "x", out="t", order=LAST),
            L("Flatten", "t", out="f"),
            L("InnerProduct", "f", weights(5, 60), weights(5), out="y"),
            L("InnerProduct", "f", weights(2, 60), out="z"),
        ],
        inputs={"x": ("N", 3, 4, 5)},
    )
    check(net, 0)
    check(net.replace(outputs=["f", "y"]), 1)  # what is seen from outside has to be made


def test_axes_of_one_are_no_work():
    net = fbnet.Net(
        [
            L("Pooling", "x", out="m", global_pooling=True, method="average"),
            L("Permute", "m", out="t", order=LAST),
            L("Flatten", "t", out="y"),
        ],
        inputs={"x": ("N", 3, 4, 5)},
    )
    assert [layer.type for layer in check(net, 0)] == ["Pooling", "Reshape", "Flatten"]


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 3, 2)])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_one_axis_of_one_is_no_work_where_it_is_all_that_moves(axis, order):
    """Images of one channel need no transposition, and stay free in H and W."""
    shape = ["N", 3, 4, 5]
    shape[axis] = 1
    net = fbnet.Net(
        [L("ReLU", "x", out="r"), L("Permute", "r", out="y", order=order)],
        inputs={"x": shape},
    )
    rest = [a for a in order if a != axis]
    check(net, 0 if rest == sorted(rest) else 1)
    if axis == 1 and order == (0, 2, 3, 1):
        free = net.replace(inputs={"x": ("N", 1, "H", "W")})
        assert [str(s) for s in check(free, 0).specs()["y"].shape] == ["N", "H", "W", "1"]


def test_outputs_stay():
    """An output keeps its name and its layout, whatever happens before it."""
    net = fbnet.Net(
        [
            L("Permute", "x", out="t", order=LAST),
            L("ReLU", "t", out="r"),
            L("Permute", "r", out="y", order=FIRST),
            L("Permute", "t", out="same", order=FIRST),
        ],
        inputs={"x": (2, 3, 4, 5)},
    )
    check(net.replace(outputs=["y"]), 0)
    check(net.replace(outputs=["y", "r"]), 1)
    check(net.replace(outputs=["same", "t", "r", "y"]), 2)
    check(net.replace(outputs=["same"]), 0)


def test_never_more_than_before():
    """One Permute that feeds two layers which need it is not made twice."""
    net = fbnet.Net(
        [
            L("Permute", "x", out="t", order=FIRST),
            L("ReLU", "t", out="a"),
            L("Sigmoid", "t", out="b"),
            L("TanH", "t", out="c"),
            *[L("Convolution", n, weights(2, 3, 1, 1), out=f"y{n}") for n in "abc"],
        ],
        inputs={"x": (2, 4, 5, 3)},
    )
    check(net, 1)


def random_net(seed):
    """Twelve layers of the kinds that move, over images that are turned this way and that."""
    random = np.random.default_rng(seed)
    made, shapes = [], {"x": (2, 3, 4, 5)}
    for i in range(12):
        names = list(shapes)
        name = names[random.integers(len(names))]
        shape, out = shapes[name], f"t{i}"
        axis = int(random.integers(4))
        match random.integers(9):
            case 0 | 1 | 2:
                order = tuple(map(int, random.permutation(4)))
                made.append(L("Permute", name, out=out, order=order))
                shape = tuple(shape[a] for a in order)
            case 3:
                made.append(L("TanH", name, out=out))
            case 4:
                block = shape[axis : axis + int(random.integers(1, 3))]
                made.append(L("Scale", name, weights(*block), out=out, axis=axis))
            case 5:
                same = [n for n in names if shapes[n] == shape]
                made.append(L("Eltwise", name, same[random.integers(len(same))], out=out))
            case 6:
                same = [n for n in names if all(shapes[n][a] == shape[a] for a in range(4) if a != axis)]
                other = same[random.integers(len(same))]
                made.append(L("Concat", name, other, out=out, axis=axis))
                shape = tuple(s + shapes[other][a] if a == axis else s for a, s in enumerate(shape))
            case 7:
                made.append(L("Softmax", name, out=out, axis=axis))
            case 8:
                made.append(L("Pad", name, out=out, pads=(1, 0, 2, 1)))
                shape = (*shape[:2], shape[2] + 3, shape[3] + 1)
        shapes[out] = shape
    some = [name for name in shapes if name != "x" and random.random() < 0.2]
    return fbnet.Net(made, inputs={"x": shapes["x"]}, outputs=some or None)


@pytest.mark.parametrize("seed", range(60))
def test_random_nets(seed):
    net = random_net(seed)
    tidied = check(net)
    count = [sum(layer.type == "Permute" for layer in n) for n in (net, tidied)]
    assert count[1] <= count[0]
