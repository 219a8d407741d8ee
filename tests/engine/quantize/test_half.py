"""Weights in fp16 are neighbours of what they were, chosen so that each output channel's sum is kept."""

import numpy as np
import pytest
from fbnet.engine.dtype import dtypes
from fbnet.engine.net import Net
from fbnet.engine.quantize.half import with_sums_kept
from fbnet.engine.tensor import Spec
from fbnet.layers.conv import Convolution, Deconvolution
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.quantized import QuantizedConvolution

RNG = np.random.default_rng(7)


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def sums(layer, w):
    """The sum of the weights of each output channel."""
    if isinstance(layer, Deconvolution):
        return w.reshape(layer.group, -1, *w.shape[1:]).sum((1, 3, 4)).ravel()
    return w.reshape(len(w), -1).sum(1)


LAYERS = {
    "convolution": Convolution("x", array(24, 16, 3, 3)),
    "depthwise": Convolution("x", array(40, 1, 5, 5), group=40),
    "deconvolution": Deconvolution("x", array(24, 5, 4, 4), group=4),
    "inner product": InnerProduct("x", array(30, 200)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_output_channel_keeps_its_sum(name):
    layer = LAYERS[name]
    channels = {"convolution": 16, "depthwise": 40, "deconvolution": 24}.get(name)
    net = Net([layer], {"x": (1, channels, 6, 6) if channels else (1, 200)})
    (w,) = (c.data for c in net.constants.values())
    (stored,) = (c.data for c in net.stored_as("fp16").constants.values())
    nearest = w.astype(np.float16)
    below = np.where(nearest > w, np.nextafter(nearest, np.float16(-np.inf)), nearest)
    above = np.nextafter(below, np.float16(np.inf))
    assert stored.dtype == np.float16 and ((stored == below) | (stored == above)).all()
    assert 0 < (stored != nearest).mean() < 0.15
    exact = w.astype(np.float64)
    lost, before = (np.abs(sums(layer, n.astype(np.float64) - exact)).mean() for n in (stored, nearest))
    assert lost < before / 4


def test_inputs_that_are_all_positive_lose_less():
    """The mean of the inputs, times what a sum of weights has lost, is what a channel is off by."""
    net = Net([Convolution("x", array(64, 96, 1, 1))], {"x": (1, 96, 9, 9)})
    x = np.abs(array(1, 96, 9, 9)) + 1
    plain = net.replace(
        constants={n: c.data.astype(np.float16).astype(np.float32) for n, c in net.constants.items()}
    )
    (wanted,), (kept,), (nearest,) = (n.forward(x=x).values() for n in (net, net.stored_as("fp16"), plain))
    assert np.sqrt(np.square(kept - wanted).mean()) < 0.6 * np.sqrt(np.square(nearest - wanted).mean())


def test_numbers_that_have_no_neighbour():
    """What fp16 holds already stays; also 0, the largest number, and no rows at all."""
    rows = np.array([[1, 0, -0.5, 65504], [0, 0, 0, 0], [65500, 65503, 65503, 1]], np.float32)
    stored = with_sums_kept(rows, dtypes["fp16"])
    np.testing.assert_array_equal(stored[:2], rows[:2])
    assert np.isfinite(stored).all()
    assert with_sums_kept(np.zeros((0, 3), np.float32), dtypes["fp16"]).shape == (0, 3)
    assert with_sums_kept(np.zeros((3, 0), np.float32), dtypes["bf16"]).shape == (3, 0)


def test_what_an_integer_layer_reads_stays_as_it_is():
    """Its gate has two axes, and is no weight: integer layers give the same bits however a net is stored."""
    gate = np.stack([np.full(8, 0.5), np.linspace(20, 60, 8), np.linspace(-3, 3, 8)])
    integers = RNG.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8), np.zeros(8, np.int32)
    layer = QuantizedConvolution(
        "x", *integers, np.full(8, 2e-4, np.float32), None, None, gate.astype(np.float32), scale=0.1
    )
    net = Net([layer], {"x": Spec((2, 4, 9, 9), "int8")})
    x = RNG.integers(-128, 128, (2, 4, 9, 9)).astype(np.int8)
    half = net.stored_as("fp16")
    np.testing.assert_array_equal(half(x), net(x))
    assert all(constant.spec.dtype.name != "fp16" for constant in half.constants.values())
