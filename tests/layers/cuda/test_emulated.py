"""Kernels in CUDA C++ on the processor, by g++ or clang++: their numbers, their bits, and that it finds faults."""

import shutil

import numpy as np
import pytest
from fbnet import CompileError, DeviceError, Net
from fbnet.engine.check import check_layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.lower import call_of
from fbnet.engine.tensor import Spec
from fbnet.layers.conv import Convolution
from fbnet.layers.cuda import emulation, native, tune
from fbnet.layers.cuda.card import simulating
from fbnet.layers.pool import Pooling
from fbnet.layers.quantized import QuantizedConvolution, QuantizedInnerProduct

COMPILER = next((name for name in ("g++", "clang++") if shutil.which(name)), None)
CUDA = devices["cuda"]
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    if not simulating():
        pytest.skip("a GPU runs them itself: test_gemm.py")
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("FBNET_CXX", COMPILER)
    CUDA.load_kernels()


def plan_by(net, kernel):
    return plan_as_written(
        net, CUDA, "fp32", 1, {k: v.shape for k, v in net.inputs.items()}, f"cuda/{kernel}"
    )


# x's shape, w's shape, attributes, number of the tile
PRODUCTS = {
    "pointwise": ((3, 20, 2, 6), (33, 20, 1, 1), {}, 3),
    "tapwise, two groups": ((1, 64, 5, 7), (70, 32, 3, 3), {"group": 2, "pad": (0, 1, 2, 1), "dilation": (1, 2)}, 2),
    "any": ((2, 3, 11, 9), (16, 3, 5, 5), {"stride": (2, 3), "pad": (2, 2, 2, 2)}, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_on_tensor_cores(name):
    """In one part and in several; and with weights in fp16, to which two products are as good as three to others."""
    from fbnet.layers.cuda import gemm

    shape, weights, attributes, number = PRODUCTS[name]
    w, b = RNG.standard_normal(weights, np.float32), RNG.standard_normal(weights[0], np.float32)
    w.flat[:2] = 3e-6, -6e4  # a subnormal number in fp16, and nearly its largest
    plain = Net([Convolution("x", w, b, name="y", **attributes)], {"x": shape})
    size = plain.specs()["y"].shape
    layer = Convolution("x", w, b, "r", name="y", activation="ReLU", activation_args=(0.1,), **attributes)
    fed = {"x": RNG.standard_normal(shape, np.float32), "r": RNG.standard_normal(size, np.float32)}
    for halves in (False, True):
        net = Net([layer], {"x": shape, "r": size})
        net = net.stored_as("fp16") if halves else net
        problem = gemm.problem_of(call_of(net.layers[0], net, net.specs(), 1, CUDA))
        tile = gemm.mma_tiles(problem)[number]
        assert name.startswith(tile.name.split("_")[-1]) or name == "any"
        tile = tile.of_halves() if halves else tile
        for splits in (1, 2) if halves else (3,):
            with tune.only(tile, splits):
                plan = plan_by(net, "fp32/Convolution/gemm_mma")
            kinds = {c.dtype for c in plan.constants if not isinstance(c, str) and c.ndim == 3}
            assert kinds == {np.dtype(np.float16 if halves else np.float32)}
            with plan.session() as session:
                got, wanted = session.run(fed)["y"], net.forward(**fed)["y"]
            assert np.abs(got - wanted).max() < 2e-6 * np.abs(wanted).max(), (tile.name, splits)


def weighted(m, *rest):
    """w, b, multiplier and slope: results fill int8's range, and a little more."""
    factors = RNG.uniform(0.3, 1, m) / (74 * np.prod(rest) ** 0.5)
    w, b = RNG.integers(-127, 128, (m, *rest), np.int8), RNG.integers(-9000, 9000, m, np.int32)
    return [w, b, factors.astype(np.float32), RNG.uniform(0.1, 0.5, m).astype(np.float32)]


# x's shape, w's, attributes: channels that do and do not fill words, padding that must count as nothing
DOTS = {
    "words": ((2, 8, 5, 7), (35, 8, 3, 3), dict(pad=(1, 1, 1, 1), to="int8")),
    "odd": ((2, 7, 6, 5), (9, 7, 2, 3), dict(pad=(0, 2, 1, 0), stride=(2, 1), dilation=(1, 2), to="fp32")),
    "groups": ((1, 6, 9, 4), (10, 3, 1, 1), dict(group=2, to="int8")),
}


@pytest.mark.parametrize("name", DOTS)
def test_a_product_of_bytes_has_the_references_bits(name, monkeypatch):
    from fbnet.layers.cuda import dot

    monkeypatch.setattr(dot, "tile_of", lambda problem: dot.TILES[name == "odd"])
    shape, weights, attributes = DOTS[name]
    given, gate, part = weighted(*weights), None, 1.0
    if name != "words":  # what a gate reads are some tenths
        gate = RNG.uniform([[0.2], [60], [-99]], [[0.8], [90], [9]], (3, weights[0])).astype(np.float32)
        part = 0.01
    given[2] *= np.float32(part)
    attributes = dict(x_zero=-9, scale=0.1, zero=3, low=-100, **attributes)
    plain = Net([QuantizedConvolution("x", *given[:3], name="y", **attributes)], {"x": Spec(shape, "int8")})
    size = plain.specs()["y"].shape
    attributes |= dict(residual_zero=-4, residual_multiplier=0.21 * part)
    layer = QuantizedConvolution("x", *given, "r", gate, name="y", **attributes)
    fed = {name: RNG.integers(-128, 128, s, np.int8) for name, s in (("x", shape), ("r", size))}
    net = Net([layer], {name: Spec(array.shape, "int8") for name, array in fed.items()})
    with plan_by(net, "int8/QuantizedConvolution/dot").session() as session:
        got, wanted = session.run(fed)["y"], net.forward(**fed)["y"]
    assert len(np.unique(wanted)) > 100
    np.testing.assert_array_equal(got, wanted)


def test_an_inner_product_of_bytes():
    x, layer = (
        RNG.integers(-128, 128, (5, 37), np.int8),
        QuantizedInnerProduct(x_zero=7, to="int32", scale=1.0),
    )
    w, *given = weighted(11, 37)[:3]
    for weights, wanted in ((w, {"dot", "sums"}), (w.astype(np.int16), {"sums"})):
        checks = check_layer(layer, x, weights, *given, device_names=["cuda"], tolerance=0.0)
        assert {c.kernel.split("/")[-1] for c in checks} == wanted


def test_a_few_results_in_a_row():
    """depthwise.cu and pool.cu."""
    x, w = RNG.standard_normal((2, 5, 7, 9), np.float32), RNG.standard_normal((5, 1, 3, 3), np.float32)
    for layer, given, name in (
        (Convolution(group=5, pad=(1, 1, 1, 1), stride=(1, 2)), (x, w, w[:, 0, 0, 0]), "depthwise_taps"),
        (Pooling(kernel=(3, 2), stride=(2, 1), pad=(1, 1, 0, 1)), (x,), "pool_taps"),
        (Pooling(kernel=(3, 2), stride=(2, 1), method="average"), (x,), "pool_taps"),
    ):
        checks = check_layer(layer, *given, device_names=["cuda"])
        assert name in [c.kernel.split("/")[-1] for c in checks]


FAULTS = {
    "a barrier that is missing": ("keep(0);\n    __syncthreads();", "keep(0);", None),
    "threads that do not meet": ("keep(0);\n    __s", "keep(0);\n    if (me) __s", "^y: threads wait for others"),
    "memory that is not asked for": ("2 * sizeof(Weights)", "3 * sizeof(Weights)", "^y: a block writes past its sha"),
    "what does not compile": ("int x_next", "integer x_next", "^y.*: kernel dot does not compile by .*integer"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows(fault, monkeypatch, tmp_path):
    right, wrong, message = FAULTS[fault]
    text_of = native.text_of
    assert text_of(["dot.cu"]).count(right.encode()) == 1
    monkeypatch.setattr(
        native, "text_of", lambda files: text_of(files).replace(right.encode(), wrong.encode())
    )
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))
    x, attributes = RNG.integers(-128, 128, (1, 40, 3, 5), np.int8), dict(scale=0.1, x_zero=3)
    net = Net(
        [QuantizedConvolution("x", *weighted(8, 40, 1, 1)[:3], name="y", **attributes)],
        {"x": Spec(x.shape, "int8")},
    )

    def run():
        with plan_by(net, "int8/QuantizedConvolution/dot").session() as session:
            return session.run({"x": x})["y"]

    if message is None:
        assert (run() != net.forward(x=x)["y"]).any()
    else:
        with pytest.raises((DeviceError, CompileError), match=message):
            run()


def test_a_copy_that_nobody_waited_for_shows(monkeypatch, tmp_path):
    from fbnet.layers.cuda import gemm

    text_of = native.text_of
    monkeypatch.setattr(
        native, "text_of", lambda files: text_of(files).replace(b"<STAGES - 2>", b"<STAGES - 1>")
    )
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))
    x, w = RNG.standard_normal((1, 64, 2, 2), np.float32), RNG.standard_normal((8, 64, 1, 1), np.float32)
    net = Net([Convolution("x", w, name="y")], {"x": x.shape})
    with tune.only(gemm.MMA_TILES["pointwise"][3], 1):
        plan = plan_by(net, "fp32/Convolution/gemm_mma")
    with plan.session() as session:
        assert not np.allclose(session.run({"x": x})["y"], net.forward(x=x)["y"], rtol=0, atol=1e-3)


