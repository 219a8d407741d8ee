"""A card for these tests: the GPU, or without one numba's simulator."""

import pytest
from fbnet.engine.device import devices
from fbnet.engine.errors import DeviceError
from fbnet.layers.cuda.card import card
from fbnet.layers.cuda.driver import gpu


@pytest.fixture(autouse=True)
def some_card(monkeypatch):
    try:
        gpu()
    except DeviceError:
        monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    assert devices["cuda"].available()
    return card()
