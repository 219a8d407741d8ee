"""Convolution on the cpu: every kernel, on awkward shapes, 1 to 3 threads, every level of this machine."""

import math

import numpy as np
import pytest
from fbnet import Net, check_layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.errors import FbnetError
from fbnet.layers.conv import Convolution
from hypothesis import assume, given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def conv(x, w, bias=True, **attributes):
    return Convolution(**attributes), array(*x), array(*w), array(w[0]) if bias else None


# x (N, C, H, W), w (M, C/group, KH, KW), bias, attributes
TABLE = [
    ((1, 1, 1, 1), (1, 1, 1, 1), False, {}),
    ((1, 1, 1, 1), (7, 1, 1, 1), True, {}),
    ((1, 7, 1, 1), (13, 7, 1, 1), True, {}),
    ((3, 13, 7, 7), (127, 13, 1, 1), True, {}),
    ((1, 127, 3, 5), (5, 127, 1, 1), False, {}),
    ((0, 3, 7, 7), (4, 3, 3, 3), True, {}),
    ((3, 3, 7, 13), (6, 3, 3, 3), True, dict(pad=(1, 1, 1, 1))),
    ((1, 3, 13, 127), (14, 3, 3, 3), False, dict(pad=(0, 1, 2, 3))),
    ((2, 3, 127, 1), (6, 3, 5, 1), True, dict(pad=(2, 0, 2, 0))),
    ((1, 2, 1, 127), (12, 2, 1, 7), True, dict(stride=(1, 2), pad=(0, 3, 0, 3))),
    ((1, 4, 13, 13), (28, 4, 3, 3), True, dict(stride=(2, 3), pad=(1, 0, 0, 2))),
    ((1, 3, 23, 23), (7, 3, 11, 11), True, dict(stride=(4, 4))),
    ((2, 3, 13, 13), (5, 3, 3, 3), True, dict(dilation=(2, 3), pad=(2, 3, 2, 3))),
    ((1, 3, 7, 7), (5, 3, 3, 3), True, dict(dilation=(3, 3), stride=(2, 2), pad=(5, 5, 5, 5))),
    ((2, 6, 7, 7), (4, 3, 3, 3), True, dict(group=2)),
    ((1, 12, 7, 13), (36, 4, 1, 1), False, dict(group=3)),
    ((1, 4, 1, 1), (6, 2, 7, 7), True, dict(group=2, pad=(3, 3, 3, 3))),
    ((1, 1, 2, 2), (1, 1, 2, 2), True, dict(pad=(7, 7, 7, 7))),  # most of it sees nothing but padding
    ((1, 3, 7, 7), (6, 3, 7, 7), True, {}),  # one place
    ((1, 2, 7, 7), (3, 2, 2, 4), True, dict(stride=(5, 6))),
    # one filter a channel
    ((1, 1, 7, 7), (1, 1, 3, 3), True, dict(pad=(1, 1, 1, 1))),
    ((3, 7, 13, 13), (7, 1, 3, 3), True, dict(group=7, pad=(1, 1, 1, 1))),
    ((1, 13, 7, 127), (13, 1, 3, 3), False, dict(group=13, stride=(2, 2), pad=(0, 1, 1, 0))),
    ((2, 5, 13, 7), (5, 1, 5, 3), True, dict(group=5, stride=(1, 3), dilation=(2, 2), pad=(4, 0, 0, 2))),
    ((0, 5, 3, 3), (5, 1, 3, 3), True, dict(group=5)),
    ((1, 127, 1, 1), (127, 1, 3, 3), True, dict(group=127, pad=(1, 1, 1, 1))),
    ((1, 3, 7, 7), (6, 1, 3, 3), True, dict(group=3)),  # two filters a channel
    # limits
    ((2, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="ReLU")),
    ((1, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="ReLU", activation_args=(0.0,))),
    ((1, 3, 7, 7), (7, 3, 3, 3), False, dict(activation="Clip", activation_args=(-1, 1.5))),
    ((1, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="Clip", activation_args=(-0.5, math.inf))),
    ((1, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="Clip", activation_args=(-math.inf, 0.5))),
    ((1, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="Clip", activation_args=(0.25,))),
    ((1, 3, 7, 7), (7, 3, 3, 3), True, dict(activation="Clip")),
    ((2, 7, 5, 5), (7, 1, 3, 3), True, dict(group=7, activation="ReLU")),
    ((2, 7, 5, 5), (7, 1, 3, 3), True, dict(group=7, activation="Clip", activation_args=(-1, 1))),
]  # fmt: skip


