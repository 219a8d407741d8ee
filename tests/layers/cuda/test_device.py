"""The cuda device: the six calls, layers that run on the host in between, sessions side by side, and its errors."""

import threading

import numpy as np
import pytest
from fbnet import DeviceError, HostFallback, Net
from fbnet.engine.check import check_layer
from fbnet.engine.device import devices
from fbnet.engine.layer import Elementwise, layer, layers
from fbnet.engine.plan import Plan
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.concat import Concat
from fbnet.layers.cuda import card, driver
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


def test_six_calls():
    plan = net().compile(device="cuda", shapes={"x": X.shape})
    assert {s.kernel.split("/")[0] for s in plan.steps} == {"cuda"} and plan.target == card.card().target
    handle = CUDA.init(plan)
    for x in (X, X[:1], X):
        CUDA.prepare(handle, {"x": x.shape})
        CUDA.set_tensor(handle, "x", x)
        CUDA.forward(handle)
        close(CUDA.get_tensor(handle, "y"), net().forward(x=x)["y"])
    CUDA.destroy(handle)
    CUDA.destroy(handle)
    with pytest.raises(DeviceError, match=r"^this session is not prepared, or is closed$"):
        CUDA.forward(handle)


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


@pytest.mark.parametrize("place", ["first", "middle", "last", "alone"])
def test_a_layer_without_a_kernel_runs_on_the_host(odd_layer, place):
    chain = {
        "first": [odd_layer, Sigmoid, ReLU],
        "middle": [Sigmoid, odd_layer, Sigmoid],
        "last": [Sigmoid, odd_layer],
        "alone": [odd_layer],
    }
    made = [cls("x" if i == 0 else f"t{i - 1}", name=f"t{i}") for i, cls in enumerate(chain[place])]
    made.append(Concat(f"t{len(made) - 1}", "x", name="y"))  # the input is wanted again at the end
    mixed = Net(made, {"x": X.shape})
    with pytest.warns(
        HostFallback, match="TestOdd.* runs by its numpy reference: no kernel for TestOdd on cuda"
    ):
        plan = mixed.compile(device="cuda")
    with plan.session() as session:
        for x in (X, -X):
            close(session.run({"x": x})["y"], mixed.forward(x=x)["y"])
        assert len(CUDA.time_steps(session._handle, 1)) == len(plan.steps)


def test_sessions_side_by_side():
    plan = net().compile(device="cuda", shapes={"x": X.shape})
    wrong = []

    def work(x):
        wanted = net().forward(x=x)["y"]
        with plan.session() as session:
            for _ in range(3):
                if not np.allclose(session.run({"x": x})["y"], wanted, rtol=1e-5, atol=1e-6):
                    wrong.append(x)

    threads = [threading.Thread(target=work, args=(X * factor,)) for factor in (1, -2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_plan_from_disk_runs():
    plan = net().compile(device="cuda", shapes={"x": X.shape})
    again = Plan.read(net(), memoryview(b"".join(map(bytes, plan.chunks()))))
    with again.session() as session:
        close(session.run({"x": X})["y"], net().forward(x=X)["y"])


def test_a_plan_for_another_card_is_refused():
    plan = net().compile(device="cuda")
    object.__setattr__(plan, "target", "sm_10/1")
    with pytest.raises(DeviceError, match=r"^this plan is for sm_10/1, but here is .*: compile it here$"):
        plan.session()


def test_an_input_that_nobody_set():
    with (
        net().compile(device="cuda").session() as session,
        pytest.raises(DeviceError, match="nobody has set x: call set_tensor before forward"),
    ):
        session.forward()


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
        assert {c.device for c in checks} == {"cpu", "reference"}
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
