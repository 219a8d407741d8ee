"""Factors of channels: the noise that they are chosen by is the noise that rounding makes."""

import numpy as np
import pytest
from fbnet.engine.layer import layers as L
from fbnet.engine.net import Net
from fbnet.engine.quantize.convert import nodes_of, prepared, quantizations
from fbnet.engine.quantize.equalise import equalised
from fbnet.engine.quantize.factors import LARGEST, LARGEST_LIMITED, Reader, least_noise
from fbnet.engine.quantize.observation import observe
from fbnet.engine.quantize.ranges import rounded
from fbnet.engine.quantize.rules import Weighing, rule_of

rng = np.random.default_rng(11)


def w(*shape):
    return rng.standard_normal(shape).astype(np.float32)


LAYERS = {
    "full": (L["Convolution"]("x", w(9, 6, 1, 1), name="l", outputs=["y"]), (6, 5, 5)),
    "grouped": (L["Convolution"]("x", w(8, 3, 1, 1), name="l", outputs=["y"], group=2), (6, 5, 5)),
    "depthwise": (L["Convolution"]("x", w(6, 1, 3, 3), name="l", outputs=["y"], group=6), (6, 7, 7)),
    "transposed": (L["Deconvolution"]("x", w(6, 4, 1, 1), name="l", outputs=["y"]), (6, 5, 5)),
    "inner": (L["InnerProduct"]("x", w(9, 6 * 4), name="l", outputs=["y"]), (6, 2, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_noise_is_what_rounding_makes(kind):
    """Measured on independent channels of different width: numbers and weights rounded as int8 rounds them."""
    layer, shape = LAYERS[kind]
    rule = rule_of(layer)
    assert isinstance(rule, Weighing)
    width = np.geomspace(0.05, 1, shape[0])
    x = (rng.standard_normal((400, *shape)) * width.reshape(-1, 1, 1)).astype(np.float32)
    factors, weights = np.geomspace(6, 1, shape[0]), layer.inputs[1]
    scaled = (x * factors.reshape(-1, 1, 1)).astype(np.float32)
    step = float(scaled.max() - scaled.min()) / 255
    given = rule.by_input(layer, weights, 1 / factors)
    rows = rule.rows(layer, given)
    steps = np.abs(rows).max(1, keepdims=True) / 127
    coarse = rule.shaped(layer, np.rint(rows / steps) * steps, given.shape)
    exact, got = (layer.reference(a, b) for a, b in ((x, weights), (np.rint(scaled / step) * step, coarse)))
    axes = tuple(i for i in range(exact.ndim) if i != 1)
    measured = np.square(got - exact).mean(axes) / exact.var(axes)
    found = Reader.of(rule, layer, weights, shape[0]).noise(factors, step, x.astype("d").var((0, 2, 3)))
    assert found == pytest.approx(measured.mean(), rel=0.25)


def _between(*behind) -> Net:
    """A hard swish between two convolutions: channels go 1 to 40 above 0, and 0.4 below it all alike."""
    scale, shift = np.ones(8, np.float32), np.full(8, -0.05, np.float32)
    width = np.geomspace(0.5, 20, 8, dtype=np.float32).reshape(-1, 1, 1, 1)
    layers_ = [
        L["Convolution"]("x", w(8, 3, 1, 1) * width, w(8), name="a"),
        L["HardSwish"]("a", name="b"),
        L["Scale"]("b", scale, shift, name="c"),
        *behind,
        L["Convolution"]("g" if behind else "c", w(8, 1, 3, 3), name="z", group=8),
    ]
    return Net(layers_, inputs={"x": ("N", 3, 12, 12)})


GATE = [
    L["Pooling"]("c", name="p", method="average", global_pooling=True),
    L["Convolution"]("p", 0.01 * w(8, 8, 1, 1), name="s", activation="Sigmoid"),
    L["Flatten"]("s", name="f"),
    L["Scale"]("c", "f", name="g", axis=0),
]


@pytest.mark.parametrize(("behind", "left"), [([], 0.05), (GATE, 0.15)], ids=["straight", "gated"])
def test_small_channels_get_steps_of_their_own(behind, left):
    """The net says the same; what z reads is finer by far, though all channels reach equally far below 0.

    Less so where the gate's convolution sums over the same channels: factors are the roots there.
    """
    net = prepared(_between(*behind))
    samples = [{"x": w(4, 3, 12, 12)} for _ in range(3)]
    nodes, specs = nodes_of(net), net.specs()
    names = [o for node in nodes for o in node.outputs]
    seen = observe(net, ["x", *names], samples)
    lean, found = equalised(net, nodes, specs, {}, seen)
    (x,) = samples[0].values()
    wanted, got = (n.forward(x=x)["z"] for n in (net, lean))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    read = net["z"].inputs[0]
    assert read in found

    def errors(n: Net) -> np.ndarray:
        seen = observe(n, ["x", *names], samples)
        q = quantizations(n, nodes_of(n), {}, seen, "minmax")[read]
        y = n.forward(x=x, upto=read)[read]
        return np.square(rounded(y, q) - y).mean((0, 2, 3)) / y.var((0, 2, 3))

    before, after = errors(net), errors(lean)
    assert after.mean() < left * before.mean() and after.max() < 2 * left * before.max()


def test_where_channels_have_no_factor_the_others_come_down_to_them():
    """Half of a concatenation comes out of a table: the other half, thirty times as large, gets factors below 1."""
    layers_ = [
        L["Convolution"]("x", w(4, 3, 1, 1) * 30, name="a", activation="ReLU"),
        L["Convolution"]("x", w(4, 3, 1, 1), name="b", activation="Sigmoid"),
        L["Concat"]("a", "b", name="c"),
        L["Convolution"]("c", w(8, 8, 1, 1), name="z"),
    ]
    net = prepared(Net(layers_, inputs={"x": ("N", 3, 12, 12)}))
    samples = [{"x": w(4, 3, 12, 12)}]
    nodes = nodes_of(net)
    names = [o for node in nodes for o in node.outputs]
    lean, found = equalised(net, nodes, net.specs(), {}, observe(net, ["x", *names], samples))
    first, second = (n.forward(**samples[0], upto="c")["c"] for n in (net, lean))
    assert "c" in found
    np.testing.assert_array_equal(first[:, 4:], second[:, 4:])
    assert second[:, :4].max() < 0.6 * first[:, :4].max()
    a, b = (n.forward(**samples[0])["z"] for n in (net, lean))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_class_may_be_held_and_a_limit_asks_for_factors_above_one():
    net = Net([L["ReLU"]("x", name="y")], inputs={"x": ("N", 3, 4, 4)})
    x = (rng.random((9, 3, 4, 4)) * np.reshape([1, 40, 0.1], (1, 3, 1, 1))).astype(np.float32)
    seen = observe(net, ["x"], [{"x": x}])
    given = [["x"]], seen, {"x": np.arange(3)}
    factors = least_noise(*given, np.zeros(3, bool), {"x": [None]})
    assert factors[0] == 1 and factors[1] < 1 < factors[2] <= LARGEST
    factors = least_noise(*given, np.ones(3, bool), {"x": [None]})
    assert factors[0] == 1 and factors[1] == 1 < factors[2] <= LARGEST_LIMITED < LARGEST


def test_layers_that_share_weights_have_no_factors_of_their_own():
    shared, b = w(4, 3, 1, 1), w(4)
    layers_ = [
        L["Convolution"]("x", "shared", "b", name="a", activation="Clip", activation_args=(0.0, 6.0)),
        L["Convolution"](
            "x", "shared", "b", name="c", activation="Clip", activation_args=(0.0, 6.0), stride=(2, 2)
        ),
        L["Convolution"]("a", w(2, 4, 1, 1), name="y"),
        L["Convolution"]("c", w(2, 4, 1, 1), name="z"),
    ]
    net = Net(layers_, inputs={"x": ("N", 3, 12, 12)}, constants={"shared": shared, "b": b})
    q = net.quantize([w(1, 3, 12, 12) for _ in range(8)], adaptive=False)
    assert [layer.type for layer in q] == ["Quantize", *["QuantizedConvolution"] * 4]
    x = w(1, 3, 12, 12)
    for name in "yz":
        wanted, got = (n.forward(x=x)[name] for n in (net, q))
        assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()
