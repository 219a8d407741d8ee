"""One net on every device, in fp32, with weights in fp16, and in int8: a LeNet, small enough for cuda's simulator."""

import re
import warnings

import fbnet
import numpy as np
import pytest
from fbnet import HostFallback, Net
from fbnet.engine.device import devices
from fbnet.layers.conv import Convolution
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.order import ArgMax
from fbnet.layers.pool import Pooling
from fbnet.layers.quantize import Quantize
from fbnet.layers.quantized import QuantizedConvolution, QuantizedInnerProduct, QuantizedPooling
from fbnet.layers.softmax import Softmax

SHAPE = (1, 1, 12, 12)
DEVICES = ["reference", "cpu", "lib", "npu", "opencl", "cuda"]


@pytest.fixture(scope="module")
def digits():
    return np.random.default_rng(1).uniform(0, 1, SHAPE).astype(np.float32)


def in_integers(rng):
    """Such a net in int8, its scales about what calibration would give; the last whole numbers are an output, too."""

    def weights(*shape):
        m = shape[0]
        whole = rng.integers(-127, 128, shape, np.int8), rng.integers(-999, 1000, m, np.int32)
        return *whole, np.linspace(0.5, 1, m, dtype=np.float32) / np.float32(50 * np.prod(shape[1:]) ** 0.5)

    size = {"kernel": (2, 2), "stride": (2, 2)}
    layers = [
        Quantize("data", name="q", scale=(1 / 255,), zero=(-128,)),
        QuantizedConvolution("q", *weights(4, 1, 3, 3), name="conv1", x_zero=-128, scale=0.02, zero=3),
        QuantizedPooling("conv1", name="pool1", x_zero=3, scale=0.02, zero=3, **size),
        QuantizedConvolution(
            "pool1",
            *weights(6, 4, 2, 2),
            name="conv2",
            x_zero=3,
            scale=0.03,
            zero=-20,
            low=-120,
        ),
        QuantizedPooling("conv2", name="pool2", x_zero=-20, scale=0.03, zero=-20, **size),
        QuantizedInnerProduct("pool2", *weights(10, 24), name="ip", x_zero=-20, scale=1.0, to="fp32"),
        Softmax("ip", name="prob"),
    ]
    return Net(layers, {"data": ("N", *SHAPE[1:])}, outputs=["prob", "pool2"], name="lenet")


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """dtype -> the net, read back from its .fbnet file."""
    rng, size = np.random.default_rng(0), {"kernel": (2, 2), "stride": (2, 2)}

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32) / np.float32(np.prod(shape[1:]) ** 0.5)

    net = Net(
        [
            Convolution("data", normal(4, 1, 3, 3), normal(4), name="conv1"),
            Pooling("conv1", name="pool1", **size),
            Convolution("pool1", normal(6, 4, 2, 2), normal(6), name="conv2", activation="ReLU"),
            Pooling("conv2", name="pool2", **size),
            InnerProduct("pool2", normal(10, 24), normal(10), name="ip"),
            Softmax("ip", name="prob"),
        ],
        {"data": ("N", *SHAPE[1:])},
        name="lenet",
    )
    nets = {"fp32": net, "fp16": net.stored_as("fp16"), "int8": in_integers(rng)}
    folder = tmp_path_factory.mktemp("nets")
    for dtype, made in nets.items():
        made.save(folder / f"{dtype}.fbnet")
    return {dtype: fbnet.load(folder / f"{dtype}.fbnet") for dtype in nets}


@pytest.fixture
def there(monkeypatch):
    """A function that sees to it that a device is there, in a simulator where it is not; else the test is skipped."""

    def see(name):
        if name == "lib" and not devices[name].available():
            pytest.skip("needs a C compiler")
        if name == "opencl":
            pytest.importorskip("pyopencl")
        if not devices[name].available():
            monkeypatch.setenv(
                *{"opencl": ("FBNET_OPENCL", "oclgrind"), "cuda": ("NUMBA_ENABLE_CUDASIM", "1")}[name]
            )

    return see


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_one_net_on_every_device(dtype, name, there, lenet, digits):
    there(name)
    net, x = lenet[dtype], digits
    device = "npu,cpu" if name == "npu" else name  # which takes no real numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)
        plan = net.compile(device=device, shapes={"data": SHAPE})
    with plan.session() as session:
        got, wanted = session.run({"data": x}), net.forward(data=x)
    np.testing.assert_allclose(got["prob"], wanted["prob"], rtol=0, atol=1e-5)
    assert len(wanted) == 1 + (dtype == "int8")
    for name in wanted.keys() - {"prob"}:
        assert wanted[name].dtype == np.int8 and len(np.unique(wanted[name])) >= 15
        np.testing.assert_array_equal(got[name], wanted[name])
    if device in ("cpu", "opencl"):
        assert all(step.kernel.startswith(device) for step in plan.steps)


@pytest.mark.parametrize(
    ("dtype", "pair", "homes"),
    [
        ("fp32", "opencl+cpu", ["opencl", "cpu"]),
        ("fp32", "opencl,cpu", ["cpu"]),  # by estimates: it is small
        ("fp16", "cuda+cpu", ["cuda", "cpu"]),
        ("fp32", "lib+cpu", ["lib"]),
        ("int8", "npu+opencl", ["opencl", "npu", "opencl"]),
        ("int8", "npu,opencl", ["opencl"]),
    ],
)
def test_one_net_on_two_devices(dtype, pair, homes, there, lenet, digits):
    """The class at the end has no kernel in OpenCL and CUDA."""
    for name in re.split("[+,]", pair):
        there(name)
    net = lenet[dtype]
    if dtype != "int8":
        net = net.replace(layers=[*net.layers, ArgMax("prob", name="class")], outputs=["prob", "class"])
    plan = net.compile(device=pair, shapes={"data": SHAPE})
    assert [step.kernel.split("/")[0] for step in plan.steps] == homes
    if homes == ["cpu"]:
        assert "opencl would take" in plan.notes["conv1"]
    with plan.session() as session:
        got, wanted = session.run({"data": digits}), net.forward(data=digits)
    np.testing.assert_allclose(got["prob"], wanted["prob"], rtol=0, atol=1e-5)
    for name in wanted.keys() - {"prob"}:
        np.testing.assert_array_equal(got[name], wanted[name])
