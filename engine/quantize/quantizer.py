"""Quantizer: one net and its samples, from which integer nets are made with these or those layers in fp32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..dtype import Quantization
from ..errors import InputError
from ..net import Net
from ..part import pieces
from ..progress import report
from .budget import TRIED, Budget, Candidate, back_to_float
from .convert import ASKED, Builder, kept_in_float, node_macs, nodes_of, prepared, quantizations, tensors_of
from .correction import Known, correct
from .divergence import divergence
from .equalise import equalised
from .observation import Seen, observe
from .quality import Labels, Quality, answers, judged_outputs, quality, seconds_of
from .ranges import methods
from .rules import Node
from .samples import Arrays, batches, body_index, body_samples, check_constants, checked_samples, run

AUTO = "auto"
TRIED_METHODS = ("minmax", "percentile", "mse")
JUDGED = 32  # samples that methods are tried on
CORRECTED = 8  # samples in a batch of those that weights are corrected on
MEASURED = "more accurate so"  # why a layer stays in fp32 for a budget

Metric = Callable[[Net], float]  # points that a whole net gets: more is better


@dataclass(frozen=True)
class Recipe:
    """How a net is quantized; see Net.quantize.

    method     of choosing ranges; "auto" is the best of three
    equalise   channels of different ranges are brought nearer to each other
    bias       mean errors go into biases
    adaptive   weights are rounded for the least error of sums, where that is better on samples not learnt from
    calibrate  the most samples that ranges and corrections come from, evenly spaced; quality is judged on all
    """

    method: str = AUTO
    equalise: bool = True
    bias: bool = True
    adaptive: bool = True
    calibrate: int = 64


@dataclass
class Made:
    """An integer net, and what is known of it.

    net      the whole net          body      the piece of it that was quantized
    exact    that piece in fp32     fp32      the same with equalised channels: tensor for tensor what body computes
    floats   layer -> why it stays in fp32          shares   layer -> its share of the multiply-adds
    """

    net: Net
    body: Net
    exact: Net
    fp32: Net
    method: str
    floats: dict[str, str]
    shares: dict[str, float]
    quality: Quality
    quantizations: dict[str, Quantization]
    seen: dict[str, Seen] = field(repr=False)
    equalised: list[str] = field(repr=False)
    samples: list[Arrays] = field(repr=False)
    candidates: list[Candidate] = field(default_factory=list)

    @property
    def float_share(self) -> float:
        """The part of the multiply-adds that stays in fp32, from 0 to 1."""
        return sum(self.shares.get(name, 0.0) for name in self.floats)


class Quantizer:
    """Observes a net once; makes integer nets of it."""

    def __init__(
        self,
        net: Net,
        samples: object,
        recipe: Recipe = Recipe(),
        labels: Labels | None = None,
        metric: Metric | None = None,
    ):
        if recipe.method != AUTO:
            methods[recipe.method]
        check_constants(net)
        self.net, self.recipe, self.labels, self.metric = net, recipe, labels, metric
        self.samples = body_samples(net, checked_samples(net, samples))
        count = sum(len(next(iter(s.values()))) for s in self.samples)
        if labels is not None and len(labels) != count:
            raise InputError(
                f"there are {len(labels)} labels for {count} samples: give one for each, in their order"
            )
        picks = np.unique(np.linspace(0, len(self.samples) - 1, recipe.calibrate).astype(int))
        self.calibration = [self.samples[i] for i in picks]
        self.exact = self.lean = prepared(pieces(net)[body_index(net)])
        self.specs = self.lean.specs({name: a.shape for name, a in self.samples[0].items()})
        self.nodes = nodes_of(self.lean)
        floats = kept_in_float(self.lean, self.nodes, self.specs)
        wanted = tensors_of(self.lean, self.nodes, floats)
        if not wanted:
            raise InputError(f"{net.name} has no layer that integers could compute")
        self.seen: dict[str, Seen] = observe(self.lean, wanted, self.calibration)
        self.equalised: list[str] = []  # tensors whose channels have factors
        if recipe.equalise:
            self.lean, self.equalised = equalised(self.lean, self.nodes, self.specs, floats, self.seen)
            self.nodes = nodes_of(self.lean)
            self.specs = self.lean.specs({name: a.shape for name, a in self.samples[0].items()})
            self.seen = observe(self.lean, wanted, self.calibration)
        self.outputs = judged_outputs(self.exact)
        self.wanted = answers(self.exact, self.outputs, self.samples)
        self.points = float(metric(net)) if metric else 0.0
        self.method = self._best_method(floats) if recipe.method == AUTO else recipe.method

    def _best_method(self, floats: Mapping[str, str]) -> str:
        """The method whose ranges come nearest to fp32: learnt from every other sample, judged on those between."""
        some = self.calibration[:: max(1, len(self.calibration) // JUDGED)]
        corrected, judged = some[::2], some[1::2] or some
        exact, errors, known = answers(self.exact, self.outputs, judged), {}, Known()
        seen = observe(self.lean, list(self.seen), corrected)
        for number, self.method in enumerate(TRIED_METHODS):
            report(f"trying ranges by {self.method}", number, len(TRIED_METHODS))
            body = self.builder(floats, corrected=corrected, known=known, seen=seen).finished()
            errors[self.method] = quality(exact, answers(body, self.outputs, judged)).error
        return min(errors, key=lambda name: errors[name])

    def floats(self, keep: Mapping[str, str] | Collection[str] = ()) -> dict[str, str]:
        """Which layers stay in fp32, and why, if `keep` have to."""
        return kept_in_float(self.lean, self.nodes, self.specs, keep)

    def builder(
        self,
        floats: Mapping[str, str],
        corrected: Sequence[Arrays] = (),
        adaptive: bool = False,
        direct: bool = True,
        known: Known | None = None,
        seen: Mapping[str, Seen] | None = None,
    ) -> Builder:
        """The integer body, in the making's last state.

        corrected  samples on which weights are decided; without any each is rounded to the nearest
        known      what was found out on these samples before; it is added to
        seen       what ranges come from; all of the calibration if it is left out
        """
        found = quantizations(self.lean, self.nodes, floats, seen or self.seen, self.method)
        builder = Builder(self.lean, self.nodes, floats, found, self.specs, direct, self.outputs)
        if corrected and (self.recipe.bias or adaptive):
            parts = list(batches(corrected, CORRECTED))
            correct(builder, parts, bias=self.recipe.bias, adaptive=adaptive, known=known)
        for node in self.nodes:
            builder.add(node)
        return builder

    def judged(self, body: Net) -> Quality:
        """How near an integer body comes to fp32, on all samples, and by the user's metric."""
        found = quality(self.wanted, answers(body, self.outputs, self.samples), self.labels)
        if self.metric is None:
            return found
        return replace(found, metric_fp32=self.points, metric_int8=float(self.metric(self._whole(body))))

    def made(self, keep: Collection[str] = (), budget: Budget | None = None) -> Made:
        """An integer net within a budget. Raises QuantizationError if there is none."""
        budget, asked = budget or Budget(), dict.fromkeys(keep, ASKED)
        tried: dict[frozenset[str], Made] = {}
        shares, known = self.shares(), Known()

        def judge(names: Sequence[str]) -> Quality:
            floats = self.floats(asked | dict.fromkeys(names, MEASURED))
            builder = self.builder(floats, self.calibration, self.recipe.adaptive, known=known)
            body = builder.finished()
            found = self.judged(body)
            tried[frozenset(names)] = Made(
                self._whole(body), body, self.exact, self.lean, self.method, floats, shares, found,
                builder.used, self.seen, self.equalised, self.samples,
            )  # fmt: skip
            return found

        whole = judge([])
        if budget.met(whole):
            return tried[frozenset()]
        candidates = self.candidates(tried[frozenset()], budget, known)
        kept = back_to_float(budget, candidates, judge, whole)
        return replace(tried[frozenset(kept)], candidates=candidates)

    def shares(self) -> dict[str, float]:
        """Of each layer its share of the multiply-adds."""
        macs = {node.name: node_macs(node, self.specs) for node in self.nodes}
        total = max(1, sum(macs.values()))
        return {name: count / total for name, count in macs.items()}

    def candidates(self, made: Made, budget: Budget, known: Known) -> list[Candidate]:
        """Every integer layer with weights, tried alone on some of the samples."""
        decides = budget.max_drop is not None and self.metric is None and made.quality.agreement is not None
        shares = self.shares()
        nodes = [n for n in self.nodes if n.name not in made.floats and shares[n.name] > 0]
        first = {k: v[:1] for k, v in self.samples[0].items()}
        fp32, int8 = seconds_of(self.exact, first), seconds_of(made.body, first)
        picks = np.unique(np.linspace(0, len(self.samples) - 1, TRIED).astype(int))
        some = [self.samples[i] for i in picks]
        exact = answers(self.exact, self.outputs, some)
        total = sum(node_macs(node, self.specs) for node in self.nodes)
        found = []
        for number, node in enumerate(nodes):
            report(f"trying {node.name} alone", number, len(nodes))
            got = answers(self._alone(node, some, known), self.outputs, some)
            error = quality(exact, got).error
            loss = divergence(exact, got) if decides else error**2
            slow, share = fp32.get(node.name, 0.0), shares[node.name]
            saved = max(slow - int8.get(node.name, 0), 0.05 * slow) or share * total / 1e10
            found.append(Candidate(node.name, error, loss, saved, share))
        return found

    def _alone(self, node: Node, samples: Sequence[Arrays], known: Known) -> Net:
        """The body in fp32 but for one layer, whose weights are corrected for what it reads itself."""
        floats = self.floats({other.name: MEASURED for other in self.nodes if other is not node})
        found = quantizations(self.lean, self.nodes, floats, self.seen, self.method)
        rest = (self.specs, True, self.outputs)
        single = Builder(self.lean, [node], floats, found, *rest)
        if node.name not in floats:
            reads = [n for n in node.layer.inputs if n not in ("", *self.lean.inputs, *self.lean.constants)]
            before = self.lean.replace(outputs=reads, tests=(), plans={})
            few = list(batches(samples[:: max(1, len(samples) // CORRECTED)], CORRECTED))
            given = [part | run(before, part) if reads else part for part in few]
            options = {"bias": self.recipe.bias, "adaptive": self.recipe.adaptive}
            correct(single, given, **options, known=Known(rounded=known.rounded))
        builder = Builder(self.lean, self.nodes, floats, found, *rest)
        builder.decided = single.decided
        for other in self.nodes:
            builder.add(other)
        return builder.finished()

    def _whole(self, body: Net) -> Net:
        """The net with the integer body in its place."""
        found, at = pieces(self.net), body_index(self.net)
        layers = [layer for i, piece in enumerate(found) for layer in (body if i == at else piece).layers]
        constants = dict(self.net.constants) | dict(body.constants)
        return self.net.replace(layers=layers, constants=constants, tests=(), plans={})
