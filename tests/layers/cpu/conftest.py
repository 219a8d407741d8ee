"""What tests of the cpu share: kernels called by hand, and every machine level that this machine has."""

import ctypes
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fbnet.engine.kernel import Parameter
from fbnet.layers.cpu import target as targets
from fbnet.layers.cpu.codegen import compile_object
from fbnet.layers.cpu.loader import load
from fbnet.layers.cpu.target import TARGETS, Target, host

X86 = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def levels() -> list[str]:
    """The targets whose code runs here; of two of one level, the host's own."""
    level = host().name.split("+")[0]
    return [*X86[: X86.index(level)], host().name] if level in X86 else [host().name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "level" in metafunc.fixturenames:
        metafunc.parametrize("level", levels(), indirect=True)


@pytest.fixture
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """One after the other, every target whose code runs here, as FBNET_TARGET chooses it."""
    yield from _chosen(request.param, monkeypatch)


@pytest.fixture
def some_level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """One of these targets, by the test's name: a long table is spread over them, as compiling takes its time."""
    yield from _chosen(_by_name(request, levels()), monkeypatch)


@pytest.fixture
def level_of_halves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """One of those that read fp16, if there are any."""
    there = levels()
    able = [name for name in there if TARGETS[name].halves]
    yield from _chosen(_by_name(request, able or there), monkeypatch)


def _by_name(request: pytest.FixtureRequest, names: list[str]) -> str:
    return names[zlib.crc32(request.node.name.encode()) % len(names)]


def _chosen(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setenv("FBNET_TARGET", name)
    targets.host.cache_clear()
    yield TARGETS[name]
    targets.host.cache_clear()


class Native:
    """A compiled function: call it with its arrays and numbers."""

    def __init__(self, function: Callable, target: Target, split: tuple[str, ...], arguments: tuple):
        self.parameters = [
            Parameter(name, "array", str(a.dtype), a.ndim, name in split)
            if isinstance(a, np.ndarray)
            else Parameter(name, "int" if isinstance(a, int) else "float")
            for name, a in zip(_names(function), arguments, strict=False)
        ]
        self.parameters += [Parameter(n, "share") for n in _names(function)[len(arguments) :]]
        self.object = compile_object(function, self.parameters, target)[1]
        (address,), self.memory = load([self.object])
        self.entry = ENTRY(address)

    def __call__(self, *arguments, ith: int = 0, nth: int = 1) -> None:
        words: list[int] = []
        for a in arguments:
            if isinstance(a, np.ndarray):
                assert a.flags.c_contiguous
                words += [a.ctypes.data, *a.shape]
            else:
                words.append(a if isinstance(a, int) else int(np.float64(a).view(np.int64)))
        block = np.array(words or [0], np.int64)
        self.entry(block.ctypes.data, ith, nth)


def _names(function: Callable) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


@pytest.fixture(scope="session")
def native() -> Callable[..., Native]:
    """A function (kernel, *arguments, target, split) that compiles the kernel for such arguments, and calls it once."""

    def compiled(
        function: Callable, *arguments, target: Target | None = None, split: tuple[str, ...] = ()
    ) -> Native:
        made = Native(function, target or host(), split, arguments)
        made(*arguments)
        return made

    return compiled
