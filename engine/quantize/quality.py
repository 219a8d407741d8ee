"""quality: how near an integer net comes to the fp32 net that it was made of, on samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..device import devices
from ..errors import InputError
from ..net import Net
from ..progress import report
from .samples import Arrays, batch_size, batches, plan_for, run

Labels = Sequence["int | Collection[int]"]


@dataclass(frozen=True)
class Quality:
    """An integer net beside fp32, on so many samples.

    error       of the outputs, the root of mean square relative to fp32's; the worst output's
    agreement   percent of the samples whose best class, or whose text, is fp32's; None where the outputs are neither
    top1_fp32, top1_int8    percent of the samples whose best class is right; None without labels
    top5_fp32, top5_int8    percent of which a right class is among the best five; None with five classes or fewer
    lost        percent of the samples that are right in fp32 and wrong in int8; None without labels
    metric_fp32, metric_int8    what the user's own metric says of the two nets; None without one
    """

    samples: int
    error: float
    agreement: float | None = None
    top1_fp32: float | None = None
    top1_int8: float | None = None
    top5_fp32: float | None = None
    top5_int8: float | None = None
    lost: float | None = None
    metric_fp32: float | None = None
    metric_int8: float | None = None

    @property
    def drop(self) -> float | None:
        """Points of the metric that are lost; without one, of top-1; without labels, of agreement.

        A sample that only int8 gets right makes up for none: on other samples it may be none.
        """
        if self.metric_fp32 is not None and self.metric_int8 is not None:
            return self.metric_fp32 - self.metric_int8
        if self.lost is not None:
            return self.lost
        return None if self.agreement is None else 100 - self.agreement

    def described(self) -> dict[str, Any]:
        """For JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        parts = []
        if self.metric_fp32 is not None:
            parts.append(f"metric {self.metric_int8:.2f} of {self.metric_fp32:.2f} in fp32")
        if self.top1_fp32 is not None:
            parts.append(f"top-1 {self.top1_int8:.2f} % of {self.top1_fp32:.2f} % in fp32")
        if self.top5_fp32 is not None:
            parts.append(f"top-5 {self.top5_int8:.2f} % of {self.top5_fp32:.2f} %")
        if self.agreement is not None:
            parts.append(f"{self.agreement:.2f} % say what fp32 does")
        return (
            ", ".join([*parts, f"outputs differ by {100 * self.error:.2f} %"])
            + f" ({self.samples} sample{'s' * (self.samples != 1)})"
        )


def judged_outputs(net: Net) -> list[str]:
    """The tensors to compare: the net's outputs, but what a Softmax or a choice of classes reads instead of what it
    writes. A text, the classes of CTCGreedy, is one besides.
    """
    writers = {o: layer for layer in net.layers for o in layer.outputs}
    found, texts = [], []
    for name in net.outputs:
        if name in writers and writers[name].type == "CTCGreedy" and name == writers[name].outputs[0]:
            texts.append(name)
        while name in writers and writers[name].type in (
            "Softmax",
            "Flatten",
            "Reshape",
            "TopK",
            "CTCGreedy",
        ):
            name = writers[name].inputs[0]
        found.append(name)
    return list(dict.fromkeys([*found, *texts]))


def answers(net: Net, outputs: Sequence[str], samples: Sequence[Arrays]) -> list[Arrays]:
    """These tensors of the net, for each batch of samples."""
    watched = net.replace(outputs=outputs, tests=(), plans={})
    size = batch_size(net, samples[0], outputs)
    return [run(watched, batch) for batch in batches(samples, size)]


def quality(exact: Sequence[Arrays], got: Sequence[Arrays], labels: Labels | None = None) -> Quality:
    """Two nets' answers beside each other. Raises InputError for labels that do not fit."""
    names = [name for name, first in exact[0].items() if first.dtype.kind == "f"] or list(exact[0])
    error = max(_error([e[name] for e in exact], [g[name] for g in got]) for name in names)
    ours, theirs = _best(exact), _best(got)
    count = sum(len(next(iter(e.values()))) for e in exact)
    if ours is None or theirs is None:
        if labels is not None:
            raise InputError("labels were given, but the outputs are no scores of classes, (N, C)")
        return Quality(count, error, _same_texts(exact, got))
    agreement = 100 * float(np.mean(ours[:, 0] == theirs[:, 0]))
    if labels is None:
        return Quality(count, error, agreement)
    right = _checked_labels(labels, len(ours), ours.shape[1])

    def hits(best: np.ndarray, most: int) -> np.ndarray:
        return np.array([bool(r & set(b[:most].tolist())) for b, r in zip(best, right, strict=True)])

    first, second = hits(ours, 1), hits(theirs, 1)
    found = [first, second] + ([hits(best, 5) for best in (ours, theirs)] if ours.shape[1] > 5 else [])
    lost = 100 * float(np.mean(first & ~second))
    fields = ("top1_fp32", "top1_int8", "top5_fp32", "top5_int8")
    percents = {name: 100 * float(np.mean(hit)) for name, hit in zip(fields, found, strict=False)}
    return Quality(count, error, agreement, lost=lost, **percents)


def _checked_labels(labels: Labels, count: int, classes: int) -> list[set[int]]:
    right = [{int(k) for k in r} if isinstance(r, Collection) else {int(r)} for r in labels]
    if len(right) != count:
        raise InputError(
            f"there are {len(right)} labels for {count} samples: give one for each, in their order"
        )
    for number, some in enumerate(right):
        if not some or min(some) < 0 or max(some) >= classes:
            raise InputError(
                f"label {number} is {sorted(some)}, but the net has the classes 0 to {classes - 1}"
            )
    return right


