"""The rewrite rules between layers: fewer layers, the same numbers within 1e-5."""

import random
import warnings
from collections import Counter

import numpy as np
import pytest
from fbnet import HostFallback, Net, Tensor
from fbnet.engine.rewrite import apply
from fbnet.layers.activation import Clip, Dropout, ReLU
from fbnet.layers.conv import Convolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.norm import BatchNorm, Bias, Scale
from fbnet.layers.reshape import Permute
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(0)
C = 4


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def positive(*shape):
    return RNG.uniform(0.3, 2, shape).astype(np.float32)


def conv(x, name="conv", **attributes):
    return Convolution(x, array(C, C, 3, 3), array(C), name=name, pad=(1, 1, 1, 1), **attributes)


def net(*steps, outputs=None, **inputs):
    return Net(steps, {"x": (2, C, 5, 6), **inputs}, outputs=outputs)


def checked(before: Net) -> Net:
    """The rewritten net, which computes the same, in numpy and on the cpu."""
    after = apply(before)
    fed = {name: array(*spec.shape) for name, spec in before.inputs.items()}
    wanted = before.forward(**fed)
    got = before(**fed)
    for name, array_of in after.forward(**fed).items():
        for found in (array_of, got if len(wanted) == 1 else got[name]):
            scale = max(1.0, np.abs(wanted[name]).max())
            np.testing.assert_allclose(found / scale, wanted[name] / scale, rtol=0, atol=1e-5)
    assert after.outputs == before.outputs
    return after


def kinds(net: Net) -> list[str]:
    return [layer.type for layer in net]


@pytest.mark.parametrize(
    "steps",
    [
        [BatchNorm("conv", array(C), positive(C), name="y")],
        [BatchNorm("conv", array(C), positive(C), eps=0.5, name="y")],
        [Scale("conv", array(C), name="y")],
        [Scale("conv", array(C), array(C), name="y")],
        [Scale("conv", array(C), array(C), axis=-3, name="y")],
        [Bias("conv", array(C), name="y")],
        [Bias("conv", array(C), axis=-3, name="y")],
        [ReLU("conv", name="y")],
        [Clip("conv", min=0, max=6, name="y")],
        [Clip("conv", max=0.5, name="y")],
        [Dropout("conv", name="y")],
        [BatchNorm("conv", array(C), positive(C), name="a"), Scale("a", array(C), array(C), name="b"),
         Bias("b", array(C), name="c"), Dropout("c", name="d"), ReLU("d", name="y")],
    ],
    ids=lambda steps: " ".join(repr(s) for s in steps)[:60],
)  # fmt: skip
def test_what_becomes_a_part_of_a_convolution(steps):
    for first in (
        conv("x"),
        Convolution("x", array(C, 1, 3, 3), name="conv", group=C),
        conv("x", stride=(2, 1)),
    ):
        assert kinds(checked(net(first, *steps))) == ["Convolution"]


@pytest.mark.parametrize(
    "steps",
    [
        [ReLU("conv", negative_slope=0.1, name="y")],
        [Scale("conv", array(), name="y")],
        [Scale("conv", array(C, 5), name="y")],
        [Scale("conv", array(6), axis=3, name="y")],
        [Bias("conv", array(5, 6), axis=2, name="y")],
        [Scale("conv", "s", name="y")],
    ],
    ids=repr,
)
def test_what_does_not(steps):
    inputs = {name: (C,) for name in steps[0].inputs[1:] if isinstance(name, str)}
    assert kinds(checked(net(conv("x"), *steps, **inputs))) == ["Convolution", steps[0].type]


def test_what_comes_after_an_activation_stays_after_it():
    for act in (ReLU("conv", name="r"), Clip("conv", min=-1, max=1, name="r")):
        after = checked(net(conv("x"), act, Scale("r", array(C), name="y")))
        assert kinds(after) == ["Convolution", "Scale"] and after["conv"].activation == act.type
        twice = checked(net(conv("x"), act, Clip("r", min=-0.5, max=0.5, name="y")))
        assert kinds(twice) == ["Convolution", "Clip"]


def test_weights_that_are_no_constants_are_left():
    inputs = {"w": (C, C, 1, 1), "m": (C,)}
    before = net(Convolution("x", "w", name="c"), Scale("c", "m", name="s"), ReLU("s", name="y"), **inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)  # such a convolution has no kernel
        assert kinds(checked(before)) == ["Convolution", "Scale", "ReLU"]


