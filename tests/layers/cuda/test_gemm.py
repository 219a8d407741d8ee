"""The matrix product behind convolutions: every tile, every way to read x, in one part and in several."""

import numpy as np
import pytest
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.lower import call_of
from fbnet.engine.net import Net
from fbnet.layers.conv import Convolution
from fbnet.layers.cuda import tune
from fbnet.layers.cuda.card import simulating

# x's shape, w's shape, attributes: whole tiles and parts of tiles, channels that are and are not whole steps
PROBLEMS = {
    "pointwise": ((2, 32, 6, 6), (40, 32, 1, 1), {}),
    "pointwise odd": ((3, 48, 5, 7), (33, 48, 1, 1), {}),
    "taps": ((2, 128, 9, 11), (70, 128, 3, 3), {"pad": (1, 1, 1, 1)}),
    "few channels": ((1, 3, 33, 31), (16, 3, 7, 7), {"stride": (2, 2), "pad": (3, 3, 3, 3)}),
    "strided": ((2, 64, 15, 13), (130, 64, 1, 1), {"stride": (2, 2)}),
    "groups": ((2, 64, 8, 8), (96, 32, 3, 3), {"group": 2, "pad": (0, 1, 2, 1), "dilation": (1, 2)}),
}
SMALL = {
    "pointwise": ((2, 4, 2, 2), (17, 4, 1, 1), {}),
    "taps": ((1, 7, 3, 4), (3, 7, 3, 3), {"pad": (1, 1, 1, 1)}),
    "groups": ((1, 4, 3, 3), (6, 2, 2, 2), {"group": 2, "pad": (0, 1, 1, 0), "dilation": (1, 2)}),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("kernel", ["gemm", "gemm_mma"])
def test_every_tile_gives_the_references_numbers(kernel, name):
    if simulating() and (kernel == "gemm_mma" or name not in SMALL):
        pytest.skip("the simulator knows numba's kernels only, and is slow")
    from fbnet.layers.cuda import gemm

    shape, weights, attributes = (SMALL if simulating() else PROBLEMS)[name]
    random = np.random.default_rng(0)
    w, b = random.standard_normal(weights, np.float32), random.standard_normal(weights[0], np.float32)
    layer = Convolution("x", w, b, "r", name="y", activation="ReLU", activation_args=(0.1,), **attributes)
    plain = Net([Convolution("x", w, b, name="y", **attributes)], {"x": shape})
    size = plain.specs({"x": shape})["y"].shape
    fed = {"x": random.standard_normal(shape, np.float32), "r": random.standard_normal(size, np.float32)}
    net = Net([layer], {"x": shape, "r": size})
    wanted = net.forward(**fed)["y"]
    shapes = {"x": shape, "r": size}
    cuda = devices["cuda"]
    cuda.load_kernels()
    problem = gemm.problem_of(call_of(net.layers[0], net, net.specs(shapes), 1, cuda))
    tiles = gemm.PLAIN_TILES if kernel == "gemm" else gemm.mma_tiles(problem) + gemm.MMA_TILES["any"]
    for tile in tiles:
        for splits in (1, 2, 3):
            with tune.only(tile, splits):
                plan = plan_as_written(net, cuda, "fp32", 1, shapes, f"cuda/fp32/Convolution/{kernel}")
            with plan.session() as session:
                got = session.run(fed)["y"]
            assert np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max(), (tile.name, splits)
