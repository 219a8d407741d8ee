"""Ranges: each method's promise, on numbers whose best range is known."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.quantize.ranges import (
    BINS,
    Histogram,
    least_error,
    methods,
    quantization_of,
    rounded,
    united,
)
from fbnet.layers.activation import HardSwish

rng = np.random.default_rng(3)


def histogram(x: np.ndarray) -> Histogram:
    h = Histogram(float(x.min()), float(x.max()), np.zeros(BINS))
    h.add(x.astype(np.float32))
    return h


def noise(x: np.ndarray, low: float, high: float) -> float:
    return float(np.square(rounded(x, quantization_of(low, high)) - x).mean())


def test_zero_is_exact_and_both_ends_are_reached():
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0), (-1e-30, 1e-30)):
        q = quantization_of(low, high)
        assert rounded(np.zeros(1), q)[0] == 0
        ends = np.array([min(low, 0), max(high, 0)])
        assert np.abs(rounded(ends, q) - ends).max() <= 0.51 * q.scale[0]


def test_an_outlier_is_clamped_where_that_pays():
    x = np.concatenate([rng.normal(size=100_000), [60.0]])
    h = histogram(x)
    assert methods["minmax"](h) == (x.min(), x.max())
    for name in ("percentile", "entropy"):
        low, high = methods[name](h)
        assert 3 < high < 12, name
    low, high = methods["percentile"](h)
    assert np.mean((x < low) | (x > high)) < 2e-4
    others = [noise(x, *methods[name](h)) for name in ("minmax", "percentile", "entropy")]
    assert noise(x, *methods["mse"](h)) < min(others)


def test_mse_is_near_the_best_of_many_ranges():
    x = rng.laplace(size=50_000)
    found = noise(x, *methods["mse"](histogram(x)))
    tried = min(noise(x, -s * 12, s * 12) for s in np.linspace(0.3, 1.2, 60))
    assert found < 1.03 * tried


def test_zeros_behind_a_rectifier_do_not_clamp_the_rest():
    x = np.maximum(rng.normal(size=100_000), 0)
    for name in methods:
        low, high = methods[name](histogram(x))
        assert low == 0 and high > 2, name


def test_what_a_function_makes_flat_is_clamped():
    """Below -3 a hard swish is 0: half of these numbers need no steps at all."""
    x = rng.uniform(-20, 6, 100_000)
    low, high = least_error(histogram(x), lambda v: HardSwish().reference(v.astype(np.float32)))
    assert -5 < low < -2.5 and high > 5.5


def test_histograms_are_added_up():
    whole = united([histogram(rng.uniform(-1, 0, 1000)), histogram(rng.uniform(0, 4, 3000))])
    assert (whole.counts.sum(), round(whole.low), round(whole.high)) == (4000, -1, 4)


@pytest.mark.parametrize("name", ["minmax", "percentile", "mse", "entropy"])
def test_a_tensor_without_spread_has_a_range(name):
    x = np.full(10, 3.0)
    assert methods[name](histogram(x))[1] == pytest.approx(3.0)
