"""Products of matrices on the cpu: on whole numbers, which are exact, with columns and rows that fill no tile."""

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.layers.cpu.tiling import Tile, best_tile, padded_tile
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.matmul import MatMul


def whole(*shape):
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(np.float32)


def run(layer, fed, threads, kernel):
    net = Net([layer.replace(name="y")], {name: array.shape for name, array in fed.items()})
    shapes = {name: array.shape for name, array in fed.items()}
    plan = plan_as_written(net, devices["cpu"], "fp32", threads, shapes, kernel)
    assert {step.kernel for step in plan.steps} == {kernel}
    with plan.session() as session:
        session.run(fed)
        return session.run(fed)["y"]


# m = 29 is tiles of several rows and a rest, n = 75 panels of several vectors and a rest
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((29, 70), (70, 75)),
        ((2, 3, 29, 5), (3, 5, 75)),  # fewer k than a vector has numbers; one of b's for two of a's
        ((29, 33), (4, 33, 75)),
        ((3, 29, 64), (3, 64, 96)),
        ((2, 1, 40), (2, 40, 3)),
        ((0, 3, 4), (0, 4, 5)),
    ],
)
def test_matmul(a, b, transposed, threads):
    a, b = whole(*a), whole(*b)
    given = np.ascontiguousarray(np.swapaxes(b, -1, -2)) if transposed else b
    y = run(
        MatMul("a", "b", transpose_b=transposed), {"a": a, "b": given}, threads, "cpu/fp32/MatMul/product"
    )
    np.testing.assert_array_equal(y, a @ b)


@pytest.mark.parametrize(("rows", "n"), [(29, 75), (197, 10), (8, 33)])
def test_inner_product(rows, n):
    x, w, b = whole(2, rows, 37), whole(n, 37), whole(n)
    for threads in (1, 3):
        layer = InnerProduct("x", w, b, axis=-1, activation="ReLU")
        y = run(layer, {"x": x}, threads, "cpu/fp32/InnerProduct/product")
        np.testing.assert_array_equal(y, np.maximum(x @ w.T + b, 0))


def test_tiles_that_stick_out():
    """13 blocks are covered better by tiles of two vectors than by those of one that divide them."""
    assert best_tile(197, 13, 32).vectors == 1 and padded_tile(197, 13, 32).vectors > 1
    for registers in (16, 32):
        for places, blocks in ((1, 1), (3, 2), (197, 48)):
            tile = padded_tile(places, blocks, registers)
            assert isinstance(tile, Tile) and tile.rows <= places
            assert tile.rows * tile.vectors + tile.vectors < registers
