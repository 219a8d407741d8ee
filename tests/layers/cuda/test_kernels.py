"""Every kernel of the cuda target on every case of the shared table: check_layer compares it with its reference."""

from math import prod

import pytest
from fbnet.engine.check import check_layer
from fbnet.layers.cuda.card import simulating

# beyond which the simulator takes seconds: numbers that go into a layer, and multiplications
NUMBERS, MULTIPLICATIONS = 4000, 6000


def test_kernels_give_the_references_numbers(case):
    if simulating():
        macs = case.layer.macs(*case.specs) if hasattr(case.layer, "macs") else 0
        if macs > MULTIPLICATIONS or sum(prod(shape) for shape in case.shapes if shape is not None) > NUMBERS:
            pytest.skip("too much for the simulator")
    checks = check_layer(case.layer, *case.arrays(), device_names=["cuda"], tolerance=case.tolerance)
    assert checks and all(c.device == "cuda" for c in checks)
