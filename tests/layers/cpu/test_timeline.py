"""What every thread did: all shares of all steps, none at once on one thread, and the answer as ever."""

from itertools import pairwise

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.layer import layers
from fbnet.engine.settings import waiting_for_all_threads

X = np.random.default_rng(0).standard_normal((1, 16, 12, 12), dtype=np.float32)
W = np.random.default_rng(1).standard_normal((16, 16, 3, 3), dtype=np.float32)
NET = Net(
    [
        layers["Convolution"]("x", W, name="a"),
        layers["Sigmoid"]("a", name="b"),
        layers["Softmax"]("b", name="c"),
    ],
    {"x": X.shape},
)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_share_of_every_step(threads):
    cpu = devices["cpu"]
    plan = plan_as_written(NET, cpu, "fp32", threads, {"x": X.shape})
    with waiting_for_all_threads():
        handle = cpu.init(plan)
        cpu.prepare(handle, plan.shapes())
        cpu.set_tensor(handle, "x", X)
        spans = cpu.timeline(handle)
        got = cpu.get_tensor(handle, "c")
        cpu.destroy(handle)
    np.testing.assert_allclose(got, NET.forward(X)["c"], rtol=1e-4, atol=1e-6)
    assert {(s.step, s.share) for s in spans} == {
        (i, share) for i, step in enumerate(plan.steps) for share in range(step.threads)
    }
    assert {s.thread for s in spans} == set(range(threads)) and min(s.start for s in spans) == 0
    assert all(s.thread == 0 for s in spans if s.share == 0), "the caller leads"
    for thread in range(threads):
        own = sorted((s.start, s.end) for s in spans if s.thread == thread)
        assert all(start <= end for start, end in own)
        assert all(before[1] <= after[0] for before, after in pairwise(own))
    for step in range(1, len(plan.steps)):  # no share begins before the whole step before is done
        assert max(s.end for s in spans if s.step == step - 1) <= min(
            s.start for s in spans if s.step == step
        )


def test_steps_on_the_host_are_written_down_too(monkeypatch):
    from fbnet.engine.kernel import kernels

    monkeypatch.setattr(
        kernels, "_entries", {k: v for k, v in kernels._entries.items() if v.layer != "Sigmoid"}
    )
    with pytest.warns(match="runs by its numpy reference"):
        plan = plan_as_written(NET, devices["cpu"], "fp32", 1, {"x": X.shape})
    handle = devices["cpu"].init(plan)
    devices["cpu"].prepare(handle, plan.shapes())
    devices["cpu"].set_tensor(handle, "x", X)
    assert [s.step for s in devices["cpu"].timeline(handle)] == list(range(len(plan.steps)))
    devices["cpu"].destroy(handle)
