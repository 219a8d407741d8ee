"""observation: run a net on samples, and note how the numbers of its tensors lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..net import Net
from ..progress import report
from .ranges import BINS, Histogram
from .samples import Arrays, batch_size, batches, run


@dataclass
class Seen:
    """A tensor's numbers over all samples: their histogram, and for each channel (axis 1) the smallest and largest.

    moments  (3, C): of each channel how many numbers, their sum, and the sum of their squares
    """

    histogram: Histogram
    channel_low: np.ndarray
    channel_high: np.ndarray
    moments: np.ndarray

    @property
    def channel_var(self) -> np.ndarray:
        """The variance of each channel, (C,)."""
        count, total, squares = self.moments
        return np.maximum(squares / count - np.square(total / count), 0)


def observe(net: Net, tensors: Sequence[str], samples: Sequence[Arrays]) -> dict[str, Seen]:
    """What these tensors hold when the net is run on the samples, in two rounds: ranges, then histograms.

    Raises InputError if a number is NaN or infinite.
    """
    given = [name for name in tensors if name in net.inputs]
    computed = [name for name in tensors if name not in net.inputs]
    watched = net.replace(outputs=computed, tests=(), plans={}) if computed else None
    size = batch_size(net, samples[0], tensors)
    total = 2 * len(list(batches(samples, size)))
    seen: dict[str, Seen] = {}
    done = 0
    for last in (False, True):
        for batch in batches(samples, size):
            report("observing ranges", done, total)
            done += 1
            arrays = {name: batch[name] for name in given} | (run(watched, batch) if watched else {})
            for name, array in arrays.items():
                if last:
                    seen[name].histogram.add(array)
                else:
                    seen[name] = _widened(net, seen.get(name), name, array)
    return seen


def _widened(net: Net, seen: Seen | None, name: str, array: np.ndarray) -> Seen:
    each = tuple(axis for axis in range(array.ndim) if axis != 1)
    lows, highs = (array.min(each), array.max(each)) if array.ndim > 1 else (array, array)
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise InputError(f"{net.name}: {name!r} becomes NaN or infinite in fp32 on the calibration samples")
    wide = array.astype(np.float64)
    count = np.full(lows.shape, array.size / max(1, lows.size))
    moments = np.stack(
        [count, wide.sum(each), np.square(wide).sum(each)] if array.ndim > 1 else [count, wide, wide**2]
    )
    if seen is not None and seen.channel_low.shape == lows.shape:
        moments = seen.moments + moments
        lows, highs = np.minimum(seen.channel_low, lows), np.maximum(seen.channel_high, highs)
    low, high = float(lows.min()), float(highs.max())
    if seen is not None:
        low, high = min(low, seen.histogram.low), max(high, seen.histogram.high)
    return Seen(Histogram(low, high, np.zeros(BINS)), lows, highs, moments)