def test_no_such_compiler(monkeypatch):
    monkeypatch.setenv("FBNET_CXX", "no-such-compiler")
    with pytest.raises(CompileError, match=r"^FBNET_CXX is 'no-such-compiler', which does not run"):
        emulation.version(emulation.compiler())


def test_nvidias_compiler_takes_them():
    """Not all variants, which take a minute: each file, and each way to read x and w."""
    from fbnet.layers.cuda import dot, gemm
    from fbnet.layers.cuda.depthwise import depthwise_taps
    from fbnet.layers.cuda.pool import pool_taps

    if native.library() is None:
        pytest.skip("no NVRTC")
    taps = dict(KH=3, KW=3, SH=2, SW=2)
    tile = dot.TILES[0]
    sizes = dict(BM=tile.bm, BN=tile.bn, TM=tile.tm, TN=tile.tn)
    for function, capability in (
        (gemm.MMA_TILES["pointwise"][4].function, (8, 0)),
        (gemm.MMA_TILES["tapwise"][5].of_halves().function, (9, 0)),
        (native.variant(dot.dot, "dot", TO=0, **sizes), (7, 5)),
        (native.variant(depthwise_taps, "taps", **taps), (7, 5)),
        (native.variant(pool_taps, "taps", AVERAGE=1, **taps), (7, 5)),
    ):
        files, macros = native.source_of(function)
        entry = function.__code__.co_name
        assert (
            native.compiled(entry, native.text_of(("instructions.cu", *files)), macros, capability)[:4]
            == b"\x7fELF"
        )
