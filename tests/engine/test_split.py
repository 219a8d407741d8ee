"""A net on several devices: which layers go where, what it costs, and that the numbers are those of one device."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet import CompileError, DeviceError, Layer, Net, RegistryError, layer
from fbnet.engine.device import Device, device_of
from fbnet.engine.layer import layers
from fbnet.engine.split import cut
from fbnet.layers.activation import ReLU
from fbnet.layers.binary import Binary
from fbnet.layers.conv import Convolution
from fbnet.layers.reshape import Flatten
from fbnet.layers.softmax import Softmax

SHAPES = {"x": (2, 3, 4), "z": (2, 12)}


@pytest.fixture(scope="module", autouse=True)
def cumulated():
    """A layer that no device but reference computes."""

    @layer("Cumulated")
    class Cumulated(Layer):
        """y = sums of x along axis 1        x: (N, K) -> y: (N, K)"""

        def reference(self, x):
            return np.cumsum(x, 1)

    yield
    layers.discard("Cumulated")


@pytest.fixture
def net():
    """x, z -> p, low: the middle is refused by cpu; flat, a mere shape, is read on both sides."""
    steps = [
        ReLU("x", name="r"),
        Flatten("r", name="flat"),
        layers["Cumulated"]("flat", name="c"),
        Binary("c", "z", name="low", operation="mul"),
        Binary("flat", "low", name="s", operation="add"),
        Softmax("s", name="p"),
    ]
    return Net(steps, {"x": ("N", 3, 4), "z": ("N", 12)}, outputs=["p", "low"], name="cut")


def arrays(n=2, seed=0):
    random = np.random.default_rng(seed)
    return {
        name: random.standard_normal((n, *shape[1:])).astype(np.float32) for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("marked", ["cpu,reference", "cpu+reference"])
def test_what_one_refuses_is_the_others(net, marked):
    plan = net.compile(device=marked, shapes=SHAPES, threads=1)
    assert [step.kernel for step in plan.steps] == [f"{d}/fp32/segment" for d in ("cpu", "reference", "cpu")]
    assert plan.notes["c"] == "on reference; cpu: no kernel for Cumulated" and plan.notes["p"] == "on cpu"
    with plan.session() as session:
        for n, seed in ((2, 0), (2, 1), (5, 2), (2, 3)):
            given = arrays(n, seed)
            session.prepare({name: array.shape for name, array in given.items()})
            found, wanted = session.run(given), net.forward(**given)
            assert list(found) == ["p", "low"]
            for name in wanted:
                np.testing.assert_allclose(found[name], wanted[name], 1e-5, 1e-6)
        np.testing.assert_array_equal(session.get_tensor("x"), given["x"])


def test_tensors_that_cross_a_border(net):
    device = device_of("cpu+reference")
    made = device.cut(net, SHAPES, 1)
    assert [(b.tensor, b.source, b.target, b.spec.nbytes) for b in made.borders] == [
        ("x", None, 0, 96), ("flat", 0, 1, 96), ("c", 1, 2, 96), ("z", None, 2, 96), ("flat", 0, 2, 96),
        ("p", 2, None, 96), ("low", 2, None, 96),
    ]  # fmt: skip
    assert made is device.cut(net, SHAPES, 1)


class Far(Device):
    """Computes whatever the test says, in no time, far away."""

    has_kernels = False

    def __init__(self, name, refused=(), latency=1e-3, seconds=0.0):
        self.name, self.refused, self.border, self.takes = name, refused, (latency, 1e9), seconds

    def refuses(self, layer, net, specs):
        return "not today" if layer.name in self.refused else ""

    def cost(self, net, shapes, threads):
        return self.takes * len(net)


def homes(net, *devices, weigh=True):
    made = cut(net, devices, SHAPES, 1, weigh)
    return made, [(s.device.name, [layer.name for layer in s.net]) for s in made.segments]


def test_a_segment_that_is_not_worth_its_borders(net):
    near = Far("near", latency=0.0, seconds=1e-3)
    # two layers at the end would save 2 ms; c, flat and z must get there and two results back, at 1 ms each
    far = Far("far", refused=("r", "flat", "c"))
    made, where = homes(net, far, near)
    assert where == [("near", ["r", "flat", "c", "low", "s", "p"])]
    assert made.stays["p"] == "far would take 5001 us with the copies, near 3000" and "r" not in made.stays
    assert homes(net, far, near, weigh=False)[1] == [("near", ["r", "flat", "c"]), ("far", ["low", "s", "p"])]
    slower = Far("near", latency=0.0, seconds=2e-3)
    made, where = homes(net, far, slower)
    assert where == [("near", ["r", "flat", "c"]), ("far", ["low", "s", "p"])] and not made.stays
    assert made.seconds == pytest.approx(3 * 2e-3 + 5e-3, rel=1e-3)


def test_branches_do_not_make_more_segments(net):
    """Layers that wait for nothing go first, whatever their place in the net."""
    sums = layers["Cumulated"]
    steps = [ReLU("x", name="a"), sums("z", name="b"), ReLU("a", name="c"), sums("b", name="d")]
    both = Net(steps, net.inputs, name="both")
    far = Far("far", refused=("b", "d"), latency=0.0, seconds=1e-9)
    assert homes(both, far, Far("near", latency=0.0, seconds=1e-3))[1] == [
        ("far", ["a", "c"]),
        ("near", ["b", "d"]),
    ]


def test_what_is_asked_wrongly(net):
    with pytest.raises(RegistryError, match=r"^device 'cpuu' is not registered. Did you mean 'cpu'\?"):
        net.compile(device="reference,cpuu")
    with pytest.raises(DeviceError, match=r"^cpu,cpu: a device is named twice$"):
        net.compile(device="cpu,cpu")
    with pytest.raises(
        DeviceError, match=r"^npu\+cpu,reference: put commas between devices to weigh their times"
    ):
        net.compile(device="npu+cpu,reference")
    for text in ("", "cpu,", ",cpu", "lib:", "npu:"):
        with pytest.raises(
            DeviceError, match=rf"^device '{text}' lacks a name: there are cpu, .* take a file$"
        ):
            device_of(text)
    message = (
        r"^r \(ReLU\): no device computes it. npu: it reads x, which is fp32\[1,3,4\]. End the list with cpu$"
    )
    with pytest.raises(CompileError, match=message):
        cut(net, [device_of("npu")], SHAPES, 1)
    session = net.compile(device="cpu+reference", shapes=SHAPES, threads=1).session()
    with pytest.raises(DeviceError, match=r"^cut: nobody has set x, z: call set_tensor before forward$"):
        session.forward()
    with pytest.raises(
        DeviceError, match=r"^input 'x' has shape \[1, 3, 4\], but this plan is for fp32\[2,3,4\]$"
    ):
        session.set_tensor("x", np.zeros((1, 3, 4), np.float32))
    with pytest.raises(DeviceError, match=r"^cut has no output 's'; it has p, low$"):
        session.get_tensor("s")
    with pytest.raises(DeviceError, match=r"^cut: 'p' was never computed: call forward before get_tensor$"):
        session.get_tensor("p")
    session.close()
    with pytest.raises(DeviceError, match="is closed"):
        session.forward()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("npu:a+b,c.npu", ["npu:a+b,c.npu"]),
        ("npu:a+b,c.npu,cpu", ["npu:a+b,c.npu", "cpu"]),
        ("npu:a+b,c.npu+cpu", ["npu:a+b,c.npu", "cpu"]),
        ("lib:./x,cpus/l.so,npu:cpu+.npu,cpu", ["lib:./x,cpus/l.so", "npu:cpu+.npu", "cpu"]),
    ],
)
def test_marks_in_a_path(text, parts):
    device = device_of(text)
    assert device.name == text and [part.name for part in getattr(device, "parts", [device])] == parts


def test_a_net_of_any_size_is_cut_for_the_one_at_hand():
    """Its sizes have no usual values: only for those that are asked for it is known what a segment's inputs are."""
    w = np.ones((2, 3, 3, 3), np.float32)
    steps = [Convolution("x", w, name="c"), layers["Cumulated"]("c", name="s"), ReLU("s", name="y")]
    net = Net(steps, {"x": ("N", 3, "H", "W")}, name="any")
    with net.compile(device="cpu+reference", shapes={"x": (1, 3, 5, 4)}).session() as session:
        for shape in ((1, 3, 5, 4), (2, 3, 4, 6)):
            x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
            session.prepare({"x": shape})
            np.testing.assert_allclose(session.run({"x": x})["y"], net.forward(x=x)["y"], 1e-5, 1e-5)
