"""Layers on awkward shapes, a table that tests of references and kernels share: layers/examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fbnet.engine.case import Case
from fbnet.engine.layer import Elementwise, layer, layers
from fbnet.engine.settings import waiting_for_all_threads
from fbnet.layers.examples import cases as all_cases

CASES = all_cases()


@pytest.fixture(autouse=True)
def every_thread() -> Iterator[None]:
    """A plan for three threads is run by three: a kernel's shares are what these tests are about."""
    with waiting_for_all_threads():
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a parameter `case` runs on every Case, with `batched_case` on those with a batch."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)
    if "batched_case" in metafunc.fixturenames:
        metafunc.parametrize("batched_case", [case for case in CASES if case.batch], ids=str)


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    return CASES


@pytest.fixture
def odd_layer():
    """A layer for which no device has a kernel."""

    @layer("TestOdd")
    class Odd(Elementwise):
        """y = 2x + 1        x: (...) -> y: (...)"""

        def reference(self, x):
            return 2 * x + 1

    yield Odd
    layers.discard("TestOdd")
