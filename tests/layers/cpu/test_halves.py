"""Weights in fp16 and bf16: half the memory, and the numbers of a net whose weights were rounded so."""

import numpy as np
import pytest
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.dtype import dtypes
from fbnet.engine.errors import InputError
from fbnet.engine.net import Net
from fbnet.engine.quantize.half import StaysWide
from fbnet.engine.tensor import Tensor
from fbnet.layers.conv import Convolution, Deconvolution
from fbnet.layers.cpu.target import host
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.recurrent import LSTM
from fbnet.layers.volume import Convolution3D, Deconvolution3D

RNG = np.random.default_rng(5)


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def net_of(layer, *shape):
    return Net([layer], {"x": shape})


AROUND = (1, 1, 1, 1)
NETS = {
    "direct": net_of(Convolution("x", array(40, 37, 3, 3) / 18, array(40), stride=(2, 2), pad=AROUND), 1, 37, 13, 9),
    "first": net_of(Convolution("x", array(24, 3, 3, 3) / 5, array(24)), 1, 3, 9, 9),
    "winograd": net_of(Convolution("x", array(40, 33, 3, 3) / 17, array(40), pad=AROUND), 1, 33, 27, 26),
    "depthwise": net_of(Convolution("x", array(21, 1, 5, 3) / 4, array(21), group=21, stride=(2, 1)), 2, 21, 13, 9),
    "deconvolution": net_of(Deconvolution("x", array(9, 17, 4, 3) / 6, array(17), stride=(2, 3)), 1, 9, 5, 4),
    "one a channel": net_of(Deconvolution("x", array(19, 1, 4, 4) / 4, stride=(2, 2), group=19), 1, 19, 5, 4),
    "volume": net_of(Convolution3D("x", array(5, 3, 2, 3, 3) / 7, array(5)), 1, 3, 4, 5, 6),
    "volume turned": net_of(Deconvolution3D("x", array(4, 3, 2, 3, 3) / 7, array(3)), 1, 4, 3, 3, 4),
    "lstm": net_of(LSTM("x", array(1, 20, 7) / 4, array(1, 20, 5) / 4), 3, 2, 7),
    "product": net_of(InnerProduct("x", array(13, 127) / 11, array(13)), 2, 127),
    "many rows": net_of(InnerProduct("x", array(65, 70) / 8, array(65), axis=2), 1, 9, 70),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_a_net_in_halves_is_the_net_of_its_rounded_weights(name, level_of_halves):
    net = NETS[name]
    x = array(*net.inputs["x"].shape)
    half = net.stored_as("fp16")
    rounded = widened(half)
    wanted = rounded.forward(x=x)
    tolerance = {"winograd": 5e-5}.get(name, 2e-6)  # Winograd's own error
    for out, y in wanted.items():
        scale = np.abs(y).max()
        assert np.array_equal(half.forward(x=x)[out], y)
        fast, wide = run(half, x)[out], run(rounded, x)[out]
        assert np.abs(fast - y).max() <= tolerance * scale
        if name == "winograd":  # filters are transformed in fp32 at each run; in fp32's plan in float64, once
            assert np.abs(fast - wide).max() <= 2e-5 * scale
        else:
            np.testing.assert_array_equal(fast, wide)


def widened(net):
    """The net in fp32 of the numbers that are stored in halves."""
    kinds = {c.spec.dtype.name for c in net.constants.values() if c.spec.ndim > 1}
    assert kinds == {"fp16"}
    return net.replace(constants={n: c.data.astype(np.float32) for n, c in net.constants.items()})


def run(net, x):
    with net.compile(threads=1).session() as session:
        return session.run({"x": x})


@pytest.mark.parametrize("kernel", ["winograd4", "winograd6"])
def test_winograd_of_halves_by_two_threads_has_the_same_bits(kernel, level_of_halves):
    """winograd4 transforms all filters at first here, winograd6 a group when it is needed."""
    half = NETS["winograd"].stored_as("fp16")
    x = array(*half.inputs["x"].shape)
    (wanted,) = half.forward(x=x).values()
    found, name = [], f"cpu/fp32/Convolution/{kernel}"
    for threads in (1, 2):
        plan = plan_as_written(half, devices["cpu"], "fp32", threads, {"x": x.shape}, name)
        assert name in {step.kernel for step in plan.steps}
        with plan.session() as session:
            found += session.run({"x": x}).values()
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - wanted).max() <= 5e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NETS)
def test_packed_weights_take_half_the_memory(name):
    """Biases, which stay fp32, and what fills a vector up, are beside them: these nets are small."""
    net = NETS[name]
    wide, half = net.compile(threads=1), net.compile(dtype="fp16", threads=1)
    if host().halves:
        rest = 8 * sum(c.spec.size for c in net.constants.values() if c.spec.ndim == 1) + 8 * 64
        assert half.peak_bytes - half.arena_bytes <= 0.5 * (wide.peak_bytes - wide.arena_bytes) + rest


