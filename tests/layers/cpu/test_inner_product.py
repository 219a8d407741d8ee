"""InnerProduct on the cpu: every number of rows and columns that a loop could get wrong."""

import math

import numpy as np
import pytest
from fbnet import Net, check_layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.layers.inner_product import InnerProduct
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


# x, w (M, K), bias, attributes
TABLE = [
    ((1, 1), (1, 1), False, {}),
    ((1, 7), (13, 7), True, {}),
    ((3, 127), (7, 127), True, {}),
    ((1, 128), (127, 128), False, {}),
    ((0, 5), (3, 5), True, {}),
    ((13, 64), (4, 64), True, {}),
    ((2, 3, 4, 5), (9, 60), True, {}),
    ((2, 3, 4, 5), (9, 5), True, dict(axis=-1)),
    ((2, 3, 4, 5), (9, 20), True, dict(axis=2)),
    ((2, 3), (1, 6), True, dict(axis=0)),
    ((2, 33), (5, 33), True, dict(activation="ReLU")),
    ((2, 33), (5, 33), False, dict(activation="Clip", activation_args=(-1, 1))),
    ((2, 33), (5, 33), True, dict(activation="Clip", activation_args=(-math.inf, 0.5))),
    ((2, 33), (5, 33), True, dict(activation="Clip", activation_args=(0.25,))),
    ((1, 1000), (3, 1000), True, {}),
    ((2, 9, 37), (45, 37), True, dict(axis=-1, activation="Sigmoid")),
]


def names(row) -> str:
    return f"{list(row[0])}{list(row[1])}{'b' * row[2]}{row[3]}".replace(" ", "")


def serving(many, attributes) -> set[str]:
    """On many rows there are two ways, and one of them knows limits only."""
    limits = attributes.get("activation", "") in ("", "ReLU", "Clip")
    return {*["rows"] * limits, *["product"] * many} or {"reference"}


@pytest.mark.parametrize("row", TABLE, ids=names)
def test_kernels_give_the_references_numbers(row, level):
    x, w, bias, attributes = row
    arrays = array(*x), array(*w), array(w[0]) if bias else None
    for constants in (None, ()):  # weights that are given with every run are read all the same
        checks = check_layer(InnerProduct(**attributes), *arrays, device_names=["cpu"], constants=constants)
        assert {c.threads for c in checks} == {1, 2, 3}
        many = constants is None and math.prod(x[: attributes.get("axis", 1)]) >= 8
        assert {c.kernel.split("/")[-1] for c in checks} == serving(many, attributes)


@given(st.integers(0, 5), st.integers(1, 20), st.integers(1, 150), st.sampled_from([1, 2, 3, 7]))
def test_whole_numbers_are_exact(n, m, k, threads):
    rng = np.random.default_rng(n)
    x, w, b = (rng.integers(-5, 6, shape).astype(np.float32) for shape in ((n, k), (m, k), (m,)))
    net = Net([InnerProduct("x", w, b, name="y")], {"x": x.shape})
    with plan_as_written(net, devices["cpu"], "fp32", threads, {"x": x.shape}).session() as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], x @ w.T + b)


def test_what_is_not_finite():
    x, w = array(4, 40), array(7, 40)
    x[1, 3], x[2, 39], w[3, 5] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):  # the reference's own inf - inf
        assert check_layer(InnerProduct(activation="ReLU"), x, w, array(7), device_names=["cpu"])
