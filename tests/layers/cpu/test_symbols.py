"""Every kernel becomes a closed object for every target: what it needs, it brings along."""

import re

import pytest
from fbnet.engine.check import net_of
from fbnet.engine.device import devices
from fbnet.engine.kernel import kernels
from fbnet.engine.lower import call_of, lower
from fbnet.engine.record import record
from fbnet.engine.share import Shares
from fbnet.layers.cpu import codegen
from fbnet.layers.cpu import target as targets
from fbnet.layers.cpu.codegen import ALLOWED, ENTRY, emit
from fbnet.layers.cpu.loader import _FOREIGN
from fbnet.layers.cpu.symbols import undefined
from fbnet.layers.cpu.target import TARGETS

Cpu = type(devices["cpu"])


class Collector(Cpu):
    """A cpu that writes down what is to be compiled, and compiles nothing."""

    def __init__(self):
        super().__init__()
        self.wanted = {}  # (function, parameters), in order

    def compile_kernel(self, function, parameters):
        self.wanted[function, tuple(parameters)] = None
        return f"{function.__qualname__} {parameters}", b""


@pytest.fixture
def chosen(request, monkeypatch):
    """The target that the test's parameter names, as if this machine were one."""
    monkeypatch.setenv("FBNET_TARGET", request.param)
    targets.host.cache_clear()
    yield TARGETS[request.param]
    targets.host.cache_clear()


def collected(cases) -> tuple[Collector, set[str]]:
    """What the kernels on the table of cases are compiled from, and the names of kernels that it does not reach."""
    cpu, reached = Collector(), set()
    cpu.load_kernels()
    ours = [k for k in kernels.values() if k.device == "cpu" and k.function.__module__.startswith("fbnet.")]
    for case in cases:
        net, fed = net_of(case.layer, case.arrays(), None)
        specs = net.specs({name: array.shape for name, array in fed.items()})
        call = call_of(net.layers[0], net, specs, 2, cpu)
        for kernel in [k for k in ours if k.layer == case.layer.type and not case.layer.alias]:
            if not kernel.refuses(call):
                shares = Shares(net, cpu, specs, 2, generous=True)
                dtype = "fp32" if kernel.dtype == "int8" else kernel.dtype  # int8 kernels run in any plan
                lowered = lower(net, cpu, dtype, specs, shares, kernel.name)
                record(net, cpu, dtype, 2, specs, lowered)
                reached.add(kernel.name)
    return cpu, {k.name for k in ours} - reached


SIZES = re.compile(r"\b(ROWS|VECTORS|STRIDE|STEP|CHANNELS|TAPS|DILATION|M)=\d+")


def distinct(wanted) -> list:
    """Of the variants of a kernel that differ in sizes alone, the first one."""
    found = {}
    for function, parameters in wanted:
        cells = tuple(repr(cell.cell_contents) for cell in function.__closure__ or ())
        dtypes = frozenset(p.dtype for p in parameters if p.kind == "array")
        kind = function.__module__, function.__code__, SIZES.sub("", function.__qualname__), cells, dtypes
        found.setdefault(kind, (function, parameters))
    return list(found.values())


@pytest.mark.parametrize(
    ("chosen", "share"),
    [
        ("aarch64", slice(0, None, 2)),
        ("riscv64", slice(1, None, 6)),
        ("wasm32", slice(3, None, 6)),
        ("armv7", slice(5, None, 6)),
    ],
    indirect=["chosen"],
)
def test_every_kernel_is_closed(cases, chosen, share):
    """To save time, each for one target; most come for several dtypes, and so for more than one."""
    cpu, missing = collected(cases)
    assert not missing, f"no case in tests/layers/conftest.py reaches {sorted(missing)}: add one for each"
    assert {"run", "work", "gemm", "relu"} <= {function.__name__ for function, _ in cpu.wanted}
    for function, parameters in distinct(cpu.wanted)[share]:
        code = emit(function, parameters, chosen)
        assert undefined(code) <= {*ALLOWED, *chosen.brings}, (function, undefined(code))
        assert ENTRY.encode() in code


def test_who_loads_an_object_gives_it_what_it_may_ask_for():
    assert set(codegen.ALLOWED) == set(_FOREIGN)
