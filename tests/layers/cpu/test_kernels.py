"""Every kernel of the cpu on every case of the shared table: check_layer compares it with its reference."""

import numpy as np
import pytest
from fbnet.engine.check import check_layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.errors import CompileError
from fbnet.engine.kernel import Call, Kernel, candidates, kernel, kernels
from fbnet.engine.layer import Elementwise, Layer, layer, layers
from fbnet.engine.net import Net
from fbnet.layers.activation import Clip

# kernel files whose every kernel the table of cases must reach
SIMPLE = (
    "activation",
    "binary",
    "concat",
    "deconv",
    "detection",
    "eltwise",
    "layout",
    "matmul",
    "norm",
    "order",
    "normalize",
    "pool",
    "quantize",
    "quantized_deconv",
    "quantized_eltwise",
    "quantized_matmul",
    "quantized_pool",
    "reduce",
    "reshape",
    "resize",
    "gather",
    "recurrent",
    "sample",
    "strided",
    "volume",
    "roi",
    "softmax",
    "unary",
    "window",
)


def test_kernels_give_the_references_numbers(case):
    checks = check_layer(case.layer, *case.arrays(), device_names=["cpu"], tolerance=case.tolerance)
    assert checks
    fused = getattr(case.layer, "activation", "")  # not every activation can be fused into every kernel
    assert fused or case.layer.alias or not case.kernel or all(c.kernel.startswith("cpu/") for c in checks)


def test_inputs_need_not_be_constants(case):
    if len(case.shapes) > 1 and case.layer.type not in (
        "Convolution",
        "InnerProduct",
        "QuantizedConvolution",
        "QuantizedInnerProduct",
    ):
        assert check_layer(
            case.layer, *case.arrays(), device_names=["cpu"], constants=(), tolerance=case.tolerance
        )


def test_an_empty_batch(batched_case):
    empty = batched_case.with_batch(0)
    assert check_layer(empty.layer, *empty.arrays(), device_names=["cpu"])


def test_kernels_work_in_place(case):
    """Behind another layer, whose result nobody else reads, a kernel may write over its first input."""
    devices["cpu"].load_kernels()
    if not any(k.inplace for k in candidates(case.layer, "cpu", "fp32")) or case.layer.alias:
        return
    arrays = case.arrays()
    inputs, constants = arrays[: case.batched], arrays[case.batched :]
    if any(a is None or a.dtype != np.float32 for a in inputs):
        return
    names = [f"x{i}" for i in range(len(inputs))]
    first = [Clip(name, name=f"clipped_{name}", min=-2, max=2) for name in names]
    last = case.layer.replace(
        name="last", inputs=[*(layer.name for layer in first), *constants], outputs=["y"]
    )
    fed = dict(zip(names, inputs, strict=True))
    shapes = {name: array.shape for name, array in fed.items()}
    net = Net([*first, last], shapes)
    for threads in (1, 3):
        plan = plan_as_written(net, devices["cpu"], "fp32", threads, shapes)
        with plan.session() as session:
            got, wanted = session.run(fed)["y"], net.forward(**fed)["y"]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_the_table_reaches_every_simple_kernel(cases):
    devices["cpu"].load_kernels()
    reached: set[str] = set()
    for case in cases:
        wired = case.layer.replace(inputs=["t"] * len(case.shapes))
        results = wired.infer_outputs(case.specs)
        specs = dict(
            zip([*wired.parameters, *wired.input_names()][-len(case.shapes) :], case.specs, strict=True)
        )
        specs |= dict(zip(wired.output_names(), results, strict=True))
        call = Call(wired, specs, {})
        reached |= {k.name for k in candidates(wired, "cpu", "fp32") if not k.refuses(call)}
    ours = [k for k in kernels.values() if k.device == "cpu"]  # another test may have loaded another device's
    simple = {k.name for k in ours if k.function.__module__.split(".")[-1] in SIMPLE}
    assert len(simple) >= 30 and simple <= reached


@pytest.fixture
def kernel_of():
    """A function (layer class, plain function, ...) that registers a kernel on the cpu until the test is over."""
    names = []

    def register(cls: type[Layer], function, **options) -> Kernel:
        names.append(f"cpu/fp32/{cls.type}/{function.__name__}")
        kernel(cls, device="cpu", **options)(function)
        return kernels[names[-1]]

    yield register
    for name in names:
        kernels.discard(name)
        layers.discard(name.split("/")[2])


def test_parameters_may_have_any_name(kernel_of):
    @layer("TestNames")
    class Names(Elementwise):
        """y = x * kernel + low        x: (...) -> y: (...)"""

        low: float = 1.0
        min: float = 2.0
        args: int = 3
        units: int = 4
        kernel: float = 5.0

        def reference(self, x):
            return x * self.kernel + (self.low + self.min + self.args + self.units)

    def names(low, min, args, units, kernel, x, y):
        for i in range(x.size):
            y[i] = x[i] * kernel + (low + min + args + units)

    kernel_of(Names, names)
    assert check_layer(Names(), device_names=["cpu"])


def test_an_index_from_the_end_is_refused(kernel_of):
    @layer("TestLast")
    class Last(Layer):
        """y = x's last row        x: (N, K) -> y: (K,)"""

        def reference(self, x):
            return x[-1]

    def last(x, y):
        for i in range(y.size):
            y[i] = x[-1, i]

    kernel_of(Last, last)
    with pytest.raises(CompileError, match=r"last uses x\[-1, i\]: its indices count from 0"):
        check_layer(Last(), np.ones((2, 3), np.float32), device_names=["cpu"])
