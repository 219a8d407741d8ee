"""Patterns recovered: the layers that were meant, the same numbers, and nothing that somebody else still reads."""

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.formats.patterns import recovered

L = {name: layers[name] for name in layers}


def random(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def power(x, name, **attributes):
    return L["Power"](x, name=name, **attributes)


def times(a, b, name):
    return L["Eltwise"](a, b, name=name, operation="prod")


def clip(x, name):
    return L["Clip"](x, name=name, min=0, max=6)


def erf(x, name):
    return L["Unary"](x, name=name, operation="erf")


HALF = float(np.sqrt(0.5))
CHAINS = {
    "hard swish": (
        [power("x", "p", shift=3), clip("p", "c"), times("x", "c", "m"), power("m", "y", scale=1 / 6)],
        ["HardSwish"],
    ),
    "hard swish, divided first": (
        [power("x", "p", shift=3), clip("p", "c"), power("c", "d", scale=1 / 6), times("d", "x", "y")],
        None,
    ),
    "hard swish by hard sigmoid": (
        [L["HardSigmoid"]("x", name="h", alpha=0.2, beta=0.4), times("h", "x", "y")],
        ["HardSwish"],
    ),
    "swish": ([L["Sigmoid"]("x", name="s"), times("x", "s", "y")], ["Swish"]),
    "swish, scaled": (
        [power("x", "p", scale=1.5), L["Sigmoid"]("p", name="s"), times("s", "x", "y")],
        ["Swish"],
    ),
    "gelu, half at the end": (
        [power("x", "p", scale=HALF), erf("p", "e"), power("e", "q", shift=1), times("x", "q", "m"),
         power("m", "y", scale=0.5)],
        ["GELU"],
    ),
    "gelu, half of x": (
        [power("x", "h", scale=0.5), power("x", "p", scale=HALF), erf("p", "e"), power("e", "q", shift=1),
         times("h", "q", "y")],
        ["GELU"],
    ),
    "gelu, half of the curve": (
        [power("x", "p", scale=HALF), erf("p", "e"), power("e", "q", scale=0.5, shift=0.5), times("q", "x", "y")],
        ["GELU"],
    ),
    "gelu by tanh": (
        [power("x", "c", power=3), power("c", "d", scale=0.044715), L["Eltwise"]("x", "d", name="s"),
         power("s", "t", scale=float(np.sqrt(2 / np.pi))), L["TanH"]("t", name="h"), power("h", "q", shift=1),
         power("x", "g", scale=0.5), times("g", "q", "y")],
        ["GELU"],
    ),
    "one affine after another": (
        [power("x", "a", scale=2, shift=1), power("a", "b", scale=3, shift=-1), power("b", "y", power=2)],
        ["Power"],
    ),
    "not quite gelu": (
        [power("x", "p", scale=0.6), erf("p", "e"), power("e", "q", shift=1), times("x", "q", "y")],
        ["Power", "Unary", "Power", "Eltwise"],
    ),
    "sigmoid of another": (
        [power("x", "z", power=2), L["Sigmoid"]("z", name="s"), times("x", "s", "y")],
        ["Power", "Sigmoid", "Eltwise"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_functions(name):
    chain, kinds = CHAINS[name]
    net = fbnet.Net(chain, inputs={"x": ("N", 5, 7)}, outputs=["y"])
    found = recovered(net)
    assert found.outputs == ("y",) and (kinds is None or [layer.type for layer in found] == kinds)
    x = 3 * random(2, 5, 7)
    tolerance = 1e-3 if name == "gelu by tanh" else 1e-5
    np.testing.assert_allclose(found.forward(x=x)["y"], net.forward(x=x)["y"], rtol=tolerance, atol=tolerance)


def test_what_is_read_elsewhere_stays():
    chain = [L["Sigmoid"]("x", name="s"), times("x", "s", "y")]
    for net in (
        fbnet.Net(chain, inputs={"x": (2, 3)}, outputs=["y", "s"]),
        fbnet.Net([*chain, power("s", "z", scale=2)], inputs={"x": (2, 3)}, outputs=["y", "z"]),
    ):
        assert "Sigmoid" in [layer.type for layer in recovered(net)]


def test_norms_take_their_scale_and_bias():
    for norm, shape, axis in (("LayerNorm", (2, 5, 7), -1), ("GroupNorm", (2, 5, 7, 3), 1)):
        size = shape[axis]
        chain = [
            L[norm]("x", name="n"),
            L["Scale"]("n", random(size), name="s", axis=axis),
            L["Bias"]("s", random(size), name="y", axis=axis),
        ]
        net = fbnet.Net(chain, inputs={"x": shape})
        found = recovered(net)
        assert [layer.type for layer in found] == [norm]
        x = random(*shape)
        np.testing.assert_allclose(found.forward(x=x)["y"], net.forward(x=x)["y"], rtol=1e-5, atol=1e-5)
        along_batch = L["Scale"]("n", random(2), name="other", outputs=["s"], axis=0)
        other = net.replace(layers=[net["n"], along_batch, net["y"]])
        assert len(recovered(other)) == 3


def test_a_product_takes_its_bias_and_its_turned_factor():
    chain = [
        L["InnerProduct"]("x", random(6, 7), name="p", axis=2),
        L["Bias"]("p", random(6), name="b", axis=2),
        L["Permute"]("b", name="t", order=(0, 2, 1)),
        L["MatMul"]("b", "t", name="y"),
    ]
    net = fbnet.Net(chain, inputs={"x": ("N", 5, 7)})
    found = recovered(net)
    assert [layer.type for layer in found] == ["InnerProduct", "MatMul"] and found["y"].transpose_b
    x = random(3, 5, 7)
    np.testing.assert_allclose(found.forward(x=x)["y"], net.forward(x=x)["y"], rtol=1e-4, atol=1e-4)


def test_channel_shuffle():
    chain = [
        L["Reshape"]("x", name="r", shape=(2, 3), axis=1, num_axes=1),
        L["Permute"]("r", name="t", order=(0, 2, 1, 3, 4)),
        L["Flatten"]("t", name="y", axis=1, end_axis=2),
    ]
    net = fbnet.Net(chain, inputs={"x": ("N", 6, "H", "W")})
    found = recovered(net)
    assert [layer.type for layer in found] == ["ShuffleChannel"]
    x = random(2, 6, 3, 5)
    np.testing.assert_array_equal(found.forward(x=x)["y"], net.forward(x=x)["y"])
