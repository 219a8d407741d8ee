import time

import numpy as np
import pytest
from fbnet import ConversionError, InputError, Net
from fbnet.engine.errors import RegistryError
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim
from fbnet.tools import race as module
from fbnet.tools.race import Lane, Race, crowded_by_others, geometric_mean, interleaved, race

pytest.importorskip("onnx")
X = {"x": np.ones((2, 3), np.float32)}


@pytest.fixture
def net():
    return Net([layers["Power"]("x", name="y", scale=2.0)], inputs={"x": (Dim("N", 2), 3)})


@pytest.fixture
def engines(monkeypatch):
    """engines(name=run or error) puts engines of our own into the place of the real ones."""

    def use(**given):
        def load(name, model, threads, folder):
            assert model.path.is_file() and model.single.is_file() and folder.is_dir()
            if isinstance(given[name], Exception):
                raise given[name]
            return "9.9", given[name]

        monkeypatch.setattr(module, "load", load)
        monkeypatch.setattr(module, "peers", given)

    return use


def test_a_race(net, engines):
    def slow(inputs):
        time.sleep(0.002)
        return {"y": 2 * inputs["x"]}

    def broken(inputs):
        raise RuntimeError("broken\nat once")

    engines(
        slow=slow,
        wrong=lambda inputs: {"y": 3 * inputs["x"]},
        broken=broken,
        none=ConversionError("none: not installed"),
    )
    found = race(net, ["slow", "wrong", "broken", "none"], {"x": (4, 3)}, rounds=4, version="1.2")
    assert [lane.name for lane in found.peers] == ["slow", "wrong"]
    assert found.missing == {
        "none": "none: not installed",
        "broken": "broken 9.9 cannot run it: broken at once",
    }
    good, wrong = found.peers
    assert good.agrees and good.error < 1e-6 and not wrong.agrees and wrong.error == pytest.approx(0.5)
    assert found.shapes == {"x": (4, 3)} and [len(lane.seconds) for lane in (found.ours, good, wrong)] == [
        4,
        4,
        4,
    ]
    assert good.least_ms >= 2 and good.least_ms <= good.median_ms
    assert (
        found.ratio == good.median_ms / found.ours.median_ms > 1
    )  # one that computes something else wins nothing
    described = found.described()
    assert [e["name"] for e in described["engines"]] == ["fbnet", "slow", "wrong"]
    assert described["engines"][0]["version"] == "1.2" and described["engines"][2]["agrees"] is False


def test_alone(net):
    found = race(net, [], {}, rounds=1)
    assert found.ratio is None and found.peers == [] and len(found.ours.seconds) == 1


def test_a_peer_that_nobody_knows(net):
    with pytest.raises(RegistryError, match="Did you mean 'onnxruntime'"):
        race(net, ["onnxruntim"], {})


def test_rounds_take_turns():
    calls = []
    engines = {name: lambda inputs, name=name: calls.append(name) for name in "abc"}
    times = interleaved(engines, X, rounds=4, budget_s=60)
    assert "".join(calls) == "abc" * module.WARM + "abc" + "bca" + "cab" + "abc"
    assert all(len(seconds) == 4 for seconds in times.values())


def test_a_budget_ends_it_after_three_rounds():
    assert len(interleaved({"a": lambda inputs: None}, X, rounds=50, budget_s=0)["a"]) == 3


def test_with_several_threads_each_wakes_its_own(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "PAUSE", 0.001)
    interleaved({"a": calls.append}, X, rounds=3, budget_s=60, crowded=True)
    assert len(calls) == module.WARM + 2 * 3


def test_no_rounds():
    with pytest.raises(InputError, match="at least one round"):
        interleaved({}, X, rounds=0, budget_s=1)


def test_the_processor_time_of_sleep_is_not_a_cores():
    times = interleaved({"a": lambda inputs: time.sleep(0.01)}, X, rounds=3, budget_s=60)
    asleep = Lane("fbnet", seconds=[wall for wall, _ in times["a"]], cpu_s=[cpu for _, cpu in times["a"]])
    assert asleep.cores < 0.5
    assert crowded_by_others([Race("net", {}, 1, asleep, [], {})]) == asleep.cores
    assert (
        crowded_by_others([Race("net", {}, 2, asleep, [], {})]) is None
    )  # two threads may well wait for each other
    busy = Lane("fbnet", seconds=[1.0, 1.0], cpu_s=[1.0, 1.0])
    assert crowded_by_others([Race("net", {}, 1, busy, [], {})]) is None


def test_geometric_mean():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1) and geometric_mean([3.0]) == pytest.approx(3)
