"""How many threads a layer is worth."""

import numpy as np
from fbnet import Net
from fbnet.engine.device import Device, devices
from fbnet.engine.share import GRAIN, WAKE, Shares
from fbnet.layers.activation import ReLU


class Slow(Device):
    """A device on which a byte takes a nanosecond."""

    def seconds(self, macs, nbytes):
        return nbytes * 1e-9


def shares_of(sizes, threads, generous=False):
    """The threads of one ReLU after the other, of so many microseconds each on Slow."""
    layers = [ReLU(f"x{i}", name=f"y{i}") for i in range(len(sizes))]
    net = Net(layers, {f"x{i}": (int(us * 125),) for i, us in enumerate(sizes)})  # 4 bytes in, 4 out
    shares = Shares(net, Slow(), net.specs(), threads, generous)
    return [shares.of(layer) for layer in net.layers]


def test_a_small_layer_stays_on_one_thread():
    grain = GRAIN * 1e6
    assert shares_of([1000, grain, 2.2 * grain, 3.3 * grain], 4) == [4, 1, 2, 3]


def test_a_small_net_stays_on_one_thread():
    saved = WAKE * 1e6
    assert shares_of([1.8 * saved], 2) == [1]
    assert shares_of([2.2 * saved], 2) == [2]


def test_all_threads_where_sharing_itself_is_tested():
    assert shares_of([1, 2, 1000], 3, generous=True) == [3, 3, 3]


def test_a_plan_notes_it():
    x = np.zeros((1, 8), np.float32)
    small = Net([ReLU("x", name="y")], {"x": x.shape}).compile(threads=2)
    assert [step.threads for step in small.steps] == [1]
    large = Net([ReLU("x", name="y")], {"x": (1, 10_000_000)}).compile(threads=2)
    assert [step.threads for step in large.steps] == [2]
    assert devices["cpu"].seconds(0, 10**9) > devices["cpu"].seconds(0, 10**6) > 0
