"""driver: NVIDIA's driver library, the few functions that running a plan takes, by ctypes. No other library is needed.

A Gpu has memory, modules of code, streams and graphs. What is asked of a stream happens later and in order; what is
asked while it is captured happens whenever the graph is launched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ...engine.errors import DeviceError
from .launch import Launch

NAMES = ("libcuda.so.1", "nvcuda.dll")
OUT_OF_MEMORY = 2
NON_BLOCKING = 1  # a stream that does not wait for the default stream, nor that for it
THREAD_LOCAL = 1  # a capture that forbids nothing to other threads
MULTIPROCESSORS, MAJOR, MINOR = 16, 75, 76  # attributes of a device
SHARED_BYTES = 8  # an attribute of a function: the most shared memory that a launch may ask for
UNASKED = 48 << 10  # what it may without
THREADS = 128  # a block, of kernels that do not say


@lru_cache
def gpu() -> Gpu:
    """The first GPU that the driver shows (CUDA_VISIBLE_DEVICES chooses). Raises DeviceError."""
    return Gpu(_library())


def _library() -> Any:
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise DeviceError(
        f"cuda needs NVIDIA's driver, but {' and '.join(NAMES)} cannot be loaded: install it,"
        " or set NUMBA_ENABLE_CUDASIM=1 to simulate a GPU, slowly"
    )


class Gpu:
    """One GPU and its primary context, which all of a process's libraries share."""

    simulated = False
    threads = THREADS

    def __init__(self, library: Any):
        self._library = library
        count = c_int()
        self.ask("cuInit", 0)
        self.ask("cuDeviceGetCount", byref(count))
        if not count.value:
            raise DeviceError("cuda needs a GPU, but the driver shows none: see CUDA_VISIBLE_DEVICES")
        device, context, name = c_int(), c_void_p(), ctypes.create_string_buffer(100)
        self.ask("cuDeviceGet", byref(device), 0)
        self.ask("cuDeviceGetName", name, 100, device)
        self.name = name.value.decode()
        self.capability = (self._attribute(MAJOR, device), self._attribute(MINOR, device))
        self.multiprocessors = self._attribute(MULTIPROCESSORS, device)
        self.ask("cuDevicePrimaryCtxRetain", byref(context), device)
        self._context = context

    @property
    def target(self) -> str:
        return "sm_{}{}/{}".format(*self.capability, self.multiprocessors)

    def ask(self, function: str, *arguments: Any, what: str = "") -> None:
        """Call a function of the driver. Raises DeviceError with the driver's own words if it fails."""
        error = getattr(self._library, function)(*arguments)
        if error == OUT_OF_MEMORY:
            raise DeviceError(f"{self.name} has no memory for {what or function}: give it a smaller batch")
        if error:
            text = c_char_p()
            self._library.cuGetErrorString(error, byref(text))
            said = (text.value or b"unknown error").decode()
            raise DeviceError(f"cuda: {function} failed{f' for {what}' if what else ''}: {said} ({error})")

    def _attribute(self, attribute: int, device: c_int) -> int:
        value = c_int()
        self.ask("cuDeviceGetAttribute", byref(value), attribute, device)
        return value.value

    def enter(self) -> None:
        """Make this GPU the calling thread's. Before anything else."""
        self.ask("cuCtxSetCurrent", self._context)

    # -- memory --------------------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> int:
        """The address of new memory on the GPU."""
        address = c_uint64()
        self.ask("cuMemAlloc_v2", byref(address), c_size_t(max(1, nbytes)), what=f"{nbytes:,} bytes")
        return address.value

    def free(self, address: int) -> None:
        self.ask("cuMemFree_v2", c_uint64(address))

    def pinned(self, nbytes: int) -> np.ndarray:
        """New bytes on the host that do not move, so that the GPU copies them by itself."""
        address = c_void_p()
        self.ask(
            "cuMemHostAlloc", byref(address), c_size_t(max(1, nbytes)), 0, what=f"{nbytes:,} pinned bytes"
        )
        return np.frombuffer((ctypes.c_uint8 * max(1, nbytes)).from_address(address.value or 0), np.uint8)

    def unpin(self, pinned: np.ndarray) -> None:
        self.ask("cuMemFreeHost", c_void_p(pinned.ctypes.data))

    def upload(self, stream: c_void_p, address: int, array: np.ndarray) -> None:
        """Copy an array to the GPU."""
        self.ask(
            "cuMemcpyHtoDAsync_v2",
            c_uint64(address),
            c_void_p(array.ctypes.data),
            c_size_t(array.nbytes),
            stream,
        )

    def download(self, stream: c_void_p, address: int, array: np.ndarray) -> None:
        """Copy from the GPU into an array."""
        self.ask(
            "cuMemcpyDtoHAsync_v2",
            c_void_p(array.ctypes.data),
            c_uint64(address),
            c_size_t(array.nbytes),
            stream,
        )

    # -- code ----------------------------------------------------------------------------------------------

    def load(self, image: bytes, name: str) -> tuple[c_void_p, c_void_p]:
        """(module, function) of an image: PTX, which the driver compiles, or what a compiler made for this GPU."""
        module, function = c_void_p(), c_void_p()
        self.ask("cuModuleLoadData", byref(module), c_char_p(image), what=name)
        self.ask("cuModuleGetFunction", byref(function), module, c_char_p(name.encode()), what=name)
        return module, function

    def unload(self, module: c_void_p) -> None:
        self.ask("cuModuleUnload", module)

    def launch(self, stream: c_void_p, function: c_void_p, launch: Launch, what: str) -> None:
        """Start a kernel. Its values are one 64-bit word for each parameter; smaller ones use the low bytes."""
        if launch.shared > UNASKED:
            self.ask("cuFuncSetAttribute", function, SHARED_BYTES, launch.shared, what=what)
        values = launch.values
        pointers = values.ctypes.data + 8 * np.arange(max(1, len(values)), dtype=np.uint64)
        sizes = (*launch.grid, launch.threads, 1, 1, launch.shared)
        self.ask(
            "cuLaunchKernel", function, *map(c_uint, sizes), stream, c_void_p(pointers.ctypes.data), c_void_p(),
            what=what,
        )  # fmt: skip

    # -- streams and graphs --------------------------------------------------------------------------------

    def stream(self) -> c_void_p:
        stream = c_void_p()
        self.ask("cuStreamCreate", byref(stream), c_uint(NON_BLOCKING))
        return stream

    def wait(self, stream: c_void_p) -> None:
        """Until all that was asked of the stream is done. Other Python threads run meanwhile."""
        self.ask("cuStreamSynchronize", stream, what="what ran before")

    def close(self, stream: c_void_p) -> None:
        self.ask("cuStreamDestroy_v2", stream)

    def capture(self, stream: c_void_p, work: Callable[[], None]) -> c_void_p:
        """The graph of all that `work` asks of the stream. Nothing of it runs."""
        graph, executable = c_void_p(), c_void_p()
        self.ask("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
        try:
            work()
        finally:
            self.ask("cuStreamEndCapture", stream, byref(graph))
        try:
            self.ask("cuGraphInstantiateWithFlags", byref(executable), graph, c_uint64(0))
        finally:
            self.ask("cuGraphDestroy", graph)
        return executable

    def replay(self, stream: c_void_p, graph: c_void_p) -> None:
        self.ask("cuGraphLaunch", graph, stream)

    def discard(self, graph: c_void_p) -> None:
        self.ask("cuGraphExecDestroy", graph)

    # -- time ----------------------------------------------------------------------------------------------

    def seconds(self, stream: c_void_p, work: Sequence[Callable[[], None]]) -> list[float]:
        """How long the GPU took for each piece of work, one after the other."""
        events = [c_void_p() for _ in range(len(work) + 1)]
        for event in events:
            self.ask("cuEventCreate", byref(event), 0)
        self.ask("cuEventRecord", events[0], stream)
        for event, piece in zip(events[1:], work, strict=True):
            piece()
            self.ask("cuEventRecord", event, stream)
        self.wait(stream)
        times = []
        for a, b in pairwise(events):
            milliseconds = c_float()
            self.ask("cuEventElapsedTime", byref(milliseconds), a, b)
            times.append(milliseconds.value / 1000)
        for event in events:
            self.ask("cuEventDestroy_v2", event)
        return times
