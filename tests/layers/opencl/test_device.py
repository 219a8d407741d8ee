"""The opencl device: nets on it, kernels of one's own, small chips, and its errors."""

import sys
import warnings
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet import CompileError, DeviceError, HostFallback, Net, kernel
from fbnet.engine.check import check_layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.kernel import kernels
from fbnet.engine.tensor import Spec
from fbnet.layers.activation import Sigmoid
from fbnet.layers.conv import Convolution
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.opencl import chip as chips
from fbnet.layers.opencl import source
from fbnet.layers.opencl.activation import expression
from fbnet.layers.opencl.launch import Code
from fbnet.layers.pool import Pooling
from fbnet.layers.quantized import QuantizedConvolution
from fbnet.layers.reshape import Flatten
from fbnet.layers.softmax import Softmax
from fbnet.tools.image import opened

OPENCL = devices["opencl"]
W = np.random.default_rng(0).standard_normal((5, 12), dtype=np.float32)
X = np.random.default_rng(1).standard_normal((2, 3, 4), dtype=np.float32)


def net():
    return Net(
        [Flatten("x", name="f"), InnerProduct("f", W, name="fc"), Sigmoid("fc", name="y")], {"x": ("N", 3, 4)}
    )


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_of_ones_own_has_an_expression_of_ones_own(odd_layer):
    kernel(odd_layer, device="opencl", split=(), bind=lambda call: dict(p=2.0, q=1.0, r=0.0, items=X.size))(
        expression("p * v + q")
    )
    try:
        (check,) = check_layer(odd_layer(), X, device_names=["opencl"])
        assert check.kernel == "opencl/fp32/TestOdd/elementwise"
    finally:
        kernels.discard("opencl/fp32/TestOdd/elementwise")


def test_a_walk_shows_every_layer():
    from fbnet.engine.steps import Steps

    visits = list(Steps(net().compile(device="opencl", shapes={"x": X.shape}), {"x": X}))
    assert [v.name for v in visits] == ["f", "fc", "y"] and max(v.error() for v in visits) < 1e-6


