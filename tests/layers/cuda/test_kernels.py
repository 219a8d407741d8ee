"""Every kernel of the cuda target on every case of the shared table: check_layer compares it with its reference."""

from math import prod

import pytest
from fbnet.engine.check import check_layer
from fbnet.layers.cuda.card import simulating

PATIENCE = 4000  # numbers that go into a layer, beyond which the simulator takes seconds


def test_kernels_give_the_references_numbers(case):
    if simulating() and sum(prod(shape) for shape in case.shapes if shape is not None) > PATIENCE:
        pytest.skip("too much for the simulator")
    assert check_layer(case.layer, *case.arrays(), device_names=["cuda"])
