"""Integer nets on cuda: to the reference's bit, every layer by a kernel; weights in fp16. Tiny, for the simulator."""

import numpy as np
from fbnet import Net
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.quantize import Dequantize, Quantize, Requantize, Table
from fbnet.layers.quantized import (
    QuantizedConvolution,
    QuantizedEltwise,
    QuantizedInnerProduct,
    QuantizedPooling,
)

RNG = np.random.default_rng(0)


def weights(m, *rest):
    """w, b, multiplier and slope: results fill int8's range, and a little more."""
    w = RNG.integers(-127, 128, (m, *rest), np.int8)
    factors = RNG.uniform(0.3, 1, m) / (74 * np.prod(rest) ** 0.5)
    slope = RNG.uniform(0.1, 0.5, m).astype(np.float32)
    return [w, RNG.integers(-9000, 9000, m, np.int32), factors.astype(np.float32), slope]


def test_an_integer_net():
    kept, (w, b, factors, slope) = dict(scale=0.1, zero=5), weights(3, 1, 3, 3)
    gate = RNG.uniform([[0.2], [60], [-99]], [[0.8], [90], [9]], (3, 3)).astype(np.float32)
    layers = [
        Quantize("x", name="q", scale=(0.02,), zero=(5,)),
        QuantizedConvolution("q", *weights(3, 3, 3, 3)[:3], name="first", x_zero=5, pad=(1, 1, 1, 1), **kept),
        # the residual, the slope and the gate, of two groups, every second place
        QuantizedPooling("first", name="half", kernel=(2, 2), stride=(2, 2), x_zero=5, multiplier=0.9, **kept),
        QuantizedConvolution(
            "first", w, b, factors / 100, slope, "half", gate, name="second", group=3, stride=(2, 2), pad=(1, 1, 0, 0),
            x_zero=5, residual_zero=5, residual_multiplier=0.0037, **kept,
        ),
        Requantize("half", name="steps", x_zero=5, multiplier=0.8, scale=0.125, zero=-3),
        QuantizedEltwise(
            "second", "steps", "half", name="sum", x_zero=(5, -3, 5), multiplier=(0.7, 0.4, 1.3), **kept
        ),
        Table("sum", RNG.permutation(np.arange(-128, 128)).astype(np.int8), name="table", scale=0.1, zero=0),
        QuantizedPooling("table", name="mean", method="average", global_pooling=True, multiplier=1.9, **kept),
        QuantizedInnerProduct("mean", *weights(7, 3), name="fc", x_zero=5, to="fp32", scale=1.0),
        Dequantize("mean", name="real", scale=(0.1, 0.2, 0.4), zero=(5, 6, 7)),
    ]  # fmt: skip
    named = [layer.name for layer in layers]
    net = Net(layers, {"x": (2, 3, 5, 7)}, outputs=named, name="integers")
    x = RNG.standard_normal((2, 3, 5, 7), dtype=np.float32)
    x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    plan = plan_as_written(net, devices["cuda"], "fp32", 1, {"x": x.shape})
    assert {step.kernel.split("/")[1] for step in plan.steps} == {"int8"}
    wanted = net.forward(x=x)
    with plan.session() as session:
        found = session.run({"x": x})
    for name in named:
        assert len(np.unique(wanted[name])) > 5, name
        np.testing.assert_array_equal(found[name], wanted[name], name)


def test_weights_in_halves():
    layer = InnerProduct("x", RNG.standard_normal((5, 13), dtype=np.float32), None, name="y")
    net = Net([layer], {"x": (2, 13)}).stored_as("fp16")
    x = RNG.standard_normal((2, 13), dtype=np.float32)
    plan = plan_as_written(net, devices["cuda"], "fp32", 1, {"x": x.shape}, "cuda/fp32/InnerProduct/rows")
    assert [c.dtype for c in plan.constants if not isinstance(c, str)] == [np.float16]
    with plan.session() as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], net.forward(x=x)["y"], 1e-5, 1e-6)
