"""Channels that change places in blocks: against the reference on every level, and a chain that reorders nothing."""

import numpy as np
import pytest
from fbnet import Net, check_layer
from fbnet.engine.compile import compile_net
from fbnet.engine.device import devices
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.conv import Convolution
from fbnet.layers.reshape import ShuffleChannel

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def moved(layer, *arrays) -> None:
    checks = check_layer(layer, *arrays, device_names=["cpu"])
    assert any(check.kernel.endswith("/move_channels") for check in checks)


def test_shuffles(level):
    for channels, group in ((35, 5), (116, 2), (240, 3), (18, 18)):  # up to 16 blocks of x in one of y
        moved(ShuffleChannel(group=group), array(2, channels, 3, 5))


@pytest.mark.parametrize("n", [1, 2])
def test_parts_that_do_not_fill_their_blocks(level, n):
    moved(Concat(), array(n, 58, 3, 5), array(n, 5, 3, 5), array(n, 50, 3, 5))
    moved(Slice(points=(58, 60), outputs=("a", "b", "c")), array(n, 116, 3, 5))


@pytest.mark.parametrize("n", [1, 3])
def test_a_unit_of_shufflenet_reorders_nothing(n):
    """Two branches joined, shuffled and cut, one of them used as it is: with 29 channels each, which fill no block."""
    conv = lambda x, name: Convolution(x, array(29, 29, 1, 1) / 5, array(29), name=name)  # noqa: E731
    chain = [
        conv("x", "a"), conv("a", "b"), Concat("a", "b", name="ab"), ShuffleChannel("ab", group=2, name="s"),
        Slice("s", outputs=("left", "right"), name="cut"), conv("right", "c"), Concat("left", "c", name="lc"),
        ShuffleChannel("lc", group=2, name="t"), Slice("t", outputs=("p", "q"), name="again"), conv("p", "y"),
    ]  # fmt: skip
    net = Net(chain, {"x": (n, 29, 5, 6)}, outputs=("y", "q"))
    x = array(n, 29, 5, 6)
    wanted = net.forward(x=x)
    plan = compile_net(net, threads=2, tune=False)
    with plan.session() as session:
        for _ in range(2):
            got = session.run({"x": x})
            for name, numbers in wanted.items():
                np.testing.assert_allclose(got[name], numbers, rtol=1e-4, atol=1e-5)
    if devices["cpu"].lanes > 4:
        reorders = [step for step in plan.steps if "/Reorder/" in step.kernel]
        assert len(reorders) == 3  # of what comes in, and of the two that go out
        moves = [step.layer for step in plan.steps if step.kernel.endswith("/move_channels")]
        # of a single image the first part of each whole lies in it, unless it lies in another already
        assert len(moves) == (10 if n > 1 else 7)
