"""The cuda device: its errors."""

import numpy as np
import pytest
from fbnet import DeviceError, Net
from fbnet.engine.check import check_layer
from fbnet.engine.device import devices
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.cuda import driver
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten

CUDA = devices["cuda"]
W = np.random.default_rng(0).standard_normal((5, 12), dtype=np.float32)
X = np.random.default_rng(1).standard_normal((2, 3, 4), dtype=np.float32)


def net():
    return Net(
        [Flatten("x", name="f"), InnerProduct("f", W, name="fc"), Sigmoid("fc", name="y")], {"x": ("N", 3, 4)}
    )


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_no_driver(monkeypatch):
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(driver, "NAMES", ("libthere-is-none.so",))
    driver.gpu.cache_clear()
    try:
        assert not CUDA.available()
        with pytest.raises(
            DeviceError, match=r"^cuda needs NVIDIA's driver, but libthere-is-none\.so cannot be loaded"
        ):
            net().compile(device="cuda")
        checks = check_layer(ReLU(), X)  # on every device that is there
        assert "cuda" not in {c.device for c in checks}
    finally:
        driver.gpu.cache_clear()


class Failing:
    """A driver whose every function but cuGetErrorString returns one error."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        return lambda *arguments: 0 if name == "cuGetErrorString" else self.error


def test_errors_of_the_driver():
    broken = driver.Gpu.__new__(driver.Gpu)
    broken.name = "GPU"
    broken._library = Failing(driver.OUT_OF_MEMORY)
    with pytest.raises(DeviceError, match=r"^GPU has no memory for 1,000 bytes: give it a smaller batch$"):
        broken.allocate(1000)
    broken._library = Failing(700)
    with pytest.raises(DeviceError, match=r"^cuda: cuStreamCreate failed: unknown error \(700\)$"):
        broken.stream()
