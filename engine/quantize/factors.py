"""factors: which factors of a tensor's channels leave the least noise, by the weights that read it.

int8 gives all channels of a tensor one step, and each number an error of step**2 / 12 in the mean square. A channel
that was multiplied by f as it was written has 1/f**2 of that when f is taken back. What that does to the sums of a
layer that reads it, relative to what these sums tell, is, for each of its outputs m,

    noise[m]  = sum_c w[m, c]**2 * step**2 / 12 / f[c]**2      of the numbers
              + (max_c |w[m, c] / f[c]| / 127)**2 / 12 * sum_c f[c]**2 * var[c]     of its own weights, rounded too
    signal[m] = sum_c w[m, c]**2 * var[c]                      as if channels had nothing to do with each other

Larger factors make the numbers finer, but the weights that take them back coarser; and a channel that is let go
farther below 0 than any other makes the step longer for all. So a few shapes of factors are tried for tensors that
have channels in common, and what makes the least noise / signal in the mean of all m is taken.

The formula is too kind to coarse weights: they err alike at all places, and numbers do not. Left to it, SqueezeNet 1.1
errs by 7.7 % instead of 3.6; so where a layer sums over channels, factors are held back by SHARED, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ..layer import Layer
from .observation import Seen
from .rules import Weighing

LARGEST = 64.0  # factor; the least is 1 / LARGEST
LARGEST_LIMITED = 8.0  # where a limit cuts off what is larger than anything seen, though fp32 does not
HEADROOM = 0.9  # of a tensor's range is what a channel is brought to, for what no sample has shown
EXPONENTS = (1.0, 0.75, 0.5, 0.0)  # of what would bring each channel to the ends of the range
SHARED = 0.5  # the largest exponent where readers sum over channels
SIDES = (0.0, 0.25, 0.5, 0.75, 1.0)  # from the range's shorter side as it is to one as long as the other
TOPS = (1.0, 0.5, 0.25, 0.125)  # of the largest channel, where others of the tensor cannot have factors
MOST_WEIGHTS = 1 << 16  # of a layer that are looked at


@dataclass
class Reader:
    """Weights by which a tensor's channels are multiplied.

    ids     (M, C) which channel each is of      energy  (M, C) the sum of their squares
    peak    (M, C) the largest of them           cells   how many weights there are for each m and c
    """

    ids: np.ndarray
    energy: np.ndarray
    peak: np.ndarray
    cells: int

    @classmethod
    def of(cls, rule: Weighing, layer: Layer, w: np.ndarray, channels: int) -> Reader:
        """Of a layer's weights w."""
        rows = rule.rows(layer, w.astype(np.float32))
        ids = rule.rows(layer, rule.by_input(layer, np.ones_like(w), np.arange(channels, dtype=np.float32)))
        order = np.argsort(ids[0], kind="stable")
        count = len(np.unique(ids[0]))
        few = slice(None, None, max(1, len(rows) * count // MOST_WEIGHTS))
        cells = rows[few][:, order].reshape(-1, count, rows.shape[1] // count)
        each = ids[few][:, order[:: cells.shape[2]]].astype(np.int64)
        return cls(each, np.square(cells).sum(2), np.abs(cells).max(2), cells.shape[2])

    def noise(self, factors: np.ndarray, step: float, var: np.ndarray) -> float:
        """noise / signal, at most 1 each, in the mean of all outputs."""
        f, v = factors[self.ids], var[self.ids]
        signal = (self.energy * v).sum(1)
        read = (self.energy / np.square(f)).sum(1) * step**2
        coarse = np.square((self.peak / f).max(1) / 127) * (np.square(f) * v).sum(1) * self.cells
        return _mean_share((read + coarse) / 12, signal)


@dataclass
class _Group:
    """Tensors in one quantization, side by side: of each channel its class, how far it goes, and its variance."""

    classes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    var: np.ndarray
    readers: list[tuple[slice, Reader | None]] = field(default_factory=list)

    def room(self, side: float, top: float) -> np.ndarray:
        """The factor of each channel that brings it to the ends of the range; infinite for one that is always 0."""
        high, low = float(self.high.max()), float(self.low.max())
        longer, shorter = max(high, low, 1e-30), min(high, low)
        ends = longer, max(shorter, longer / LARGEST) ** (1 - side) * longer**side
        up, down = ends if high >= low else ends[::-1]
        taken = np.maximum(self.high / up, self.low / down)
        return np.divide(top, taken, out=np.full_like(taken, np.inf), where=taken > 0)

    def noise(self, factors: np.ndarray) -> float:
        f = factors[self.classes]
        step = ((f * self.low).max() + (f * self.high).max()) / 255
        total = 0.0
        for part, reader in self.readers:
            if reader is None:
                total += _mean_share((step / f[part]) ** 2 / 12, self.var[part])
            else:
                total += reader.noise(f[part], step, self.var[part])
        return total


def least_noise(
    groups: Sequence[Sequence[str]],
    seen: Mapping[str, Seen],
    classes: Mapping[str, np.ndarray],
    grows: np.ndarray,
    readers: Mapping[str, Sequence[Reader | None]],
) -> np.ndarray:
    """The factor of each class of channels; of class 0 it is 1.

    groups    tensors that are in one quantization
    classes   of each tensor the class of every channel
    grows     of each class whether its factor must not be below 1, since what is written is limited
    readers   of a tensor: what reads it, None for what has no weights
    """
    parts = [_group([n for n in names if n in classes], seen, classes, readers) for names in groups]
    factors = np.ones(len(grows))
    for together in _connected([part for part in parts if part is not None], len(grows)):
        _decide(together, factors, grows)
    return factors


def _group(
    names: Sequence[str],
    seen: Mapping[str, Seen],
    classes: Mapping[str, np.ndarray],
    readers: Mapping[str, Sequence[Reader | None]],
) -> _Group | None:
    """These tensors side by side; None if nothing of them can have a factor."""
    names = [n for n in names if classes[n].shape == seen[n].channel_low.shape]
    if not any(classes[n].any() for n in names):
        return None
    found = _Group(
        np.concatenate([classes[n] for n in names]),
        np.concatenate([np.maximum(-seen[n].channel_low, 0) for n in names]).astype(np.float64),
        np.concatenate([np.maximum(seen[n].channel_high, 0) for n in names]).astype(np.float64),
        np.concatenate([seen[n].channel_var for n in names]),
    )
    start = 0
    for n in names:
        part = slice(start, start + len(classes[n]))
        found.readers += [(part, reader) for reader in readers.get(n, ())]
        start = part.stop
    return found


def _connected(groups: Sequence[_Group], count: int) -> Iterator[list[_Group]]:
    """Groups that have classes in common, but for class 0."""
    parts: list[tuple[np.ndarray, list[_Group]]] = []
    for group in groups:
        mine, together = np.zeros(count, bool), [group]
        mine[group.classes] = True
        mine[0] = False
        others = []
        for mask, some in parts:
            if (mask & mine).any():
                mine, together = mask | mine, some + together
            else:
                others.append((mask, some))
        parts = [*others, (mine, together)]
    yield from (together for _, together in parts)


def _decide(groups: Sequence[_Group], factors: np.ndarray, grows: np.ndarray) -> None:
    """Put into `factors` those of these groups' classes."""
    mine = np.unique(np.concatenate([g.classes for g in groups]))
    fixed, mine = mine[:1] == 0, mine[mine > 0]
    least, largest = np.where(grows, [[1.0], [LARGEST_LIMITED]], [[1 / LARGEST], [LARGEST]])[:, mine]
    summed = np.zeros(len(factors), bool)
    for g in groups:
        for part, reader in g.readers:
            if reader is not None and reader.ids.shape[1] > 1:
                summed[g.classes[part]] = True
    most = np.where(summed[mine], SHARED, 1.0)
    best = sum(g.noise(factors) for g in groups)
    found = factors[mine]
    for side, top in product(SIDES, TOPS if fixed.any() else TOPS[:1]):
        room = np.full(len(factors), np.inf)
        for g in groups:
            np.minimum.at(room, g.classes, g.room(side, top))
        whole = np.clip(HEADROOM * room[mine], min(top, 1), largest)
        for exponent in EXPONENTS:
            factors[mine] = np.maximum(whole ** np.minimum(exponent, most), least)
            noise = sum(g.noise(factors) for g in groups)
            if noise < best:
                best, found = noise, factors[mine]
    factors[mine] = found


def _mean_share(noise: np.ndarray, signal: np.ndarray) -> float:
    """The mean of noise / signal, of which none counts for more than 1; what tells nothing has nothing to lose."""
    share = np.divide(np.minimum(noise, signal), signal, out=np.zeros_like(signal), where=signal > 0)
    return float(share.mean())
