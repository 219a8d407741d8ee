"""ranges: from a histogram of a tensor's numbers to the range that int8 is to cover.

What lies beyond a range is clamped; what lies within is rounded to steps of (high - low) / 255. The methods weigh one
error against the other:

minmax      no clamping
percentile  a share of 0.01 % may be clamped, half of it on each side
mse         the least mean square error. Banner et al. 2019, arXiv:1810.05723
entropy     the least information lost, KL(numbers | int8 numbers). Migacz 2017, "8-bit inference with TensorRT"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..dtype import Quantization
from ..registry import Registry

BINS = 2048
CLAMPED = 1e-4  # the share of numbers that `percentile` leaves outside
Function = Callable[[np.ndarray], np.ndarray]


@dataclass
class Histogram:
    """How often numbers fall into each of BINS equal bins from low to high."""

    low: float
    high: float
    counts: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        """The number that each bin stands for."""
        step = (self.high - self.low) / len(self.counts)
        return self.low + step * (np.arange(len(self.counts)) + 0.5)

    def add(self, numbers: np.ndarray) -> None:
        """Count more numbers, all between low and high."""
        if self.high > self.low:
            scaled = (numbers.ravel() - np.float32(self.low)) * np.float32(BINS / (self.high - self.low))
            places = np.clip(scaled.astype(np.int32), 0, BINS - 1)
            self.counts += np.bincount(places, minlength=BINS)


def united(histograms: list[Histogram]) -> Histogram:
    """One histogram of all their numbers."""
    if len(histograms) == 1:
        return histograms[0]
    low, high = min(h.low for h in histograms), max(h.high for h in histograms)
    whole = Histogram(low, high, np.zeros(BINS))
    for h in histograms:
        if high > low:
            places = ((h.centers - low) * (BINS / (high - low))).astype(np.int64).clip(0, BINS - 1)
            whole.counts += np.bincount(places, weights=h.counts, minlength=BINS)
    return whole


def quantization_of(low: float, high: float) -> Quantization:
    """int8 for numbers from low to high, and for 0, which is exact: padding and rectifiers need it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if not scale > np.finfo(np.float32).tiny:
        scale = 1.0  # a tensor that is always 0
    return Quantization((scale,), (int(np.clip(np.rint(-128 - low / scale), -128, 127)),))


def rounded(x: np.ndarray, q: Quantization) -> np.ndarray:
    """x after a way through int8 and back."""
    (scale,), (zero,) = q.scale, q.zero
    return (np.clip(np.rint(x / scale) + zero, -128, 127) - zero) * scale


methods: Registry[Callable[[Histogram], tuple[float, float]]] = Registry("calibration method")


def method(name: str) -> Callable:
    """Register a function Histogram -> (low, high)."""

    def register(function: Callable) -> Callable:
        return methods.add(name, function, function.__module__)

    return register


@method("minmax")
def minmax(h: Histogram) -> tuple[float, float]:
    return h.low, h.high


@method("percentile")
def percentile(h: Histogram) -> tuple[float, float]:
    share = np.cumsum(h.counts) / max(1.0, h.counts.sum())
    step = (h.high - h.low) / BINS
    first = int(np.searchsorted(share, CLAMPED / 2, side="right"))
    last = int(np.searchsorted(share, 1 - CLAMPED / 2))
    return h.low + first * step, h.low + (min(last, BINS - 1) + 1) * step


@method("mse")
def mse(h: Histogram) -> tuple[float, float]:
    return least_error(h, lambda x: x)


def least_error(h: Histogram, function: Function) -> tuple[float, float]:
    """The range with the least mean square error of function(x): x may be clamped where the function is flat.

    Looks at ends from 5 % to 100 % of the largest numbers, coarsely at first, then finely about the best.
    """
    x, weight = h.centers, h.counts / max(1.0, h.counts.sum())
    seen = weight > 0
    x, weight = x[seen], weight[seen]
    if not len(x):
        return h.low, h.high
    wanted = function(x)

    def error(low: float, high: float) -> float:
        with np.errstate(all="ignore"):
            found = function(rounded(x, quantization_of(low * h.low, high * h.high)))
            total = float(np.square(found - wanted) @ weight)
        return total if np.isfinite(total) else np.inf

    lows = np.linspace(0.05, 1, 20) if h.low < 0 else np.ones(1)
    highs = np.linspace(0.05, 1, 20) if h.high > 0 else np.ones(1)
    best = min((error(a, b), -a, -b) for a in lows for b in highs)
    near = np.linspace(-0.04, 0.04, 9)
    lows = np.clip(-best[1] + near, 0.01, 1) if h.low < 0 else np.ones(1)
    highs = np.clip(-best[2] + near, 0.01, 1) if h.high > 0 else np.ones(1)
    best = min(best, *((error(a, b), -a, -b) for a in lows for b in highs))
    return -best[1] * h.low, -best[2] * h.high


@method("entropy")
def entropy(h: Histogram) -> tuple[float, float]:
    if not h.counts.any():
        return h.low, h.high
    counts = h.counts.copy()
    step = (h.high - h.low) / BINS
    if h.low <= 0 <= h.high and step:  # zeros are exact in int8, and behind a rectifier there are very many
        at = min(int(-h.low / step), BINS - 1)
        near = [counts[i] for i in (at - 1, at + 1) if 0 <= i < BINS]
        counts[at] = min(counts[at], sum(near) / len(near))
    h = Histogram(h.low, h.high, counts)
    ends = max(abs(h.low), abs(h.high)) * np.linspace(1, 0.02, 99)
    _, end = min((_loss(h, max(h.low, -end), min(h.high, end)), -end) for end in ends)
    return max(h.low, end), min(h.high, -end)


def _loss(h: Histogram, low: float, high: float) -> float:
    """KL(P | Q): P the numbers clamped to [low, high], Q what 256 levels tell of those inside."""
    x = h.centers
    inside = (x >= low) & (x <= high)
    if not inside.any():
        return np.inf
    x, q = x[inside], h.counts[inside]
    p = q.copy()
    first, last = np.flatnonzero(inside)[[0, -1]]
    p[0] += h.counts[:first].sum()
    p[-1] += h.counts[last + 1 :].sum()
    level = np.clip(((x - low) * (256 / max(high - low, 1e-30))).astype(np.int64), 0, 255)
    full = q > 0
    cells = np.bincount(level[full], minlength=256)
    spread = np.bincount(level, weights=q, minlength=256) / np.maximum(cells, 1)
    q = np.where(full, spread[level], 0)
    p, q = p / p.sum(), q / max(q.sum(), 1e-30)
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))))
