"""card: where plans of this target run: the GPU, or numba's simulation of one if NUMBA_ENABLE_CUDASIM=1 asks for it."""

from __future__ import annotations

import os
from ctypes.util import find_library
from typing import Any

from .driver import gpu
from .simulator import simulator


def simulating() -> bool:
    """Whether the environment asks for numba's simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def card() -> Any:
    """The Gpu or the Simulator. Raises DeviceError if there is no GPU."""
    return simulator() if simulating() else gpu()


def numba_cuda() -> Any:
    """The module numba.cuda, or a stand-in for its simulator where one is asked for or nothing else could work.

    numba decides which it is when the module is first imported, for good.
    """
    import numba

    if simulating() or not (find_library("cuda") or find_library("nvcuda")):
        numba.config.ENABLE_CUDASIM = True
    from numba import cuda

    return Simulated.of(cuda) if numba_simulates() else cuda


def numba_simulates() -> bool:
    """Whether numba.cuda is the simulator in this process; for callers behind a numba_cuda()."""
    import numba

    return bool(numba.config.ENABLE_CUDASIM)


class Simulated:
    """numba.cuda as a kernel sees it in the simulator.

    numba puts a module with threadIdx and the like into a kernel's globals while it runs, and takes it out of those of
    a function that it calls as soon as the first thread is done with it. Here an entry point says which module that is,
    and everybody asks this one.
    """

    _only: Simulated | None = None

    def __init__(self, module: Any):
        self.module = self.now = module

    @classmethod
    def of(cls, module: Any) -> Simulated:
        cls._only = cls._only or cls(module)
        return cls._only

    def jit(self, function: Any = None, device: bool = False) -> Any:
        if device:  # called as any function of Python
            return function if function is not None else lambda f: f
        return self.module.jit(function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)
