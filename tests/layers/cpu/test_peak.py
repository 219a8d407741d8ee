import numpy as np
from fbnet.layers.cpu import peak
from fbnet.layers.cpu.target import host


def test_peak_is_a_rate(monkeypatch):
    monkeypatch.setattr(peak, "ROUNDS", 2000)
    one, two = peak.measured(), peak.measured(threads=2)
    assert 0.1 < one < 1000 and 0.1 < two < 2000  # GFLOP/s


def test_what_runs_is_the_arithmetic_it_says():
    """In Python, a vector at a time: 12 chains go from 1 towards 1, so each vector of results is 12."""

    class Simd:
        LANES = host().lanes
        memory = np.full(14 * LANES, 1, np.float32)

        def address(self, x):
            return 0

        def load(self, at):
            return self.memory[at // 4 :][: self.LANES]

        def store(self, at, vector):
            self.memory[at // 4 :][: self.LANES] = vector

        def add(self, x, y):
            return x + y

        def fma(self, x, y, z):
            return x * y + z

    simd = Simd()
    simd.memory[: simd.LANES] = 0.5
    function = type(peak.fma_chains)(peak.fma_chains.__code__, {"simd": simd, "range": range})
    function(simd.memory, 3, 0, 1)
    assert (simd.memory[13 * simd.LANES :] == peak.CHAINS).all()
