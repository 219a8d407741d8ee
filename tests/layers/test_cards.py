"""Devices with a memory of their own, cuda and opencl: the six calls, layers that run on the host in between, sessions
side by side."""

import threading

import numpy as np
import pytest
from fbnet import DeviceError, HostFallback, Net
from fbnet.engine.device import devices
from fbnet.engine.plan import Plan
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.concat import Concat
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten

SIMULATED = {"cuda": ("NUMBA_ENABLE_CUDASIM", "1"), "opencl": ("FBNET_OPENCL", "oclgrind")}
W = np.random.default_rng(0).standard_normal((5, 12), dtype=np.float32)
X = np.random.default_rng(1).standard_normal((2, 3, 4), dtype=np.float32)


@pytest.fixture(params=SIMULATED)
def card(request, monkeypatch):
    """A device's name; where the machine has none, it is simulated."""
    if request.param == "opencl":
        pytest.importorskip("pyopencl")
    if not devices[request.param].available():
        monkeypatch.setenv(*SIMULATED[request.param])
    return request.param


def net():
    return Net(
        [Flatten("x", name="f"), InnerProduct("f", W, name="fc"), Sigmoid("fc", name="y")], {"x": ("N", 3, 4)}
    )


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_six_calls(card):
    plan = net().compile(device=card, shapes={"x": X.shape})
    assert {s.kernel.split("/")[0] for s in plan.steps} == {card} and plan.target == devices[card].target
    handle = devices[card].init(plan)
    for x in (X, X[:1], X):
        devices[card].prepare(handle, {"x": x.shape})
        devices[card].set_tensor(handle, "x", x)
        devices[card].forward(handle)
        close(devices[card].get_tensor(handle, "y"), net().forward(x=x)["y"])
    devices[card].destroy(handle)
    devices[card].destroy(handle)
    with pytest.raises(DeviceError, match=r"^this session is not prepared, or is closed$"):
        devices[card].forward(handle)


@pytest.mark.parametrize("place", ["first", "middle", "last", "alone"])
def test_a_layer_without_a_kernel_runs_on_the_host(card, odd_layer, place):
    chain = {
        "first": [odd_layer, Sigmoid, ReLU],
        "middle": [Sigmoid, odd_layer, Sigmoid],
        "last": [Sigmoid, odd_layer],
        "alone": [odd_layer],
    }
    made = [cls("x" if i == 0 else f"t{i - 1}", name=f"t{i}") for i, cls in enumerate(chain[place])]
    made.append(Concat(f"t{len(made) - 1}", "x", name="y"))  # the input is wanted again at the end
    mixed = Net(made, {"x": X.shape})
    with pytest.warns(HostFallback, match="TestOdd.* runs by its numpy reference: no kernel for TestOdd on "):
        plan = mixed.compile(device=card)
    with plan.session() as session:
        for x in (X, -X):
            close(session.run({"x": x})["y"], mixed.forward(x=x)["y"])
        assert len(devices[card].time_steps(session._handle, 1)) == len(plan.steps)


def test_sessions_side_by_side(card):
    plan = net().compile(device=card, shapes={"x": X.shape})
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


def test_a_plan_from_disk_runs(card):
    plan = net().compile(device=card, shapes={"x": X.shape})
    again = Plan.read(net(), memoryview(b"".join(map(bytes, plan.chunks()))))
    with again.session() as session:
        close(session.run({"x": X})["y"], net().forward(x=X)["y"])


def test_an_input_that_nobody_set(card):
    with (
        net().compile(device=card).session() as session,
        pytest.raises(DeviceError, match="nobody has set x: call set_tensor before forward"),
    ):
        session.forward()


def test_a_plan_for_another_card_is_refused(card):
    plan = net().compile(device=card)
    object.__setattr__(plan, "target", "another")
    with pytest.raises(DeviceError, match=r"^this plan is for another, but here is .*: compile it here$"):
        plan.session()
