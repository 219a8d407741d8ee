"""The most multiply-adds that this machine does, measured: what every kernel's rate is held against."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from ...engine.device import devices
from ...engine.kernel import Parameter
from . import loader, simd
from .target import host
from .threads import Team

CHAINS = (
    12  # enough to hide the latency of two units (4 or 5 cycles each); with two operands, within 16 registers
)
ROUNDS = 500_000  # of all chains: some 2 ms
TRIES = 40


def fma_chains(x, rounds, ith, nth):
    """x = x / 2 + 1/2, CHAINS vectors at a time and nothing else: no chain waits for another, nor for memory."""
    start, step = simd.address(x), 4 * simd.LANES
    half = simd.load(start)
    a = simd.load(start + step)
    b = simd.load(start + 2 * step)
    c = simd.load(start + 3 * step)
    d = simd.load(start + 4 * step)
    e = simd.load(start + 5 * step)
    f = simd.load(start + 6 * step)
    g = simd.load(start + 7 * step)
    h = simd.load(start + 8 * step)
    i = simd.load(start + 9 * step)
    j = simd.load(start + 10 * step)
    k = simd.load(start + 11 * step)
    m = simd.load(start + 12 * step)
    for _ in range(rounds):
        a = simd.fma(a, half, half)
        b = simd.fma(b, half, half)
        c = simd.fma(c, half, half)
        d = simd.fma(d, half, half)
        e = simd.fma(e, half, half)
        f = simd.fma(f, half, half)
        g = simd.fma(g, half, half)
        h = simd.fma(h, half, half)
        i = simd.fma(i, half, half)
        j = simd.fma(j, half, half)
        k = simd.fma(k, half, half)
        m = simd.fma(m, half, half)
    total = simd.add(simd.add(simd.add(a, b), simd.add(c, d)), simd.add(simd.add(e, f), simd.add(g, h)))
    total = simd.add(total, simd.add(simd.add(i, j), simd.add(k, m)))
    simd.store(start + (13 + ith) * step, total)  # so that none of it can be left out


def measured(threads: int = 1) -> float:
    """GFLOP/s of all threads together, the best of some tries; a multiply-add is two operations."""
    cpu, lanes = devices["cpu"], host().lanes
    parameters = [Parameter("x", "array", "float32", 1), Parameter("rounds", "int")]
    parameters += [Parameter("ith", "share"), Parameter("nth", "share")]
    kernel = cpu.compile_kernel(fma_chains, parameters)[1]
    entries, code = loader.load([kernel, *cpu.runtime_objects()])
    numbers = np.random.default_rng(0).random(lanes * (13 + threads)).astype(np.float32)
    numbers[:lanes] = 0.5
    block = np.array([numbers.ctypes.data, numbers.size, ROUNDS], np.int64)
    table = np.array([entries[0], block.ctypes.data], np.int64)
    control = np.array([1, table.ctypes.data, 0, 0, 0], np.int64)
    team = Team(threads, run=entries[-2], work=entries[-1])
    try:
        team.replay(control)
        seconds = min(_timed(team, control) for _ in range(TRIES))
    finally:
        team.close()
    del code  # must outlive the runs
    return 2 * CHAINS * lanes * ROUNDS * threads / seconds / 1e9


def _timed(team: Team, control: np.ndarray) -> float:
    start = perf_counter()
    team.replay(control)
    return perf_counter() - start
