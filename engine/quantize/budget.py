"""budget: which layers stay in fp32 so that no more is lost than may be, at the least cost in time.

Each layer with weights is tried alone: what is lost when it is the only one in int8, what it reads and its weights
rounded, its biases corrected. That is measured smoothly: where classes or a text count by `divergence`, else by the
square of the error; losses of several then add up like independent noise. Those that lose most for the time that int8
saves come first back to fp32, as many as it takes; where that is another order, those that err most for it, too, and
what costs least time is taken. The last of them may have been what it took: then of those before it
some are let go again, from the one that loses least for its time; and at last each that is worth it is tried to do
without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..errors import InputError, QuantizationError
from ..progress import report
from .quality import Quality

TRIED = 32  # samples that single layers are tried on
WORTH = 0.05  # of the multiply-adds in fp32: with less it is not tried to do with fewer
WORTH_ONE = 0.003  # of the multiply-adds: a layer of fewer is not tried to do without
MOST_ONES = 16  # layers that are tried to do without, those that take longest


@dataclass(frozen=True)
class Budget:
    """What may be lost: points (see Quality.drop), and the outputs' relative error.

    most_float  the largest share of the multiply-adds that may stay in fp32 for it
    """

    max_drop: float | None = None
    max_error: float | None = None
    most_float: float = 0.5

    def met(self, found: Quality) -> bool:
        """Whether a net of this quality is within the budget. Raises InputError if that cannot be told."""
        if self.max_drop is not None and found.drop is None:
            raise InputError(
                "max_drop is points of top-1, but the outputs are no scores of classes, (N, C), and no text: "
                "give max_error, or a metric of your own"
            )
        within = self.max_drop is None or (found.drop is not None and found.drop <= self.max_drop + 1e-9)
        return within and (self.max_error is None or found.error <= self.max_error)

    def __str__(self) -> str:
        parts = []
        if self.max_drop is not None:
            parts.append(f"{self.max_drop:g} points")
        if self.max_error is not None:
            parts.append(f"an error of {100 * self.max_error:g} %")
        return " and ".join(parts) or "no limit"


@dataclass
class Candidate:
    """A layer that may go back to fp32.

    error    of the outputs, when it is the only layer in int8
    loss     what that loses: see `divergence`; the square of the error, where that is what counts
    seconds  that int8 saves; multiply-adds / 1e10 where it cannot be measured
    share    of the net's multiply-adds
    """

    layer: str
    error: float
    loss: float
    seconds: float
    share: float
    kept: bool = False

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self).copy()


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The most loss for the time first."""
    return sorted(candidates, key=lambda c: c.loss / max(c.seconds, 1e-9), reverse=True)


def ranked_by_error(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The most square error for the time first."""
    return sorted(candidates, key=lambda c: c.error**2 / max(c.seconds, 1e-9), reverse=True)


def back_to_float(
    budget: Budget, candidates: Sequence[Candidate], judge: Callable[[Sequence[str]], Quality], whole: Quality
) -> list[str]:
    """Mark candidates, the first of one rank or the other, with which the budget is met; returns their layers.

    judge  names of layers kept in fp32 -> quality

    Raises QuantizationError, with the table, if that is too much of the net.
    """
    tried: dict[tuple[str, ...], Quality] = {(): whole}

    def met(chosen: Sequence[Candidate]) -> bool:
        names = tuple(c.layer for c in chosen)
        if names not in tried:
            report(f"{len(names)} layers in fp32", len(tried), 20 + MOST_ONES)
            tried[names] = judge(names)
        return budget.met(tried[names])

    by_time = [ranked(candidates), ranked_by_error(candidates)]
    by_loss = sorted(candidates, key=lambda c: -c.loss)
    found: list[Sequence[Candidate]] = []
    for order in [*by_time, by_loss]:
        if order is by_loss and found:
            break
        allowed = _first(order, budget.most_float)
        enough = _fewest(allowed, met)
        found += [] if enough is None else [enough]
    if not found:
        best = min(tried.values(), key=lambda q: (q.drop or 0.0, q.error))
        share = 100 * sum(c.share for c in allowed)
        raise QuantizationError(
            f"the budget of {budget} is not met with {share:.2g} % of the multiply-adds in fp32: {best}. "
            "Calibrate with more samples, allow more, or raise most_float",
            [c.described() for c in ranked(candidates)],
        )
    chosen = min(found, key=lambda some: sum(c.seconds for c in some))
    if sum(c.share for c in chosen) > WORTH:
        chosen = _fewer(chosen, met)
    for candidate in chosen:
        candidate.kept = True
    return [c.layer for c in chosen]


def _first(order: Sequence[Candidate], most: float) -> Sequence[Candidate]:
    """As many of the first as have at most this share of the multiply-adds."""
    shares = accumulate(c.share for c in order)
    return order[: sum(share <= most + 1e-9 for share in shares)]


def _fewest(
    order: Sequence[Candidate], met: Callable[[Sequence[Candidate]], bool]
) -> Sequence[Candidate] | None:
    """As few of the first as it takes; None if all of them do not do."""
    count = min(1, len(order))
    while count < len(order) and not met(order[:count]):
        count = min(2 * count, len(order))
    if not count or not met(order[:count]):
        return None
    low = count // 2  # not met, unless it is 0
    while count - low > 1:
        middle = (low + count) // 2
        low, count = (low, middle) if met(order[:middle]) else (middle, count)
    return order[:count]


def _fewer(chosen: Sequence[Candidate], met: Callable[[Sequence[Candidate]], bool]) -> Sequence[Candidate]:
    """As few of these as will do with the last one."""
    *others, last = chosen
    low, high = -1, len(others)  # so many of the others will not do, and will
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if met([*others[:middle], last]) else (middle, high)
    chosen = [*others[:high], last]
    slow = sorted((c for c in chosen if c.share > WORTH_ONE), key=lambda c: -c.seconds)
    for candidate in slow[:MOST_ONES]:
        without = [c for c in chosen if c is not candidate]
        if without and met(without):
            chosen = without
    return chosen
