"""compile: plans are found again in memory and on disk, made anew when anything they depend on changes, and die with
their net."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from fbnet import HostFallback, Net, check_layer, kernel, layer
from fbnet.engine import compile as module
from fbnet.engine.compile import PLANS_PER_NET, How, compile_net, plan_key, trim
from fbnet.engine.device import devices
from fbnet.engine.kernel import kernels
from fbnet.engine.layer import Elementwise, layers
from fbnet.engine.lower import MAX_WORKSPACE
from fbnet.layers.activation import Clip, ReLU, Sigmoid
from fbnet.layers.conv import Convolution
from fbnet.layers.inner_product import InnerProduct

RNG = np.random.default_rng(0)
W = RNG.standard_normal((3, 4), dtype=np.float32)


def small(weights=W, **clip):
    return Net([InnerProduct("x", weights, name="fc"), Clip("fc", name="y", **clip)], {"x": ("N", 4)})


def key_of(net, threads=1, dtype="fp32", **shapes):
    return plan_key(net, devices["cpu"], How(dtype, threads, False, MAX_WORKSPACE), shapes or {"x": (1, 4)})


def test_a_plan_is_made_once():
    net = small(min=0.0)
    plan = net.compile()
    assert net.compile() is plan and compile_net(net, "cpu", "fp32", None, {"x": (1, 4)}) is plan
    others = [net.compile(threads=5), net.compile(shapes={"x": (2, 4)}), net.compile(device="reference")]
    assert len({id(p) for p in (plan, *others)}) == 4
    trim(net)
    again = net.compile()
    assert again is not plan and again.key == plan.key


def test_plans_are_bounded_and_give_back_what_they_had(thread_count, generous):
    net, threads = small(min=-1.0), thread_count()
    for n in range(1, PLANS_PER_NET + 5):
        net(np.zeros((n, 4), np.float32))
    kept = module._Kept.of(net).plans
    assert len(kept) == PLANS_PER_NET
    workers = sum(p.threads - 1 for p in kept.values())
    assert thread_count() == threads + workers  # none of an evicted plan
    first = next(iter(kept.values()))
    net(np.zeros(first.shapes()["x"], np.float32))  # used again, so it stays
    net(np.zeros((99, 4), np.float32))
    assert first in kept.values()
    trim(net)
    assert not kept and thread_count() == threads


def test_plans_go_when_the_net_goes(thread_count, generous):
    threads = thread_count()
    net = small(min=-2.0)
    net(np.zeros((1, 4), np.float32))
    session = net.compile(threads=3).session()
    assert thread_count() > threads
    gone = weakref.ref(net)
    del net, session
    gc.collect()
    assert gone() is None and thread_count() == threads


def test_a_key_names_all_that_a_plan_depends_on(monkeypatch):
    keys = [
        key_of(small()),
        key_of(small(W + 1)),
        key_of(small(min=0.0)),
        key_of(small(), threads=2),
        key_of(small(), dtype="fp16"),
        key_of(small(), x=(2, 4)),
        key_of(Net(small().layers, small().inputs, small().constants, ["fc", "y"])),
    ]
    monkeypatch.setattr(type(devices["cpu"]), "target", property(lambda self: "another"))
    keys.append(key_of(small()))
    assert len(set(keys)) == len(keys) and key_of(small(W.copy())) == keys[-1]


@pytest.fixture
def scaled():
    """A function (factor) -> Net whose one layer has a kernel made by a factory: same text, another factor."""
    names = []

    def make(factor):
        name = f"TestScaled{len(names)}"
        names.append(name)

        @layer(name)
        class Scaled(Elementwise):
            """y = factor * x        x: (...) -> y: (...)"""

            def reference(self, x):
                return np.float32(factor) * x

        def scaled_kernel(x, y):
            for i in range(x.size):
                y[i] = factor * x[i]

        kernel(Scaled, device="cpu")(scaled_kernel)
        return Net([Scaled("x", name="y")], {"x": (1, 5)}), Scaled

    yield make
    for name in names:
        layers.discard(name)
        kernels.discard(f"cpu/fp32/{name}/scaled_kernel")


def test_kernels_of_one_factory_are_not_confused(scaled):
    x = np.arange(5, dtype=np.float32).reshape(1, 5)
    for factor in (2.0, 3.0, 2.5):
        net, cls = scaled(factor)
        np.testing.assert_array_equal(net(x), factor * x)
        assert {c.kernel.split("/")[0] for c in check_layer(cls())} >= {"cpu", "reference"}


def test_a_foreign_kernel_is_part_of_the_key(scaled):
    before = key_of(small())
    scaled(2.0)
    with_two = key_of(small())
    kernels.discard("cpu/fp32/TestScaled0/scaled_kernel")
    layers.discard("TestScaled0")
    scaled(3.0)
    assert len({before, with_two, key_of(small())}) == 3


def test_many_threads_compile_one_net_and_many():
    nets = [small(W + i) for i in range(4)]
    x = RNG.standard_normal((2, 4), dtype=np.float32)
    wanted = [net.forward(x=x)["y"] for net in nets]
    wrong = []

    def work(number):
        net = nets[number % 4]
        for _ in range(20):
            if not np.allclose(net(x), wanted[number % 4], rtol=1e-5, atol=1e-6):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert not wrong and all(len(module._Kept.of(net).plans) == 1 for net in nets)


def test_one_net_does_not_wait_for_another():
    """While a net is being compiled, one that is compiled already runs."""
    ready, busy = small(min=-3.0), small(min=-4.0)
    x = np.zeros((1, 4), np.float32)
    ready(x)
    with module._Kept.of(busy).lock:  # as during its compilation
        done = threading.Thread(target=ready, args=(x,))
        done.start()
        done.join(timeout=10)
        assert not done.is_alive()


def damaged_plan(folder):
    (file,) = (folder / "plans").glob("*.fbplan")
    file.write_bytes(file.read_bytes()[:300])


def damaged_objects(folder):
    for file in (folder / "objects").glob("*.o"):
        file.write_bytes(file.read_bytes()[:-100])
    for file in (folder / "plans").glob("*.fbplan"):
        file.unlink()


@pytest.mark.parametrize("damage", [damaged_plan, damaged_objects])
def test_what_a_disk_has_damaged_is_made_again(empty_cache, monkeypatch, damage):
    x = RNG.standard_normal((1, 4), dtype=np.float32)
    monkeypatch.setattr(devices["cpu"], "_compiled", {})
    net = small(min=0.25)
    wanted = net(x)
    kept = {p.name: p.read_bytes() for p in empty_cache.rglob("*.*") if p.is_file()}
    damage(empty_cache)
    trim(net)
    monkeypatch.setattr(devices["cpu"], "_compiled", {})
    np.testing.assert_array_equal(net(x), wanted)
    assert {p.name: p.read_bytes() for p in empty_cache.rglob("*.*") if p.is_file()} == kept


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(devices["cpu"], "_compiled", {})
    net, x = small(min=0.125), RNG.standard_normal((1, 4), dtype=np.float32)
    np.testing.assert_allclose(net(x), net.forward(x=x)["y"], rtol=1e-5)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_fallback_that_comes_from_disk_is_the_rewritten_layer_and_says_so():
    """Convolution by weights that are no constants has no kernel; the ReLU behind it is fused into its reference."""
    inputs = {"x": (1, 3, 4, 4), "w": (2, 3, 3, 3)}
    fed = {name: RNG.standard_normal(shape, dtype=np.float32) for name, shape in inputs.items()}
    made = []
    for _ in range(2):
        net = Net([Convolution("x", "w", name="c"), ReLU("c", name="r"), Sigmoid("r", name="s")], inputs)
        with pytest.warns(
            HostFallback, match=r"^c \(Convolution\) runs by its numpy reference: .*w is not a constant"
        ):
            made.append(net.compile())
        assert [s.layer for s in made[-1].steps] == ["c", "s"]
        np.testing.assert_allclose(net(**fed), net.forward(**fed)["s"], rtol=1e-5, atol=1e-6)
        with net.compile().session() as session:
            wider = {"x": (2, 3, 5, 4)}
            with pytest.warns(HostFallback):
                session.prepare(wider | {"w": (2, 3, 3, 3)})
            again = fed | {"x": RNG.standard_normal(wider["x"], dtype=np.float32)}
            np.testing.assert_allclose(
                session.run(again)["s"], net.forward(**again)["s"], rtol=1e-5, atol=1e-6
            )
    assert made[0].key == made[1].key and made[1].constants == made[0].constants


def test_debug_shows_the_plan(capsys, monkeypatch):
    monkeypatch.setenv("FBNET_DEBUG", "1")
    net = small(min=0.0625)
    net.compile()
    assert capsys.readouterr().err.startswith("plan for cpu (")
    net.compile()
    assert capsys.readouterr().err == ""


def test_a_plan_is_found_quickly():
    """`net(x)` asks for its plan at every call."""
    net = small(min=0.03125)
    net.compile()
    start = time.perf_counter()
    for _ in range(200):
        net.compile()
    assert (time.perf_counter() - start) / 200 < 1e-3  # seconds; some 20 microseconds on an idle machine
