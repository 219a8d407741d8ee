"""check_layer: it finds what is wrong, and names the kernel and the place."""

import numpy as np
import pytest
from fbnet import CheckError, Elementwise, Layer, check_layer, kernel, layer
from fbnet.engine.check import AWKWARD, Check
from fbnet.engine.kernel import kernels
from fbnet.engine.layer import layers
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten

NAN = float("nan")


@pytest.fixture
def plus(request):
    """A layer that adds 1 by a kernel whose body is the test's parameter."""

    @layer("TestPlus")
    class Plus(Elementwise):
        """y = x + 1        x: (...) -> y: (...)"""

        def reference(self, x):
            return x + 1

    kernel(Plus, device="cpu")(request.param)
    yield Plus
    layers.discard("TestPlus")
    kernels.discard(f"cpu/fp32/TestPlus/{request.param.__name__}")


def right(x, y):
    for i in range(x.size):
        y[i] = x[i] + 1


def forgets_the_last(x, y):
    for i in range(x.size - 1):
        y[i] = x[i] + 1


def counts_its_calls(x, y):
    for i in range(x.size):
        y[i] = y[i] + x[i]


def off_by_a_little(x, y):
    for i in range(x.size):
        y[i] = x[i] + 1.001


@pytest.mark.parametrize("plus", [right], indirect=True)
def test_a_right_kernel(plus):
    checks = check_layer(plus())
    assert {c.shapes[0] for c in checks} == set(AWKWARD)
    assert {c.threads for c in checks if c.device == "cpu"} == {1, 2, 3}
    assert {c.kernel for c in checks} == {"reference", "cpu/fp32/TestPlus/right"}
    assert all(c.error <= 1e-5 for c in checks)


@pytest.mark.parametrize("plus", [forgets_the_last, counts_its_calls, off_by_a_little], indirect=True)
def test_a_wrong_kernel(plus):
    message = (
        r"^TestPlus|layer \(TestPlus\) by cpu/fp32/TestPlus/\w+ on \d threads: at \[\d+.*\] got .*, wanted .*"
    )
    with pytest.raises(CheckError, match=message):
        check_layer(plus())


@pytest.mark.parametrize("plus", [off_by_a_little], indirect=True)
def test_within_a_tolerance(plus):
    assert check_layer(plus(), np.float32([3.0]), tolerance=1e-2)
    with pytest.raises(CheckError, match=r"at \[1\] got .*1\.001.*, wanted .*1\.0.* tolerance 1e-05"):
        check_layer(plus(), np.float32([NAN, 0, NAN]))  # NaN is right where it is wanted


@pytest.mark.parametrize("plus", [right], indirect=True)
def test_infinities_and_nans(plus):
    assert check_layer(plus(), np.float32([np.inf, -np.inf, NAN, 1]))


def test_the_place_of_a_wrong_infinity():
    @layer("TestLoud")
    class Loud(Elementwise):
        """y = x        x: (...) -> y: (...)"""

        def reference(self, x):
            return x

    def quiet(x, y):
        for i in range(x.size):
            y[i] = min(x[i], np.float32(9))

    try:
        kernel(Loud, device="cpu")(quiet)
        with pytest.raises(CheckError, match=r"at \[2\] got .*9\.0.*, wanted .*inf"):
            check_layer(Loud(), np.float32([NAN, -np.inf, np.inf]))
    finally:
        layers.discard("TestLoud")
        kernels.discard("cpu/fp32/TestLoud/quiet")


def test_layers_of_every_wiring():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert check_layer(Concat(axis=2), x, x + 1, x[:, :, :1])
    assert check_layer(Slice(outputs=["a", "b"], axis=2), x)
    assert check_layer(Flatten(), x)
    assert check_layer(InnerProduct(), x, np.ones((5, 12), np.float32), None)
    assert check_layer(InnerProduct(), x, np.ones((5, 12), np.float32), np.ones(5, np.float32), constants=())
    assert check_layer(ReLU(), x, device_names=["reference"])[0].kernel == "reference"
    assert check_layer(Sigmoid(), np.float32(3).reshape(1)[0:0])


def test_without_a_kernel_the_host_does_it():
    @layer("TestHost")
    class Host(Layer):
        """y = x's columns, sorted        x: (N, K) -> y: (N, K)"""

        def reference(self, x):
            return np.sort(x, axis=0)

    try:
        checks = check_layer(Host(), np.float32([[3, 1], [2, 2]]))
    finally:
        layers.discard("TestHost")
    assert {("cpu", "reference"), ("reference", "reference")} <= {(c.device, c.kernel) for c in checks}
    assert {c.kernel for c in checks} == {"reference"}


def test_a_check_prints_as_a_line():
    check = Check("cpu", "fp32", 2, "cpu/fp32/ReLU/relu", ((2, 3), (4,)), 1.5e-7)
    assert str(check) == "cpu/fp32/ReLU/relu on cpu, fp32, 2 threads, [2, 3], [4]: 1.5e-07"
