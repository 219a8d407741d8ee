"""Every kernel of the opencl target on the shared table's cases: check_layer compares it with its reference."""

from math import prod

import pytest
from fbnet.engine.check import check_layer
from fbnet.engine.device import devices
from fbnet.engine.kernel import kernels
from fbnet.layers.opencl.team import SMALL, TEAMS

# beyond which the simulator takes seconds: numbers that go into a layer, and multiplications
NUMBERS, MULTIPLICATIONS = 7000, 60000
_reached: set[str] = set()


def test_kernels_give_the_references_numbers(case, some_chip):
    devices["opencl"].load_kernels()
    if not any((k.layer, k.device) == (case.layer.type, "opencl") for k in kernels.values()):
        pytest.skip("it has no kernel here")
    if some_chip.simulated:
        macs = case.layer.macs(*case.specs)
        if macs > MULTIPLICATIONS or sum(prod(shape) for shape in case.shapes if shape is not None) > NUMBERS:
            pytest.skip("too much for the simulator")
    checks = check_layer(case.layer, *case.arrays(), device_names=["opencl"], tolerance=case.tolerance)
    assert checks
    _reached.update(c.kernel for c in checks)


def test_the_table_reaches_every_kernel(some_chip):
    """The cases before this one, if all of them ran in this process; but for tiles that a simulator does not take."""
    if len(_reached) < 60:
        pytest.skip("only a part of the cases ran here")
    large = [f"_{t}" for t in TEAMS if some_chip.simulated and t.bm * t.bn > SMALL]
    ours = {k.name for k in kernels.values() if k.device == "opencl" and not k.name.endswith(tuple(large))}
    assert ours - _reached == set()