def _best(answers: Sequence[Arrays]) -> np.ndarray | None:
    """The classes of each sample, best first, (samples, classes); None if no output is (N, C) scores."""
    for name, first in answers[0].items():
        if (
            first.ndim >= 2
            and first.dtype.kind == "f"
            and first.size == first.shape[0] * first.shape[1] > len(first)
        ):
            return np.argsort(
                -np.concatenate([a[name].reshape(len(a[name]), -1) for a in answers]), 1, kind="stable"
            )
    return None


def _same_texts(exact: Sequence[Arrays], got: Sequence[Arrays]) -> float | None:
    """Percent of the samples all of whose classes, (N, T) whole numbers, are the same; None without such an output."""
    texts = [name for name, first in exact[0].items() if first.dtype.kind in "iu" and first.ndim == 2]
    if not texts:
        return None
    same = [e[name] == g[name] for name in texts[:1] for e, g in zip(exact, got, strict=True)]
    return 100 * float(np.mean(np.concatenate([s.all(1) for s in same])))


def _error(exact: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> float:
    """Root of the mean square difference, relative to fp32's spread about its mean; of whole numbers, what differs."""
    pairs = [
        (e.astype(np.float64), g if g.shape == e.shape else None) for e, g in zip(exact, got, strict=True)
    ]
    if exact[0].dtype.kind != "f":
        return float(np.mean([1.0 if g is None else float(np.mean(e != g)) for e, g in pairs]))
    noise = sum(np.inf if g is None else float(np.square(g - e).sum()) for e, g in pairs)
    numbers = np.concatenate([e.ravel() for e in exact]).astype(np.float64)
    signal = float(np.square(numbers - numbers.mean()).sum()) or float(np.square(numbers).sum())
    return float(np.sqrt(noise / signal)) if signal else float(noise > 0)


@dataclass
class TensorError:
    """A tensor of the integer net beside fp32's.

    sqnr_db  10 log10(sum of squares / sum of squared differences)        cosine  of the angle between the two
    """

    name: str
    sqnr_db: float
    cosine: float


def tensor_errors(
    exact: Net, integer: Net, samples: Sequence[Arrays], scaled: Collection[str] = ()
) -> list[TensorError]:
    """Every tensor that both nets compute, in order, over all samples; int8 ones as the real numbers they stand for.

    scaled  tensors whose channels have factors of their own in the integer net: each channel is brought to fp32's first
    """
    shared = [o for la in exact.layers for o in la.outputs]
    theirs = {o for la in integer.layers for o in la.outputs}
    specs = integer.specs()
    alias = {o: f"{o}.int8" for o in shared if o not in theirs and f"{o}.int8" in theirs}
    shared = [o for o in shared if (o in theirs or o in alias) and exact.specs()[o].dtype.name == "fp32"]
    a_net = exact.replace(outputs=shared, tests=(), plans={})
    b_net = integer.replace(outputs=[alias.get(o, o) for o in shared], tests=(), plans={})
    sums = {name: np.zeros(3) for name in shared}
    size = batch_size(exact, samples[0], shared)
    parts = list(batches(samples, size))
    for number, batch in enumerate(parts):
        report("comparing layers", number, len(parts))
        a, b = run(a_net, batch), run(b_net, batch)
        for name in shared:
            there = alias.get(name, name)
            x, y = a[name], specs[there].dtype.dequantize(b[there], specs[there].quantization)
            if x.shape == y.shape:
                sums[name] += _products(x.astype(np.float64), y.astype(np.float64), name in scaled)
    return [_tensor_error(name, *sums[name]) for name in shared]


def _products(x: np.ndarray, y: np.ndarray, scaled: bool) -> np.ndarray:
    """sum x*x, sum y*y, sum x*y, after each channel of y was multiplied by the factor that brings it nearest to x."""
    if scaled and x.ndim > 1:
        axes = tuple(i for i in range(x.ndim) if i != 1)
        square = (y * y).sum(axes, keepdims=True)
        y = y * np.divide(
            (x * y).sum(axes, keepdims=True), square, out=np.ones_like(square), where=square > 0
        )
    return np.array([(x * x).sum(), (y * y).sum(), (x * y).sum()])


def _tensor_error(name: str, xx: float, yy: float, xy: float) -> TensorError:
    noise = max(xx + yy - 2 * xy, 0.0)
    sqnr = np.inf if noise <= 1e-12 * xx else 10 * np.log10(xx / noise) if xx else -np.inf
    return TensorError(name, float(sqnr), float(xy / np.sqrt(xx * yy)) if xx and yy else float(xx == yy))


def seconds_of(net: Net, sample: Mapping[str, np.ndarray], rounds: int = 5) -> dict[str, float]:
    """Layer name -> seconds of its steps on one thread of the cpu; empty if they cannot be timed."""
    device = devices["cpu"]
    if not device.can_time:
        return {}
    plan = plan_for(net, sample, threads=1)
    handle = device.init(plan)
    try:
        device.prepare(handle, plan.shapes())
        for name, array in sample.items():
            device.set_tensor(handle, name, array)
        seconds = device.time_steps(handle, rounds)
    finally:
        device.destroy(handle)
    found: dict[str, float] = {}
    for step, spent in zip(plan.steps, seconds, strict=True):
        found[step.layer] = found.get(step.layer, 0.0) + spent
    return found
