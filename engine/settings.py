"""Settings from the environment, each `FBNET_<NAME>`, read when asked for.

FBNET_CACHE    folder for compiled objects and plans; default: the user's cache folder
FBNET_CXX      a C++ compiler: the simulator of cuda runs kernels in CUDA C++ by it, too: g++
FBNET_DEBUG    0 to 5: 1 plan, 2 time and kernel of each layer, 3 range of each output,
               4 compare each layer with its reference, 5 the code generated for a kernel
FBNET_OPENCL   a part of the name of the OpenCL device or platform to use: mali
FBNET_TARGET   generate code for another machine level than this one's: x86-64-v3
FBNET_THREADS  threads of a plan, if the caller does not say
FBNET_TUNE     0: kernels are chosen by their scores, not by measuring
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_all_threads: ContextVar[bool] = ContextVar("fbnet_all_threads", default=False)
_debug: ContextVar[int | None] = ContextVar("fbnet_debug", default=None)
_tuning: ContextVar[bool | None] = ContextVar("fbnet_tuning", default=None)


def setting(name: str, default: str) -> str:
    """The environment variable FBNET_`name`, or the default if it is unset or empty."""
    return os.environ.get(f"FBNET_{name}") or default


def debug_level() -> int:
    """The debug level in force: `with debug(2):` counts before FBNET_DEBUG."""
    chosen = _debug.get()
    if chosen is not None:
        return chosen
    text = setting("DEBUG", "0")
    return int(text) if text.isdigit() else 0


@contextmanager
def debug(level: int) -> Iterator[None]:
    """Set the debug level for a block: `with fbnet.debug(2): net(x)`."""
    token = _debug.set(level)
    try:
        yield
    finally:
        _debug.reset(token)


def all_threads() -> bool:
    """Whether sessions that are made now wait for all their threads at every step that is to be shared."""
    return _all_threads.get()


@contextmanager
def waiting_for_all_threads(wait: bool = True) -> Iterator[None]:
    """In sessions made in this block no step begins before all its threads are there, as a test of sharing wants it.

    Else, or with `wait=False`, a thread that still wakes up joins at a later step.
    """
    token = _all_threads.set(wait)
    try:
        yield
    finally:
        _all_threads.reset(token)


def tuning() -> bool:
    """Whether kernels are chosen by measuring: as `tuned` says, else unless FBNET_TUNE is 0."""
    chosen = _tuning.get()
    return setting("TUNE", "1") != "0" if chosen is None else chosen


@contextmanager
def tuned(measure: bool) -> Iterator[None]:
    """Choose kernels by measuring, or by their scores, in a block."""
    token = _tuning.set(measure)
    try:
        yield
    finally:
        _tuning.reset(token)


def cache_folder() -> Path:
    """Where compiled objects and plans are kept."""
    chosen = setting("CACHE", "")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("fbnet", appauthor=False)


def default_threads() -> int:
    """Threads of a plan when the caller does not say: FBNET_THREADS, else the cores this process may use."""
    text = setting("THREADS", "")
    if text.isdigit() and int(text) > 0:
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
