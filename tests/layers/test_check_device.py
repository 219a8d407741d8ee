"""check_device on the devices of this package: every layer type, in every dtype."""

import pytest
from fbnet import CheckError, CompileError, DeviceError, check_device
from fbnet.engine.case import Case
from fbnet.engine.check_device import all_cases, smallest
from fbnet.engine.device import devices
from fbnet.engine.kernel import kernel, kernels
from fbnet.engine.layer import Elementwise, layer, layers
from fbnet.layers.activation import ELU, ReLU, TanH
from fbnet.tools.main import main

QUICK = smallest(all_cases())


def needs_a_compiler(name):
    if name == "lib" and not devices["lib"].available():
        pytest.skip("needs a C compiler")


@pytest.mark.parametrize("name", ["reference", "cpu", "lib", "npu", "opencl", "cuda"])
def test_every_layer_in_every_dtype(name, monkeypatch):
    if name == "opencl":
        pytest.importorskip("pyopencl")
    needs_a_compiler(name)
    if not devices[name].available():
        monkeypatch.setenv(
            *{"opencl": ("FBNET_OPENCL", "oclgrind"), "cuda": ("NUMBA_ENABLE_CUDASIM", "1")}[name]
        )
    rows = check_device(name, QUICK)
    ours = {name for name in layers if layers.owner(name).startswith("fbnet.layers.")}
    assert {row.layer for row in rows} == ours and {"fp32", "fp16", "int8"} <= {row.dtype for row in rows}
    assert all(row.error == 0 for row in rows if row.dtype == "int8")
    computed = [row for row in rows if row.kernel not in ("", "host", "refused")]
    assert len(computed) >= {"reference": 0, "cpu": 150, "lib": 150, "npu": 8, "opencl": 85, "cuda": 60}[name]


@pytest.fixture
def wrong_layer():
    @layer("TestWrong")
    class Wrong(Elementwise):
        """y = x + 1        x: (...) -> y: (...)"""

        def reference(self, x):
            return x + 1

    def wrong(x, y):
        for i in range(x.size):
            y[i] = x[i]

    kernel(Wrong, device="cpu")(wrong)
    yield Wrong
    kernels.discard("cpu/fp32/TestWrong/wrong")
    layers.discard("TestWrong")


@pytest.mark.parametrize("name", ["cpu", "lib"])
def test_what_is_wrong_is_said_at_the_end(name, wrong_layer):
    needs_a_compiler(name)
    cases = [Case(wrong_layer(), ((3, 5),)), Case(ReLU(), ((3, 5),))]
    message = rf"^{name}: 1 of 2 layers are wrong: TestWrong in fp32: .* by wrong on 2 threads: at"
    with pytest.raises(CheckError, match=message):
        check_device(name, cases)
    assert [(row.layer, row.kernel, row.ok) for row in check_device(name, cases[1:])] == [
        ("ReLU", "relu", True)
    ]


def test_a_device_of_one_model_is_refused():
    with pytest.raises(
        DeviceError, match=r"runs one model, compiled elsewhere: check that with `fbnet check`$"
    ):
        check_device("lib:./libvendor.so")


def test_one_that_spoils_a_model_of_many_is_found(monkeypatch):
    """Cases that a device runs as one model are tried one by one if that cannot be made."""
    needs_a_compiler("lib")
    lib, made = devices["lib"], []

    def make(net, *rest):
        made.append(len(net))
        if any(layer.type == "ELU" for layer in net):
            raise CompileError("no ELU today")
        return make.by(net, *rest)

    make.by = lib.maker
    monkeypatch.setattr(type(lib), "maker", property(lambda device: make))
    with pytest.raises(CheckError, match=r"^lib: 1 of 3 layers are wrong: ELU in fp32: no ELU today$"):
        check_device("lib", [Case(kind(), ((3, 5),)) for kind in (ELU, ReLU, TanH)])
    assert made == [3, 1, 1, 1]


def test_the_command_prints_a_row_a_layer_and_dtype(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check-device", "reference", "--quick"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0 and "are right on reference, 0 of them by its own kernels" in out + err
    assert "QuantizedConvolution" in out and "host" in out