def names(row) -> str:
    x, w, bias, attributes = row
    return f"{list(x)}{list(w)}{'b' * bias}{attributes}".replace(" ", "")


@pytest.mark.parametrize("row", TABLE, ids=names)
def test_kernels_give_the_references_numbers(row, level):
    x, w, bias, attributes = row
    layer, *arrays = conv(x, w, bias, **attributes)
    found = check_layer(layer, *arrays, device_names=["cpu"])
    kernels = {c.kernel for c in found}
    assert {c.threads for c in found} == {1, 2, 3} and "cpu/fp32/Convolution/gemm" in kernels
    each = w[1] == 1 and w[0] == attributes.get("group", 1)
    assert ("cpu/fp32/Convolution/depthwise" in kernels) == each


@pytest.mark.parametrize("activation", ["Sigmoid", "ELU", "ReLU"])
def test_an_activation_that_is_no_limit_is_not_forgotten(activation):
    """No kernel does it, so all of it is left to the reference."""
    args = (0.5,) if activation != "Sigmoid" else ()
    layer, *arrays = conv((1, 3, 7, 7), (7, 3, 3, 3), activation=activation, activation_args=args)
    assert {c.kernel for c in check_layer(layer, *arrays, device_names=["cpu"])} == {"reference"}


def test_weights_that_are_no_constants():
    layer, *arrays = conv((1, 3, 7, 7), (4, 3, 3, 3))
    assert {c.kernel for c in check_layer(layer, *arrays, device_names=["cpu"], constants=())} == {
        "reference"
    }
    layer, *arrays = conv((1, 3, 7, 7), (3, 1, 3, 3), group=3)
    checks = check_layer(layer, *arrays, device_names=["cpu"], constants=())
    assert {c.kernel for c in checks} == {"cpu/fp32/Convolution/depthwise"}


sizes = st.integers(1, 9)
shapes = st.fixed_dictionaries(
    dict(
        n=st.integers(0, 2), group=st.integers(1, 4), c=st.integers(1, 4), m=st.integers(1, 16), h=sizes, width=sizes,
        kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
        pad=st.tuples(*[st.integers(0, 4)] * 4), dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    )
)  # fmt: skip


@given(shapes, st.sampled_from([1, 2, 3, 5]))
def test_random_shapes_with_whole_numbers_are_exact(s, threads):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (s["n"], s["group"] * s["c"], s["h"], s["width"])).astype(np.float32)
    w = rng.integers(-4, 5, (s["group"] * s["m"], s["c"], *s["kernel"])).astype(np.float32)
    b = rng.integers(-9, 9, len(w)).astype(np.float32)
    attributes = {k: s[k] for k in ("stride", "pad", "dilation", "group")}
    net = Net([Convolution("x", w, b, name="y", **attributes)], {"x": x.shape})
    try:
        wanted = net.forward(x=x)["y"]
    except FbnetError:
        assume(False)  # the window does not fit
    plan = plan_as_written(net, devices["cpu"], "fp32", threads, {"x": x.shape})
    with plan.session() as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], wanted)


@pytest.mark.parametrize("group", [1, 4])
def test_what_is_not_finite_stays_where_it_is_seen(group):
    """A NaN or an infinity spoils the places that see it and no others, whatever limits follow."""
    w, b = array(4, 4 // group, 3, 3), array(4)
    x = array(1, 4, 9, 9)
    x[0, 1, 2, 2], x[0, 2, 6, 6], x[0, 3, 0, 8] = np.nan, np.inf, -np.inf
    for activation in ("", "ReLU"):
        layer = Convolution(pad=(1, 1, 1, 1), group=group, activation=activation)
        with np.errstate(invalid="ignore"):  # the reference's own inf - inf
            assert check_layer(layer, x, w, b, device_names=["cpu"])


def test_weights_are_packed_once_for_all_sessions():
    w = array(64, 32, 3, 3)
    plan = Net([Convolution("x", w, name="y")], {"x": (1, 32, 8, 8)}).compile(threads=2)
    assert w.nbytes <= plan.packed_bytes < 2 * w.nbytes
    assert (
        plan.arena_bytes < 300_000
    )  # bytes: x, y, and a panel for each thread, not a copy of x for each tap
    with plan.session() as a, plan.session() as b:
        assert a._handle.arena.constants[0] is b._handle.arena.constants[0]
