"""divergence: values that a pencil gives, and what it tells apart that a square error does not."""

import numpy as np
import pytest
from fbnet.engine.quantize.divergence import MOST, divergence


def of(exact, got) -> float:
    return divergence([{"y": np.float32(exact)}], [{"y": np.float32(got)}])


def test_it_is_that_of_shares_and_no_more_than_a_decision_is_worth():
    even = np.log([[0.5, 0.5]])
    assert of(even, np.log([[0.4, 0.6]])) == pytest.approx(0.5 * np.log(0.5 / 0.4) + 0.5 * np.log(0.5 / 0.6))
    assert of(even, even + 7) == pytest.approx(0, abs=1e-9), "a shift of all scores decides nothing"
    assert of(even, np.log([[0.01, 0.99]])) == MOST
    both = [*even, *even]
    assert of(both, [*even, *np.log([[0.01, 0.99]])]) == MOST / 2


def test_it_sees_what_decides_and_not_what_is_far_below():
    """Two classes that are close and a third: the same error of one score, where it matters and where not."""
    exact = [[3.0, 2.8, -9.0]]
    near, far = ([[3.0, 3.3, -9.0]], [[3.0, 2.8, -9.5]])
    assert of(exact, near) > 100 * of(exact, far) > 0


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (2, 2, 3)])
def test_classes_of_a_sample_and_of_a_steps_letters(shape):
    """Four decisions among three classes, however they lie."""
    rng = np.random.default_rng(0)
    exact, got = rng.normal(size=(2, 4, 3)) * 0.1
    assert of(exact.reshape(shape), got.reshape(shape)) == pytest.approx(of(exact, got), rel=1e-4)
