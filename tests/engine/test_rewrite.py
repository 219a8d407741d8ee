"""rewrite: which chains a rule sees, and what becomes of names, outputs and constants."""

import numpy as np
import pytest
from fbnet import Net, RegistryError, rewrite
from fbnet.engine.rewrite import apply, rewrites
from fbnet.layers.activation import AbsVal, Clip, Dropout, Exp, Power, ReLU, Sigmoid, TanH
from fbnet.layers.concat import Slice
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.norm import Bias

X = np.float32([[-2, -0.5, 0, 3]])


@pytest.fixture(autouse=True)
def only_mine(monkeypatch):
    """No rules but those of the test."""
    monkeypatch.setattr(rewrites, "_entries", {})
    monkeypatch.setattr(rewrites, "_owners", {})


def net(*steps, outputs=None):
    return Net(steps, {"x": (1, 4)}, outputs=outputs)


def same(before, after):
    assert after.outputs == before.outputs and dict(after.inputs) == dict(before.inputs)
    wanted, got = before.forward(x=X), after.forward(x=X)
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-6)


def kinds(net):
    return [layer.type for layer in net]


@pytest.fixture
def powers():
    """Power after Power with power 1 is one Power."""

    @rewrite(Power, "Power")
    def join(first, second, constants):
        if first.power != 1 or second.power != 1:
            return None
        return first.replace(
            scale=first.scale * second.scale, shift=first.shift * second.scale + second.shift
        )

    return join


def test_a_chain_is_replaced_as_often_as_it_can_be(powers):
    before = net(
        *[Power("x" if i == 0 else f"p{i - 1}", scale=2.0, shift=1.0, name=f"p{i}") for i in range(6)]
    )
    after = apply(before)
    assert [str(layer) for layer in after] == ["p0 (Power)"] and after["p0"].outputs == ("p5",)
    same(before, after)


def test_a_rule_may_decline(powers):
    before = net(Power("x", power=2.0, name="a"), Power("a", scale=2.0, name="b"))
    assert apply(before).layers == before.layers


@pytest.mark.parametrize(
    "steps",
    [
        [Power("x", name="a"), Power("a", name="b"), ReLU("a", name="c")],  # a has two readers
        [Power("x", name="a"), Eltwise("a", "a", name="b")],  # one reader, twice
        [Power("x", name="a"), ReLU("a", name="b"), Power("b", name="c")],  # not next to each other
        [Slice("x", name="a", outputs=["a0", "a1"]), Power("a0", name="b")],
    ],
)
def test_chains_that_are_none(powers, steps):
    before = net(*steps)
    assert apply(before).layers == before.layers


def test_an_output_in_the_middle_stays(powers):
    before = net(Power("x", scale=2.0, name="a"), Power("a", scale=3.0, name="b"), outputs=["a", "b"])
    assert kinds(apply(before)) == ["Power", "Power"]
    same(before, apply(before))


def test_only_the_first_input_is_the_chain(powers):
    @rewrite("Power", "Eltwise")
    def wrong(power, eltwise, constants):
        raise AssertionError("its first input is x")

    before = net(Power("x", scale=2.0, name="a"), Eltwise("x", "a", name="b"))
    assert kinds(apply(before)) == ["Power", "Eltwise"]


def test_a_longer_chain():
    seen = []

    @rewrite("ReLU", "Power", "TanH")
    def three(relu, power, tanh, constants):
        seen.append((relu.name, power.name, tanh.name))
        return [AbsVal(*relu.inputs, name="m", outputs=["mid"]), Sigmoid("mid", name="n")]

    after = apply(net(ReLU("x", name="a"), Power("a", name="b"), TanH("b", name="c"), Exp("c", name="d")))
    assert seen == [("a", "b", "c")]
    assert [(n.name, n.inputs, n.outputs) for n in after] == [
        ("m", ("x",), ("mid",)), ("n", ("mid",), ("c",)), ("d", ("c",), ("d",)),
    ]  # fmt: skip


def test_arrays_become_constants_under_new_names():
    @rewrite("Bias", "Bias")
    def add_up(first, second, constants):
        total = constants[first.inputs[1]].data + constants[second.inputs[1]].data
        return first.replace(inputs=(first.inputs[0], total))

    one = np.ones(4, np.float32)
    before = net(Bias("x", one, name="a"), Bias("a", one, name="b"), Bias("b", 2 * one, name="c"))
    after = apply(before)
    assert kinds(after) == ["Bias"] and list(after.constants) == ["a.b''"]
    np.testing.assert_array_equal(after.constants["a.b''"].data, 4 * one)
    same(before, after)
    assert list(before.constants) == ["a.b", "b.b", "c.b"]


@pytest.fixture
def drop():
    @rewrite("Dropout")
    def nothing(dropout, constants):
        return []


@pytest.mark.parametrize(
    ("steps", "outputs", "left"),
    [
        ([Dropout("x", name="d"), ReLU("d", name="r")], None, ["ReLU"]),
        ([ReLU("x", name="r"), Dropout("r", name="d")], None, ["ReLU"]),
        ([ReLU("x", name="r"), Dropout("r", name="d"), Dropout("d", name="e"), TanH("e")], None, ["ReLU", "TanH"]),
        ([ReLU("x", name="r"), Dropout("r", name="d"), TanH("r", name="t")], None, ["ReLU", "TanH"]),
        # what makes an input an output, or one output two, has to stay
        ([Dropout("x", name="d")], None, ["Dropout"]),
        ([ReLU("x", name="r"), Dropout("r", name="d")], ["r", "d"], ["ReLU", "Dropout"]),
        ([ReLU("x", name="r"), Dropout("r", name="d"), Dropout("r", name="e")], None, ["ReLU", "Dropout"]),
        ([Slice("x", name="s", outputs=["a", "b"]), Dropout("b", name="d")], None, ["Slice"]),
    ],
)  # fmt: skip
def test_a_layer_that_is_nothing_goes(drop, steps, outputs, left):
    before = net(*steps, outputs=outputs)
    after = apply(before)
    assert kinds(after) == left
    same(before, after)


def test_what_comes_together_from_afar_is_seen(drop, powers):
    """Between the two Powers lies a Dropout, and in the list of layers a lot more."""
    between = [ReLU("x", name=f"r{i}") for i in range(5)]
    before = net(
        Power("x", scale=2.0, name="a"), *between, Dropout("a", name="d"), Power("d", scale=3.0, name="b")
    )
    after = apply(before)
    assert kinds(after) == ["ReLU"] * 5 + ["Power"]
    same(before, after)


def test_branches_that_take_turns(powers):
    before = net(
        Power("x", scale=2.0, name="a"), Power("x", scale=3.0, name="b"), Power("a", shift=1.0, name="a1"),
        Power("b", shift=2.0, name="b1"), Eltwise("a1", "b1", name="sum"),
    )  # fmt: skip
    after = apply(before)
    assert kinds(after) == ["Power", "Power", "Eltwise"]
    same(before, after)


def test_rules_are_registered_by_name_and_types(powers):
    assert list(rewrites) == ["join: Power Power"]
    with pytest.raises(RegistryError, match="rewrite 'join: Power Power' is already registered by"):
        rewrite("Power", Power)(powers)
    rewrite("Power", Clip)(powers)
    assert len(rewrites) == 2
