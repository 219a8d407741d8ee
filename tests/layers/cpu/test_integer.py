"""Integer layers give the reference's bits whatever the processor: cases of the table, and what rounds, packs
and widens on each of them.
"""

import numpy as np
import pytest
from fbnet.engine.check import check_layer
from fbnet.engine.compile import compile_net
from fbnet.engine.device import devices
from fbnet.engine.net import Net
from fbnet.layers.concat import Concat
from fbnet.layers.cpu.quantized_winograd import largest_sum
from fbnet.layers.layout import Reorder
from fbnet.layers.quantize import Dequantize, Quantize, Requantize
from fbnet.layers.quantized import QuantizedConvolution, QuantizedEltwise, QuantizedPooling
from fbnet.layers.resize import Resize

RNG = np.random.default_rng(0)


def whole(*shape, low=-128, high=127, dtype=np.int8):
    return RNG.integers(low, high + 1, shape).astype(dtype)


LOWER = (
    "x86-64-v2",
    "x86-64-v3",
)  # between them every case; on the host's own level the table's test does them all


def test_cases_to_the_bit(cases, level):
    if level.name not in LOWER:
        pytest.skip(f"{level} has all cases in test_kernels")
    for case in [case for case in cases if case.exact][3 * LOWER.index(level.name) :: 6]:
        checks = check_layer(case.layer, *case.arrays(), device_names=["cpu"], tolerance=0)
        assert checks and all(check.error == 0 for check in checks), case


def test_halves_are_rounded_to_even(level):
    x = np.concatenate([np.arange(-140, 140, 0.5), [np.nan, np.inf, -np.inf, 1e9, -1e9, -0.0]]).astype(
        np.float32
    )
    q = Quantize(scale=(1.0,), zero=(3,))
    assert check_layer(q, x, device_names=["cpu"], tolerance=0)
    image = np.resize(x, (1, 2 * devices["cpu"].lanes, 5, 41))
    checks = check_layer(q, image, device_names=["cpu"], tolerance=0)
    assert {"quantize", "quantize_into_blocks"} <= {check.kernel.split("/")[-1] for check in checks}


def network():
    """int8 from end to end: nothing is brought into another order but the picture."""
    w, one, few = whole(32, 1, 3, 3, low=-127), whole(48, 32, 1, 1, low=-127), whole(32, 3, 3, 3, low=-127)
    kept = dict(x_zero=-7, zero=-7)

    def bias(m):
        return whole(m, low=-999, high=999, dtype=np.int32)

    def scales(m, products):
        return RNG.uniform(0.5, 1.5, m).astype(np.float32) / np.float32(90 * products**0.5)

    return [
        Quantize("x", name="q", scale=(0.02,), zero=(-7,)),
        QuantizedConvolution("q", few, bias(32), scales(32, 27), name="stem", scale=0.1, pad=(1, 1, 1, 1), **kept),
        QuantizedConvolution(
            "stem", w, bias(32), scales(32, 9), name="dw", scale=0.1, group=32, pad=(1, 1, 1, 1), low=-7, **kept
        ),
        QuantizedConvolution("dw", one, bias(48), scales(48, 32), None, None, name="pw", scale=0.1, **kept),
        QuantizedPooling("pw", name="pool", scale=0.1, kernel=(2, 2), stride=(2, 2), **kept),
        Resize("pool", name="up", scale=(2, 2)),
        QuantizedEltwise(
            "up", "pw", name="sum", scale=0.2, zero=4, x_zero=(-7, -7), multiplier=(0.5, 0.5)
        ),
        Requantize("dw", name="again", x_zero=-7, multiplier=0.5, scale=0.2, zero=4),
        Concat("sum", "again", name="both"),
        QuantizedPooling(
            "both", name="mean", scale=0.2, x_zero=4, zero=4, method="average", global_pooling=True
        ),
        Dequantize("mean", name="y", scale=(0.2,), zero=(4,)),
    ]  # fmt: skip


