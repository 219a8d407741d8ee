"""simulator: a Gpu made of numba's CUDA simulator, which runs kernels as Python on the host, thread by thread.

It has the methods of driver.Gpu. Its memory is the host's, a stream does at once what it is asked, and a graph is the
list of what was asked while it was captured. It is for tests: correct, and about a million times slower than a GPU.
Kernels in CUDA C++ run by emulation.py.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np

from .emulation import Emulated
from .launch import Launch


@lru_cache
def simulator() -> Simulator:
    return Simulator()


class Stream:
    """A list of what is asked, while it is captured; None while things are done at once."""

    def __init__(self) -> None:
        self.recorded: list[Callable[[], None]] | None = None

    def do(self, work: Callable[[], None]) -> None:
        if self.recorded is None:
            work()
        else:
            self.recorded.append(work)


class Simulator:
    """Memory, streams, launches and graphs on the host."""

    simulated = True
    name = "numba's CUDA simulator"
    capability = (0, 0)
    multiprocessors = 1
    threads = 2  # a block, of kernels that do not say: each is a thread of Python, so as few as can be wrong

    def __init__(self) -> None:
        self._held: dict[int, np.ndarray] = {}

    @property
    def target(self) -> str:
        return f"simulator/{os.getpid()}"  # Python functions stay in their process

    def enter(self) -> None:
        pass

    def allocate(self, nbytes: int) -> int:
        memory = np.full(nbytes + 64, 0xCD, np.uint8)  # no kernel may rely on zeros
        address = -(-memory.ctypes.data // 64) * 64
        self._held[address] = memory
        return address

    def free(self, address: int) -> None:
        del self._held[address]

    def pinned(self, nbytes: int) -> np.ndarray:
        return np.empty(max(1, nbytes), np.uint8)

    def unpin(self, pinned: np.ndarray) -> None:
        pass

    def upload(self, stream: Stream, address: int, array: np.ndarray) -> None:
        stream.do(lambda: _copy(address, array.ctypes.data, array.nbytes))

    def download(self, stream: Stream, address: int, array: np.ndarray) -> None:
        stream.do(lambda: _copy(array.ctypes.data, address, array.nbytes))

    def launch(self, stream: Stream, function: Any, launch: Launch, what: str) -> None:
        if isinstance(function, Emulated):
            stream.do(lambda: _run_emulated(function, launch, what))
        else:
            stream.do(lambda: _run(function, launch.grid, launch.threads, launch.values))

    def load(self, image: bytes, name: str) -> tuple[None, Emulated]:
        """(nothing, function) of a kernel in CUDA C++ that was compiled for the processor."""
        return None, Emulated(image)

    def stream(self) -> Stream:
        return Stream()

    def wait(self, stream: Stream) -> None:
        pass

    def close(self, stream: Stream) -> None:
        pass

    def unload(self, module: Any) -> None:
        pass

    def capture(self, stream: Stream, work: Callable[[], None]) -> list[Callable[[], None]]:
        stream.recorded = []
        try:
            work()
            return stream.recorded
        finally:
            stream.recorded = None

    def replay(self, stream: Stream, graph: Sequence[Callable[[], None]]) -> None:
        for work in graph:
            work()

    def discard(self, graph: Any) -> None:
        pass

    def seconds(self, stream: Stream, work: Sequence[Callable[[], None]]) -> list[float]:
        times = []
        for piece in work:
            start = perf_counter()
            piece()
            times.append(perf_counter() - start)
        return times


_running = threading.Lock()  # numba simulates one grid at a time


SWITCH = 2e-5  # seconds that a thread of Python runs while another wants to; usually 5 ms


def _run(function: Any, grid: tuple[int, ...], threads: int, values: Sequence[Any]) -> None:
    """Run a kernel. numba looks all the time whether a block's threads have met, and keeps them waiting by that."""
    with _running:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            function[grid, threads](*values)
        finally:
            sys.setswitchinterval(usual)


def _run_emulated(function: Emulated, launch: Launch, what: str) -> None:
    with _running:
        function.run(launch, what)


def _copy(to: int, source: int, nbytes: int) -> None:
    ctypes.memmove(to, source, nbytes)


def array_at(address: int, dtype: str, shape: Sequence[int]) -> Any:
    """The array at an address, as numba's simulated kernels take it: nothing is copied."""
    from .card import numba_cuda

    kind, count = np.dtype(dtype), int(np.prod(shape, dtype=np.int64))
    nbytes = max(1, count * kind.itemsize)
    memory = (ctypes.c_uint8 * nbytes).from_address(address) if address else bytearray(nbytes)
    array = np.frombuffer(memory, np.uint8)[: count * kind.itemsize].view(kind).reshape(shape)
    return type(numba_cuda().module.to_device(np.zeros(1)))(array)
