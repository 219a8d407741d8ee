"""An OpenCL device for these tests: the machine's own, or Oclgrind, which simulates one and watches every access."""

import pytest
from fbnet.engine.device import devices
from fbnet.layers.opencl.chip import chip


@pytest.fixture(autouse=True)
def some_chip(monkeypatch):
    pytest.importorskip("pyopencl")
    if not devices["opencl"].available():
        monkeypatch.setenv("FBNET_OPENCL", "oclgrind")
    assert devices["opencl"].available()
    return chip()
