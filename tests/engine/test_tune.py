"""Kernels chosen by measuring: the fastest wins, once, whatever its score; and within the workspace."""

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.device import devices
from fbnet.engine.kernel import Scratch, Stage, kernel, kernels
from fbnet.engine.layer import Elementwise, layer, layers
from fbnet.engine.progress import listening
from fbnet.engine.tune import Tuner
from fbnet.layers.conv import Convolution


@pytest.fixture
def slow_and_fast():
    """A layer with two kernels: the one with the better score does its work many times over, in much memory."""

    @layer("TestTwice")
    class Twice(Elementwise):
        """y = 2 * x        x: (...) -> y: (...)"""

        def reference(self, x):
            return 2 * x

    def slow(x, y, room):
        for _ in range(40):
            for i in range(x.size):
                y[i] = 2 * x[i] + 0 * room[0]
                room[0] = 0

    def fast(x, y):
        for i in range(x.size):
            y[i] = 2 * x[i]

    def bind(call):
        return Stage(dict(room=Scratch((1 << 20,))), split=())

    kernel(Twice, device="cpu", score=1.5, bind=bind)(slow)
    kernel(Twice, device="cpu", score=1.0)(fast)
    yield Net([Twice("x", name="y")], {"x": (1, 30_011)})
    kernels.discard("cpu/fp32/TestTwice/slow")
    kernels.discard("cpu/fp32/TestTwice/fast")
    layers.discard("TestTwice")


def chosen(plan, step=0) -> str:
    return plan.steps[step].kernel.rsplit("/", 1)[-1]


def test_by_score_and_by_measuring(slow_and_fast):
    net = slow_and_fast
    assert chosen(net.compile(threads=1, tune=False)) == "slow"
    plan = net.compile(threads=1, tune=True)
    assert chosen(plan) == "fast" and plan.notes["y"].startswith("measured ") and "slow" in plan.notes["y"]
    x = np.arange(30_011, dtype=np.float32)[None]
    with plan.session() as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)


def test_it_is_measured_once(slow_and_fast, monkeypatch):
    cpu = devices["cpu"]
    first = slow_and_fast.compile(threads=1, tune=True)
    monkeypatch.setattr(type(cpu), "time_steps", None)  # whoever measures again falls over it
    other = Net(slow_and_fast.layers, slow_and_fast.inputs, name="another net with the same layer")
    assert chosen(other.compile(threads=1, tune=True)) == chosen(first)


def test_within_the_workspace(slow_and_fast):
    plan = slow_and_fast.compile(threads=1, tune=False, max_workspace=1000)
    assert chosen(plan) == "fast" and "slow: it needs 4,194,304 bytes of workspace" in plan.notes["y"]


def test_a_batch_is_computed_as_its_images_are(monkeypatch):
    """Whatever would be the fastest for the batch: each image gets the same answer, bit for bit."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((32, 32, 3, 3), dtype=np.float32) / 17
    net = Net([Convolution("x", w, pad=(1, 1, 1, 1), name="y")], {"x": (1, 32, 28, 28)})
    asked = []

    def time(self, layer, kernel, threads):
        batch = self.specs["x"].shape[0]
        asked.append(batch)
        return float(kernel.name.endswith("winograd4") != (batch == 1))

    monkeypatch.setattr(Tuner, "_time", time)
    one, four = (net.compile(threads=2, tune=True, shapes={"x": (n, 32, 28, 28)}) for n in (1, 4))
    assert set(asked) == {1} and chosen(one, -2) == chosen(four, -2) == "winograd4"
    x = rng.standard_normal((4, 32, 28, 28), dtype=np.float32)
    with one.session() as single, four.session() as batch:
        each = [single.run({"x": x[i : i + 1]})["y"] for i in range(4)]
        np.testing.assert_array_equal(batch.run({"x": x})["y"], np.concatenate(each))


def test_compiling_reports_its_progress(slow_and_fast):
    heard = []
    with listening(lambda *news: heard.append(news)):
        slow_and_fast.compile(threads=1, tune=True, max_workspace=77 << 20)
    assert heard == [("y (TestTwice)", 0, 1)]
