import numpy as np
from fbnet.engine.tensor import Dim, Spec
from fbnet.tools.numbers import random_inputs, relative_error


def test_random_inputs_are_the_same_for_the_same_seed():
    specs = {"x": Spec((Dim("N", 2), 3)), "i": Spec((5,), "uint8")}
    one, same, other = random_inputs(specs), random_inputs(specs), random_inputs(specs, seed=1)
    assert one["x"].shape == (2, 3) and one["x"].dtype == np.float32 and one["i"].dtype == np.uint8
    assert (one["x"] == same["x"]).all() and (one["x"] != other["x"]).all()


def test_error_is_relative_to_the_largest_number():
    wanted = np.array([1.0, -4.0])
    assert relative_error(wanted, wanted) == 0
    assert relative_error(np.array([1.0, -3.5]), wanted) == 0.125
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.zeros(0), np.zeros(0)) == 0


def test_other_shapes_and_numbers_that_are_none():
    one = np.array([1.0, np.inf, np.nan])
    assert relative_error(one[:2], one) == np.inf
    assert relative_error(one, one) == 0
    assert relative_error(one, np.array([1.0, np.inf, 2.0])) == np.inf
    assert relative_error(np.array([1.0, 0.0, np.nan]), one) == np.inf