def test_shared_weights_are_not_spoiled():
    w, b = Tensor("w", data=array(C, C, 1, 1)), Tensor("b", data=array(C))
    steps = [
        Convolution("x", w, b, name="c1"), BatchNorm("c1", array(C), positive(C), name="n1"), ReLU("n1", name="r1"),
        Convolution("r1", w, b, name="c2"), Scale("c2", b, name="n2"),
        Convolution("n2", w, b, name="c3"),
    ]  # fmt: skip
    before = net(*steps)
    kept = {name: tensor.data.copy() for name, tensor in before.constants.items()}
    after = checked(before)
    assert kinds(after) == ["Convolution"] * 3 and after["c3"].inputs[1:] == ("w", "b")
    for name, data in kept.items():
        np.testing.assert_array_equal(before.constants[name].data, data)


def test_inner_product_and_relu():
    after = checked(net(InnerProduct("x", array(7, C * 30), array(7), name="fc"), ReLU("fc", name="y")))
    assert kinds(after) == ["InnerProduct"] and after["fc"].activation == "ReLU"


def random_net(choose: random.Random) -> Net:
    """Convolutions and what may follow them, in branches that share inputs, with outputs anywhere."""
    steps, tensors = [], ["x"]
    shared = Tensor("shared", data=array(C, C, 3, 3))

    def add(made):
        steps.append(made.replace(name=f"t{len(steps)}"))
        tensors.append(steps[-1].name)

    for _ in range(choose.randint(2, 14)):
        x = choose.choice(tensors[-2:]) if choose.random() < 0.8 else choose.choice(tensors)
        kind = choose.choice(
            ["conv", "conv", "shared", "norm", "scale", "bias", "relu", "clip", "drop", "sum"]
        )
        if kind == "conv":
            add(Convolution(x, array(C, C, 1, 1) / C, choose.choice([None, array(C)])))
        elif kind == "shared":
            add(Convolution(x, shared, pad=(1, 1, 1, 1)))
        elif kind == "norm":
            add(BatchNorm(x, array(C), positive(C)))
        elif kind == "scale":
            add(Scale(x, array(C), choose.choice([None, array(C)])))
        elif kind == "bias":
            add(Bias(x, array(C)))
        elif kind == "relu":
            add(ReLU(x, negative_slope=choose.choice([0.0, 0.0, 0.25])))
        elif kind == "clip":
            add(Clip(x, min=-1.0, max=choose.choice([6.0, float("inf")])))
        elif kind == "drop":
            add(Dropout(x))
        else:
            add(Eltwise(x, choose.choice(tensors)))
    read = {i for s in steps for i in s.inputs if isinstance(i, str)}
    left = [t for t in tensors[1:] if t not in read]
    more = choose.sample(tensors[1:], k=choose.randint(0, 2))
    return Net(steps, {"x": (1, C, 5, 6)}, outputs=list(dict.fromkeys([*left, *more])))


@settings(derandomize=True)  # what rounding does to an unlucky sum of large numbers is not the question
@given(st.integers(0, 2**32 - 1))
def test_random_nets(seed):
    RNG.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    before = random_net(random.Random(seed))
    after = checked(before)
    assert len(after) <= len(before)
    readers = Counter(name for layer in after for name in layer.inputs)
    for layer in after:  # nothing is left that could have gone
        if layer.type == "Convolution" and not layer.activation and layer.outputs[0] not in after.outputs:
            following = [n for n in after if layer.outputs[0] in n.inputs]
            left = {"Clip"}
            if (
                len(layer.inputs) < 4 or not layer.inputs[3]
            ):  # what scales y would have to scale the residual too
                left |= {"BatchNorm", "Scale", "Bias"}
            assert readers[layer.outputs[0]] != 1 or following[0].type not in left


def test_transposes_that_follow_each_other():
    """Joined to one; to none if the second undoes the first, unless that is all there is between input and output."""
    there, back, turn = (0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1)
    steps = [Permute("x", order=there, name="a"), Permute("a", order=back, name="b"), ReLU("b", name="y")]
    assert [layer.type for layer in checked(net(*steps))] == ["ReLU"]
    steps = [Permute("x", order=there, name="a"), Permute("a", order=turn, name="y")]
    (joined,) = checked(net(*steps))
    assert joined.order == (0, 1, 3, 2)
    seen = net(Permute("x", order=there, name="a"), Permute("a", order=back, name="y"), outputs=["a", "y"])
    assert len(checked(seen)) == 2  # the one between is an output