WAYS = [
    "tile_8x4_32", "team_8x16_4x4", "team_8x32_4x16", "team_64x64_4x4", "direct", "strip_4", "strip_16", "depthwise",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_weights_stay_in_halves(way, some_chip):
    if some_chip.simulated and "64" in way:
        pytest.skip("too much for the simulator")
    random = np.random.default_rng(2)
    group = 3 if way.startswith(("strip", "depth")) else 1
    w, x = random.standard_normal((9 // group, 3 // group, 2, 2)), random.standard_normal((1, 3, 3, 21))
    wide = Net([Convolution("x", w.astype(np.float32), name="y", group=group)], {"x": x.shape}).stored_as(
        "fp16"
    )
    OPENCL.load_kernels()
    plan = plan_as_written(wide, OPENCL, "fp32", 1, {"x": x.shape}, f"opencl/fp32/Convolution/{way}")
    (code,) = [Code.read(o)[0] for o in plan.objects]
    assert {p.name: p.dtype for p in code.parameters if p.kind == "array"}["w"] == "float16"
    with plan.session() as session:
        fed = {"x": x.astype(np.float32)}
        close(session.run(fed)["y"], wide.forward(**fed)["y"])


FOUR_AT_ONCE = """#define __opencl_c_integer_dot_product_input_4x8bit
int __attribute__((overloadable)) dot(char4 a, char4 b) {
    const int4 products = convert_int4(a) * convert_int4(b);
    return products.x + products.y + products.z + products.w;
}
"""


@pytest.mark.parametrize("four_at_once", [False, True])
def test_words_of_four_bytes(monkeypatch, four_at_once):
    """With what a device has of cl_khr_integer_dot_product, said in OpenCL C, and without: the same bits."""
    if four_at_once:
        text = source._text
        monkeypatch.setattr(source, "_text", lambda file: FOUR_AT_ONCE * (file == "vectors.cl") + text(file))
    source._compiled.cache_clear()
    random = np.random.default_rng(4)
    w, x = (
        random.integers(-127, 128, (5, 7, 3, 3), np.int8),
        random.integers(-128, 128, (1, 7, 4, 9), np.int8),
    )
    b, factors = random.integers(-999, 999, 5, np.int32), random.uniform(0.001, 0.002, 5).astype(np.float32)
    layer = QuantizedConvolution("x", w, b, factors, name="y", x_zero=-7, scale=0.1, pad=(1, 1, 0, 2))
    net = Net([layer], {"x": Spec(x.shape, "int8")})
    OPENCL.load_kernels()
    plan = plan_as_written(
        net, OPENCL, "fp32", 1, {"x": x.shape}, "opencl/int8/QuantizedConvolution/words_8x16_4x4"
    )
    source._compiled.cache_clear()
    with plan.session() as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], net.forward(x=x)["y"])


def test_lenet_wholly_here_as_on_the_cpu(some_chip):
    folder = Path(fbnet.__file__).parent / "tools" / "lenet"
    net = fbnet.load(folder / "lenet.fbnet")
    (name,), x = net.inputs, np.asarray(opened(folder / "digit_8.png").convert("L"))[None, ..., None]
    with warnings.catch_warnings():
        warnings.simplefilter("error", HostFallback)
        plan = net.compile(device="opencl", shapes={name: x.shape})
    assert all(step.kernel.startswith("opencl/") for step in plan.steps)
    if some_chip.simulated:  # for 5 s; a smaller net runs in test_one_net.py
        return
    with plan.session() as session:
        got = session.run({name: x})[net.outputs[0]]
    np.testing.assert_allclose(got, net(x), rtol=0, atol=1e-5)
    assert got.argmax() == 8


def test_a_small_chip_gets_small_groups(some_chip, monkeypatch):
    """A GPU that takes no more than 8 work-items a group, and 4 along the second axis."""
    monkeypatch.setattr(some_chip, "most_items", 8)
    monkeypatch.setattr(some_chip, "axis_items", (8, 4, 1))
    x = np.random.default_rng(2).standard_normal((1, 3, 6, 7), dtype=np.float32)
    w = np.random.default_rng(3).standard_normal((9, 3, 3, 3), dtype=np.float32)
    for small, given in ((Convolution(), (x, w)), (Softmax(), (x,)), (Pooling(kernel=(2, 2)), (x,))):
        assert check_layer(small, *given, device_names=["opencl"])
    monkeypatch.setattr(some_chip, "local_bytes", 1)
    with pytest.raises(
        DeviceError, match=r"^opencl/fp32/Softmax/softmax wants groups of \[2\] and 8 bytes, but "
    ):
        check_layer(Softmax(), x, device_names=["opencl"])


def test_no_memory(some_chip, monkeypatch):
    plan = net().compile(device="opencl")
    monkeypatch.setattr(some_chip, "largest_bytes", 100)
    with pytest.raises(
        DeviceError, match=r"has no memory for constants of \d+ bytes: \d+ bytes, but it gives 100 in"
    ):
        plan.session()
    with (
        pytest.raises(DeviceError, match=r"has no memory for a run: give it a smaller batch$"),
        some_chip.asked("a run"),
    ):
        raise some_chip.cl.MemoryError(some_chip.cl._cl._ErrorRecord("enqueue", -4, ""))
    with pytest.raises(DeviceError, match=r"failed at a run: .*OUT_OF_RESOURCES"), some_chip.asked("a run"):
        raise some_chip.cl.RuntimeError(some_chip.cl._cl._ErrorRecord("enqueue", -5, ""))


def test_what_does_not_compile(odd_layer):
    def python(x, y):
        for i in range(x.size):
            y[i] = 2 * x[i] + 1

    kernel(odd_layer, device="opencl")(python)
    try:
        with pytest.raises(
            CompileError, match=r"is Python, and opencl's are OpenCL C: declare it with written_in$"
        ):
            check_layer(odd_layer(), X, device_names=["opencl"])
    finally:
        kernels.discard("opencl/fp32/TestOdd/python")


def test_the_compilers_first_error_is_told(some_chip):
    with pytest.raises(
        CompileError, match=r"^kernel f does not compile for .*: .*error:.* use of undeclared.*'what'"
    ):
        some_chip.compile("__kernel void run(__global int *y) {\n    y[0] = what;\n}", [], "f")


@pytest.fixture
def another_machine(monkeypatch):
    """Nothing is known of this machine's devices, before and after."""
    chips._chip.cache_clear()
    yield monkeypatch
    chips._chip.cache_clear()


def test_no_pyopencl(another_machine):
    another_machine.setitem(sys.modules, "pyopencl", None)
    assert not OPENCL.available()
    with pytest.raises(
        DeviceError, match=r"^opencl needs pyopencl, which cannot be .*: pip install 'fbnet\[opencl\]'"
    ):
        net().compile(device="opencl")


def test_no_platform_and_no_device(another_machine):
    cl = chips.pyopencl()

    def none_at_all():
        raise cl.LogicError(cl._cl._ErrorRecord("clGetPlatformIDs", -1001, ""))

    another_machine.setattr(cl, "get_platforms", none_at_all)
    with pytest.raises(
        DeviceError, match=r"^opencl finds no platform \(.*\): install your GPU's driver, or .*PoCL"
    ):
        net().compile(device="opencl")
    chips._chip.cache_clear()
    another_machine.setattr(cl, "get_platforms", lambda: [])
    another_machine.setenv("FBNET_OPENCL", "Mali")
    with pytest.raises(
        DeviceError, match=r"^opencl finds no device called like 'mali': there is none at all; see FB"
    ):
        net().compile(device="opencl")


def test_a_driver_that_cannot_compile_is_passed_over(some_chip):
    class Broken:
        options = ()

        def compile(self, text, options, what):
            raise CompileError("unknown target CPU")

    assert chips._working([Broken(), some_chip]) is some_chip
    with pytest.raises(
        DeviceError, match=r"^opencl: unknown target CPU: its driver does not work here, take another$"
    ):
        chips._working([Broken()])
