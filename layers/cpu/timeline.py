"""timeline: which thread was at which share of which step of a run, and when.

The replay loop is not touched. Each step's kernel is wrapped in another that looks at the clock, calls it, and looks
at the clock again; a run of the wrapped steps is a run as any other, with the same threads.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.device import Span
from ...engine.errors import DeviceError
from ...engine.kernel import Parameter
from . import simd
from .loader import load

if TYPE_CHECKING:
    from .device import Cpu, Handle

# words of a wrapped step's argument block, in bytes
ENTRY, ARGS, CLOCK, WHO, SHARES = 0, 8, 16, 24, 32
BLOCK_WORDS = 5

# words of a share: the thread, then two timespecs (seconds, nanoseconds), before and after
THREAD, BEFORE, AFTER = 0, 8, 24
SHARE_BYTES = 64  # a cache line, so that threads do not disturb each other
MONOTONIC = getattr(time, "CLOCK_MONOTONIC", 0)


def timed(block, ith, nth):
    """The kernel ENTRY on its arguments ARGS, between two looks at the clock."""
    share = simd.load_word(block + SHARES) + SHARE_BYTES * ith
    simd.store_word(share + THREAD, simd.call_word(simd.load_word(block + WHO)))
    simd.call_kernel(simd.load_word(block + CLOCK), MONOTONIC, share + BEFORE, 0)
    simd.call_kernel(simd.load_word(block + ENTRY), simd.load_word(block + ARGS), ith, nth)
    simd.call_kernel(simd.load_word(block + CLOCK), MONOTONIC, share + AFTER, 0)


def recorded(device: Cpu, handle: Handle) -> list[Span]:
    """Run every step of a prepared handle once; see Device.timeline."""
    block = [Parameter("block", "block"), Parameter("ith", "share"), Parameter("nth", "share")]
    (entry,), code = load([device.compile_kernel(timed, block)[1]])
    clock, who = _c_function("clock_gettime"), _c_function("pthread_self")
    size = handle.team.size  # type: ignore[union-attr]
    shares = np.zeros((len(handle.plan.steps), size, SHARE_BYTES // 8), np.int64)
    controls: list[Any] = []
    tables, number = [], 0
    for item in handle.work:
        if isinstance(item, str):
            controls.append((number, item))
            number += 1
            continue
        control, table = item.control.copy(), item.table.copy()
        at = [shares[number + i].ctypes.data for i in range(len(table))]
        blocks = np.array([[e, a, clock, who, s] for (e, a, _), s in zip(table, at, strict=True)], np.int64)
        table[:, 0], table[:, 1] = entry, [row.ctypes.data for row in blocks]
        control[1] = table.ctypes.data
        tables += [table, blocks]
        controls.append((number, control))
        number += len(table)
    device.forward(handle)  # wakes the threads
    for number, item in controls:
        if isinstance(item, str):
            before = time.monotonic_ns()
            handle.arena.compute(item)  # type: ignore[union-attr]
            shares[number, 0, :5] = -1, *divmod(before, 10**9), *divmod(time.monotonic_ns(), 10**9)
        else:
            handle.team.replay(item)  # type: ignore[union-attr]
    del code, tables
    return _spans(shares)


def _spans(shares: np.ndarray) -> list[Span]:
    """What was written down, with times from the first on, and threads counted, the leader first."""
    nanoseconds = shares[..., (1, 3)] * 10**9 + shares[..., (2, 4)]
    used = nanoseconds[..., 1] > 0
    seconds = (nanoseconds - nanoseconds[used].min(initial=1 << 62)) / 1e9
    leader = next((int(t) for t in shares[:, 0, 0] if t > 0), -1)
    threads = {-1: 0, leader: 0}
    found = []
    for step, share in np.argwhere(used):
        thread = threads.setdefault(int(shares[step, share, 0]), len(threads) - 1)
        start, end = seconds[step, share].tolist()
        found.append(Span(int(step), thread, int(share), start, end))
    return found


def _c_function(name: str) -> int:
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        raise DeviceError(f"this system has no {name}: what its threads do cannot be written down") from None