def test_bf16_stores_weights_too(tmp_path):
    net = NETS["direct"]
    brief = net.stored_as("bf16")
    brief.save(tmp_path / "m.fbnet")
    import fbnet

    again = fbnet.load(tmp_path / "m.fbnet")
    x = array(*net.inputs["x"].shape)
    (y,), (z,) = net.forward(x=x).values(), again.forward(x=x).values()
    assert 0 < np.abs(y - z).max() < 2**-7 * np.abs(y).max()
    np.testing.assert_allclose(again(x), z, rtol=1e-5, atol=1e-5)


def test_bf16_rounds_to_nearest_halves_to_even():
    torch = pytest.importorskip("torch")
    x = np.concatenate(
        [array(1000), np.array([1 + 2**-8, 1 + 3 * 2**-8, np.inf, -np.inf, 3e38, 0], np.float32)]
    )
    kind = dtypes["bf16"]
    wanted = torch.from_numpy(x).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(kind.dequantize(kind.quantize(x, None), None), wanted)
    assert np.isnan(kind.dequantize(kind.quantize(np.array([np.nan], np.float32), None), None)).all()


def test_a_weight_too_large_for_a_half_stays_wide():
    w = array(4, 4)
    w[0, 0] = 1e5
    net = net_of(InnerProduct("x", w, name="fc"), 1, 4)
    with pytest.warns(StaysWide, match=r"fc\.w stays fp32: 1e\+05 is too large a number for fp16"):
        kept = net.stored_as("fp16")
    assert kept.constants["fc.w"].spec.dtype.name == "fp32"
    with pytest.raises(
        InputError, match="cannot be stored in int8 and computed with in fp32: fp16, bf16 can"
    ):
        net.stored_as("int8")


def test_a_layer_that_computes_too_large_numbers_stays_wide():
    """fp16 ends at 65,504; samples show that the second layer's results come near."""
    layers = [InnerProduct("x", array(8, 4), name="a"), InnerProduct("a", 3e3 * array(8, 8), name="b")]
    layers.append(InnerProduct("b", 1e-5 * array(3, 8), name="c"))
    net = Net(layers, {"x": (1, 4)})
    samples = [10 * array(1, 4) for _ in range(8)]
    largest = max(float(np.abs(net.forward(upto="b", x=x)["b"]).max()) for x in samples)
    assert largest > 33_000
    with pytest.warns(StaysWide) as told:
        kept = net.stored_as("fp16", samples)
    assert [str(w.message).split(":")[0] for w in told] == [f"{kept[n]} stays fp32" for n in "bc"]
    assert f"as large as {largest:.3g}, too near to where fp16 ends" in str(told[0].message)
    assert [kept.constants[f"{n}.w"].spec.dtype.name for n in "abc"] == ["fp16", "fp32", "fp32"]
    assert kept.metadata["wide"]["b"] == pytest.approx(largest, rel=1e-5)


def test_what_layers_see_of_a_narrow_constant():
    narrow = Tensor("w", data=array(3, 2).astype(np.float16))
    wide = narrow.computed
    assert str(wide.spec) == "fp32[3,2]" and wide.narrow is narrow and wide.computed is wide
    assert wide.digest != narrow.digest and np.array_equal(wide.data, narrow.data.astype(np.float32))
