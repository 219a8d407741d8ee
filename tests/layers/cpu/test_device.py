"""The cpu behind the six calls, without a Session around it; and native steps with hosts between them."""

import numpy as np
import pytest
from fbnet import CompileError, DeviceError, HostFallback, Layer, Net, layer
from fbnet.engine.device import devices
from fbnet.engine.kernel import Parameter
from fbnet.engine.layer import layers
from fbnet.layers.activation import ReLU, TanH
from fbnet.layers.cpu.device import Segment
from fbnet.layers.cpu.target import host

CPU = devices["cpu"]
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def net():
    return Net([TanH("x", name="t"), ReLU("t", name="y")], {"x": ("N", 4)})


def test_six_calls():
    plan = net().compile(shapes={"x": X.shape}, threads=2)
    handle = CPU.init(plan)
    CPU.prepare(handle, {"x": X.shape})
    CPU.set_tensor(handle, "x", X)
    CPU.forward(handle)
    np.testing.assert_allclose(CPU.get_tensor(handle, "y"), np.maximum(np.tanh(X), 0), rtol=1e-6)
    CPU.prepare(handle, {"x": (1, 4)})
    CPU.set_tensor(handle, "x", X[:1])
    CPU.forward(handle)
    np.testing.assert_allclose(CPU.get_tensor(handle, "y"), np.maximum(np.tanh(X[:1]), 0), rtol=1e-6)
    CPU.destroy(handle)
    CPU.destroy(handle)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handle_that_is_not_prepared(when):
    handle = CPU.init(net().compile())
    if when == "after":
        CPU.prepare(handle, {"x": (1, 4)})
        CPU.destroy(handle)
    for attempt in (
        lambda: CPU.set_tensor(handle, "x", X[:1]),
        lambda: CPU.forward(handle),
        lambda: CPU.get_tensor(handle, "y"),
    ):
        with pytest.raises(DeviceError, match=r"^this session is not prepared, or is closed$"):
            attempt()


def test_it_says_what_it_is():
    assert CPU.name == "cpu" and CPU.has_kernels
    assert (CPU.target, CPU.lanes, CPU.registers) == (host().name, host().lanes, host().registers)


def test_a_function_is_compiled_once():
    def once(y):
        y[0] = 1

    parameters = [Parameter("y", "array", "float32", 1)]
    first = CPU.compile_kernel(once, parameters)
    assert CPU.compile_kernel(once, parameters)[1] is first[1]
    with pytest.raises(CompileError, match=r"kernel .*broken cannot be compiled"):
        CPU.compile_kernel(broken, parameters)


def broken(y):
    y.nothing()


@pytest.fixture
def on_the_host():
    @layer("TestOnTheHost")
    class OnTheHost(Layer):
        """y = x, turned around        x: (...) -> y: (...)"""

        fails: bool = False
        wrong: bool = False

        def infer(self, x):
            return x

        def reference(self, x):
            if self.fails:
                raise ValueError("no")
            return x[..., :-1] if self.wrong else x[..., ::-1]

    yield OnTheHost
    layers.discard("TestOnTheHost")


@pytest.mark.parametrize("threads", [1, 3])
def test_native_steps_and_hosts_take_turns(on_the_host, threads):
    mixed = Net(
        [
            on_the_host("x", name="a"), TanH("a", name="b"), ReLU("b", name="c"), on_the_host("c", name="d"),
            on_the_host("d", name="e"), TanH("e", name="f"), on_the_host("f", name="g"),
        ],
        {"x": ("N", 4)},
    )  # fmt: skip
    with pytest.warns(HostFallback) as said:
        plan = mixed.compile(threads=threads, shapes={"x": X.shape})
    assert [str(w.message).split()[0] for w in said] == ["a", "d", "e", "g"]
    assert "no kernel for TestOnTheHost on cpu in fp32" in str(said[0].message)
    with plan.session() as session:
        kinds = ["native" if isinstance(w, Segment) else w for w in session._handle.work]
        assert kinds == ["a", "native", "d", "e", "native", "g"]
        for _ in range(3):
            got = session.run({"x": X})["g"]
            np.testing.assert_allclose(got, mixed.forward(x=X)["g"], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::fbnet.HostFallback")
def test_a_host_layer_that_fails(on_the_host):
    failing = Net([on_the_host("x", name="a", fails=True)], {"x": (3, 4)})
    with pytest.raises(DeviceError, match=r"^a \(TestOnTheHost\): its reference failed: no$"):
        failing(X)
    wrong = Net([on_the_host("x", name="a", wrong=True)], {"x": (3, 4)})
    with pytest.raises(
        DeviceError, match=r"^a \(TestOnTheHost\): its reference made \[3, 3\], but infer said \[3, 4\]$"
    ):
        wrong(X)


@pytest.mark.parametrize("threads", [1, 2])
def test_time_of_each_step(threads):
    plan = net().compile(shapes={"x": X.shape}, threads=threads)
    handle = CPU.init(plan)
    CPU.prepare(handle, {"x": X.shape})
    with pytest.raises(DeviceError, match="set_tensor"):
        CPU.time_steps(handle)
    CPU.set_tensor(handle, "x", X)
    seconds = CPU.time_steps(handle, rounds=3)
    assert len(seconds) == len(plan.steps) and all(0 < s < 1 for s in seconds)
    np.testing.assert_allclose(CPU.get_tensor(handle, "y"), np.maximum(np.tanh(X), 0), rtol=1e-6)
    CPU.forward(handle)  # as usual afterwards
    np.testing.assert_allclose(CPU.get_tensor(handle, "y"), np.maximum(np.tanh(X), 0), rtol=1e-6)
    CPU.destroy(handle)


def test_time_of_a_layer_on_the_host():
    @layer("TestTimed")
    class Timed(Layer):
        """y = x + 1        x: (...) -> y: (...)"""

        def reference(self, x):
            return x + 1

    try:
        with pytest.warns(HostFallback):
            plan = Net(
                [TanH("x", name="t"), Timed("t", name="u"), ReLU("u", name="y")], {"x": (3, 4)}
            ).compile()
            handle = CPU.init(plan)
            CPU.prepare(handle, {"x": X.shape})
        CPU.set_tensor(handle, "x", X)
        assert len(CPU.time_steps(handle, rounds=1)) == 3
        np.testing.assert_allclose(CPU.get_tensor(handle, "y"), np.tanh(X) + 1, rtol=1e-6)
        CPU.destroy(handle)
    finally:
        layers.discard("TestTimed")
