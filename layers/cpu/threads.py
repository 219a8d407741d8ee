"""Team: the threads of one session. Workers spin for more for a moment, then sleep, and end with the session."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from weakref import WeakSet

import numpy as np

from ...engine.settings import all_threads
from . import replay

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)  # releases Python's lock


class Team:
    """The calling thread, which leads, and `size - 1` workers, who share the steps of control blocks.

    run, work   addresses of the compiled replay.run and replay.work
    """

    def __init__(self, size: int, run: int, work: int):
        self.size = size
        self._run, self._work = _ENTRY(run), _ENTRY(work)
        words = np.zeros((replay.SLOTS + replay.SYNC_LINE * (size + 1)) // 8, np.int64)
        start = -words.ctypes.data % replay.SYNC_LINE // 8
        self._sync = words[start:]
        self._address = self._sync.ctypes.data
        self._slots = self._sync[replay.SLOTS // 8 :: replay.SYNC_LINE // 8]
        self._wait = int(all_threads())
        _teams.add(self)
        self._start()

    def _start(self) -> None:
        """Start the workers; between runs."""
        self._process = os.getpid()
        self._processors = processors()
        self._sync[replay.YIELD // 8] = _yield_address()
        self._slots[: self.size] = replay.AWAY
        self._rung = [False] * self.size  # bells that their workers have not heard yet
        self._bells = [threading.Semaphore(0) for _ in range(self.size)]
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(1, self.size)
        ]
        for thread in self._threads:
            thread.start()

    def replay(self, control: np.ndarray) -> None:
        """Run the steps of a control block; returns when the last step is done."""
        if self._process != os.getpid():
            self._start()  # this is a fork of the process that had the workers: none came along
        control[replay.SYNC // 8] = self._address
        control[replay.WAIT // 8] = self._wait
        self._sync[replay.STAY // 8] = 1
        for i in range(1, self.size):
            # who is to be waited for is rung in any case: a worker that is ready now may be leaving
            if (self._wait or self._slots[i] == replay.AWAY) and not self._rung[i]:
                self._rung[i] = True
                wake_elsewhere(self._threads[i - 1], self._processors)
                self._bells[i].release()
        self._run(control.ctypes.data, 0, self.size)

    def _serve(self, ith: int) -> None:
        """A worker's life: sleep until the bell, then carry out orders natively until none has come for a while."""
        while not self._sync[replay.STOP // 8]:
            self._bells[ith].acquire()
            self._rung[ith] = False
            run_anywhere(self._processors)
            self._work(self._address, ith, self.size)

    def close(self) -> None:
        """Send the workers home and wait until they have gone."""
        self._sync[replay.STOP // 8] = 1
        for bell in self._bells:
            bell.release()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._threads = []


_teams: WeakSet[Team] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Send all workers home while there is still a Python to come back to.

    Later a worker could not be joined, and the memory with the code that it spins in would go from under its feet.
    """
    for team in list(_teams):
        team.close()


def processors() -> frozenset[int]:
    """Those that this process may use; none where they cannot be chosen."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def wake_elsewhere(thread: threading.Thread, allowed: frozenset[int]) -> None:
    """Let a sleeping thread wake up on another processor than this one.

    Linux likes to wake a thread where its waker runs. There the leader is about to work and then to wait for it, while
    another processor idles, until the scheduler notices: milliseconds, in which a small net could run many times.
    """
    if len(allowed) > 1 and thread.native_id is not None:
        with suppress(
            OSError, AttributeError
        ):  # a processor that was taken away meanwhile, a C library without it
            os.sched_setaffinity(thread.native_id, allowed - {_c_library().sched_getcpu()})


def run_anywhere(allowed: frozenset[int]) -> None:
    """Let this thread, which is awake, move to any processor again."""
    if len(allowed) > 1:
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)


@lru_cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@lru_cache
def _yield_address() -> int:
    """The C function that offers the processor to other threads; 0 where there is none that we know."""
    try:
        function = (
            ctypes.WinDLL("kernel32").SwitchToThread  # type: ignore[attr-defined]
            if sys.platform == "win32"
            else ctypes.CDLL(None).sched_yield
        )
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