def test_a_network_stays_in_blocks(some_level):
    net = Net(network(), {"x": (2, 3, 14, 18)})
    x = RNG.standard_normal((2, 3, 14, 18)).astype(np.float32)
    for threads in (1, 3):
        plan = compile_net(net, threads=threads, shapes={"x": x.shape})
        kinds = [step.kernel.split("/")[2] for step in plan.steps]
        assert "Reorder" not in kinds and "reference" not in {step.kernel for step in plan.steps}
        with plan.session() as session:
            np.testing.assert_array_equal(session.run({"x": x})["y"], net.forward(x=x)["y"])


@pytest.mark.parametrize("dtype", ["bool", "int16", "int64"])
def test_numbers_of_any_size_are_brought_into_blocks(dtype, level):
    x = RNG.integers(0, 2 if dtype == "bool" else 30000, (2, 19, 5, 7)).astype(dtype)
    checks = check_layer(Reorder(), x, device_names=["cpu"], tolerance=0)
    assert {"block", "unblock"} <= {check.kernel.split("/")[-1] for check in checks}


WINOGRAD = [
    ((2, 37, 14, 18), (33, 37, 3, 3), dict(x_zero=7, slope=True, residual=True)),
    ((1, 16, 13, 15), (16, 16, 3, 3), dict(x_zero=-128, to="int32", pad=(2, 1, 0, 1))),
    ((1, 70, 14, 14), (16, 70, 3, 3), dict(x_zero=127, to="fp32", wide=True)),
]


@pytest.mark.parametrize("x, w, flags", WINOGRAD, ids=str)
def test_winograd_in_whole_numbers_is_exact(x, w, flags, some_level):
    """Numbers of the whole range, and sums as large as the method bears."""
    flags = dict(flags)
    slope, residual, wide = (flags.pop(name, False) for name in ("slope", "residual", "wide"))
    layer = QuantizedConvolution(scale=1.0, zero=-3, **{"pad": (1, 1, 1, 1), **flags})
    weights = whole(*w, low=-255, high=255, dtype=np.int16) if wide else whole(*w)
    given = [whole(*x), weights, whole(w[0], low=-9000, high=9000, dtype=np.int32)]
    given.append(RNG.uniform(0.5, 1.5, w[0]).astype(np.float32) * np.float32(0.01 / w[1] ** 0.5))
    if slope:
        given.append(RNG.uniform(0.1, 0.5, w[0]).astype(np.float32))
    if residual:
        layer = layer.replace(residual_zero=4, residual_multiplier=0.3)
        given.append(whole(x[0], w[0], *x[2:]))
    checks = check_layer(layer, *given, device_names=["cpu"], tolerance=0)
    assert {"winograd4", "sums"} == {check.kernel.split("/")[-1] for check in checks}


def test_winograd_at_its_limit():
    """Just below 2**25 a sum is exact; what could be more is left to the other kernel."""
    lanes = devices["cpu"].lanes
    x, w = np.full((1, 256, 16, 16), -128, np.int8), np.full((lanes, 256, 3, 3), 57, np.int8)
    w[1] = -w[0]
    w[2, ::2] = 113
    w[2, 1::2] = 0
    bias, multiplier = np.zeros(lanes, np.int32), np.ones(lanes, np.float32)
    layer = QuantizedConvolution(scale=1.0, x_zero=127, pad=(1, 1, 1, 1), to="int32")
    assert 2**25 - 2**17 < 255 * 57 * 256 * 9 < 2**25
    for weights, kernels in ((w, {"sums", "winograd4"}), (w + np.int8(1), {"sums"})):
        checks = check_layer(layer, x, weights, bias, multiplier, device_names=["cpu"], tolerance=0)
        assert {check.kernel.split("/")[-1] for check in checks} == kernels
    for x_zero in (-128, -1, 0, 127):
        few = whole(2, 3, 3, 3)
        xs = np.where(few > 0, np.int8(127), np.int8(-128)), np.where(few > 0, np.int8(-128), np.int8(127))
        sums = [((x.astype(int) - x_zero) * few).sum((1, 2, 3)) for x in xs]
        assert largest_sum(few, x_zero) == np.abs(sums).max()
