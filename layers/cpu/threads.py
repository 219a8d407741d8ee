"""Team: the threads of one session. They spin for the next run for a moment, then sleep, and die with the session."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import lru_cache

import numpy as np

from . import replay

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)  # releases Python's lock


class Team:
    """The calling thread and `size - 1` workers, who replay control blocks together.

    run, work   addresses of the compiled replay.run and replay.work
    """

    def __init__(self, size: int, run: int, work: int):
        self.size = size
        self._run, self._work = _ENTRY(run), _ENTRY(work)
        line = replay.SYNC_LINE // 8
        words = np.zeros(replay.SEEN // 8 + line * size + line, np.int64)
        start = -words.ctypes.data % replay.SYNC_LINE // 8
        self._sync = words[start:]
        self._address = self._sync.ctypes.data
        self._arrived = 0  # barrier crossings of all runs so far
        self._start()

    def _start(self) -> None:
        """Start the workers; between runs."""
        self._process = os.getpid()
        self._lock = threading.Lock()  # guards GENERATION against a worker that is about to sleep
        self._asleep = [False] * self.size
        self._bells = [threading.Semaphore(0) for _ in range(self.size)]
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(1, self.size)
        ]
        for thread in self._threads:
            thread.start()

    def replay(self, control: np.ndarray) -> None:
        """Run the steps of a control block on all threads; returns when the last step is done."""
        if not control[replay.COUNT // 8]:
            return  # without a step there is no barrier: a slow worker would join the next run instead
        if self._process != os.getpid():
            self._start()  # this is a fork of the process that had the workers: none came along
        control[replay.SYNC // 8] = self._address
        control[replay.YIELD // 8] = _yield_address()
        control[replay.ARRIVED // 8] = self._arrived
        address = control.ctypes.data
        if self.size > 1:
            self._arrived += int(control[replay.COUNT // 8]) * self.size
            with self._lock:
                self._sync[replay.CONTROL // 8] = address
            with self._lock:  # after the block is written, and while nobody is falling asleep
                self._sync[replay.GENERATION // 8] += 1
                sleepers = [i for i, asleep in enumerate(self._asleep) if asleep]
                self._asleep = [False] * self.size
            for i in sleepers:
                self._bells[i].release()
        self._run(address, 0, self.size)

    def _serve(self, ith: int) -> None:
        """A worker's life: join runs natively; with none for a while, sleep until the bell."""
        seen = (replay.SEEN + replay.SYNC_LINE * ith) // 8
        while not self._sync[replay.STOP // 8]:
            self._work(self._address, ith, self.size)
            with self._lock:
                if self._sync[replay.STOP // 8] or self._sync[replay.GENERATION // 8] != self._sync[seen]:
                    continue
                self._asleep[ith] = True
            self._bells[ith].acquire()

    def close(self) -> None:
        """Send the workers home and wait until they have gone."""
        with self._lock:
            self._sync[replay.STOP // 8] = 1
        for bell in self._bells:
            bell.release()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._threads = []


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
