"""Every kernel of the cpu on every case of the shared table: check_layer compares it with its reference."""

import pytest

from fbnet.engine.check import check_layer
from fbnet.engine.kernel import kernels


def test_kernels_give_the_references_numbers(case):
    checks = check_layer(case.layer, *case.arrays(), device_names=["cpu"])
    assert checks
