"""correction: what rounding does to a layer's sums is taken back, as far as it can be, in its weights.

Layer after layer, on samples: what each would compute in fp32, and what it computes from inputs that went through int8
layers already.

adaptive  weights are rounded one input after another, and what one's rounding did is made up for by those that follow:
          the least error of the sums, not of the weights. Frantar et al. 2022, arXiv:2210.17323; the aim is that of
          AdaRound, Nagel et al. 2020, arXiv:2004.10568. How much it is damped, or that it is better left, each layer
          learns from every other sample, and is judged by on those between
bias      the mean error of each output channel goes into its bias. Nagel et al. 2019, arXiv:1906.04721

Arithmetic here is fp32 with numbers rounded to what int8 can hold: the integers themselves, but for fp32's own errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..dtype import Quantization
from ..layer import activated
from ..progress import report
from .convert import Builder, int8_weights
from .ranges import rounded
from .rules import Node, Weighing, Weights, rule_of
from .samples import Arrays

MOST_COLUMNS = 8192  # of inputs that adaptive rounding looks at
DAMPINGS = (1.0, 0.03)  # of the mean square of the inputs: less fits the samples better, and others worse
TRIED_ROWS = 64  # of a group, on which that is decided
BLOCK = 128  # inputs that are rounded before the rest hears of it

Values = dict[str, list[np.ndarray]]  # of each tensor, an array for each batch


@dataclass
class Known:
    """What is the same in every walk over the same samples, by layer: so that the next need not run fp32 again.

    means    of fp32's sums, for each sample and output channel, (samples, M)
    rounded  weights that were rounded adaptively
    """

    means: dict[str, np.ndarray] = field(default_factory=dict)
    rounded: dict[str, Weights] = field(default_factory=dict)


def correct(
    builder: Builder,
    samples: Sequence[Arrays],
    *,
    bias: bool,
    adaptive: bool,
    known: Known | None = None,
    seed: int = 0,
) -> None:
    """Decide the weights of every integer node of `builder`, in order.

    known  what was found out on the same samples before, with as many layers in integers or more; it is added to
    """
    walk = _Walk(builder, samples, bias, adaptive, np.random.default_rng(seed), known or Known())
    for number, node in enumerate(builder.nodes):
        report(f"correcting {node.name}", number, len(builder.nodes))
        walk.step(number, node)


class _Walk:
    """The state of both runs: fp32's values, if they are not known, and those that went through int8."""

    def __init__(
        self,
        builder: Builder,
        samples: Sequence[Arrays],
        bias: bool,
        adaptive: bool,
        random: np.random.Generator,
        known: Known,
    ):
        self.builder, self.bias, self.adaptive, self.random = builder, bias, adaptive, random
        self.known, self.first = known, not known.means
        self.coarse: Values = {name: [s[name] for s in samples] for name in samples[0]}
        self.exact: Values = {name: list(arrays) for name, arrays in self.coarse.items()}
        self.last = {
            name: i for i, node in enumerate(builder.nodes) for la in node.layers for name in la.inputs
        }
        self.count = len(samples)

    def step(self, number: int, node: Node) -> None:
        """Run one node both ways; decide its weights before, if it has any."""
        rule = rule_of(node.layer)
        if node.name in self.builder.floats or rule is None:
            self._exactly(node)
            self._plain(node, self.coarse, self.coarse)
        elif isinstance(rule, Weighing):
            self._weighted(node, rule)
        else:
            self._exactly(node)
            given = {name: self._int8(name) for name in rule.reads(node, self.builder.net)}
            self._plain(node, self.coarse | given, self.coarse)
            self._round_outputs(node)
        for name in {name for layer in node.layers for name in layer.inputs}:
            if self.last.get(name) == number:
                self.exact.pop(name, None)
                self.coarse.pop(name, None)

    def _exactly(self, node: Node) -> None:
        if self.first:
            self._plain(node, self.exact, self.exact)

    def _int8(self, name: str) -> list[np.ndarray]:
        """A tensor's values as an integer layer reads them."""
        return [rounded32(x, self.builder.q(name)) for x in self.coarse[name]]

    def _round_outputs(self, node: Node) -> None:
        if self.builder.is_int8(node):
            for name in node.outputs:
                self.coarse[name] = self._int8(name)

    def _plain(self, node: Node, given: Values, found: Values) -> None:
        constants = self.builder.net.constants
        for layer in node.layers:
            results: list[tuple[np.ndarray, ...]] = []
            for i in range(self.count):
                arrays = [
                    None if not name else constants[name].data if name in constants else given[name][i]
                    for name in layer.inputs
                ]
                results.append(layer.compute(arrays))
            made = dict(zip(layer.outputs, map(list, zip(*results, strict=True)), strict=True))
            found |= made
            given |= made

    def _weighted(self, node: Node, rule: Weighing) -> None:
        layer, (y,) = node.layer, node.outputs
        x, residual = layer.inputs[0], (*layer.inputs, "", "", "")[3]
        w, b = self.builder.real_weights(node)
        if self.first:
            exact = self._sums(node, rule, self.exact[x], w, b, self.exact.get(residual))
            self.known.means[node.name] = _means(exact, rule.channel_axis)
            self.exact[y] = [self._activated(node, a) for a in exact]
        inputs = self._int8(x)
        weights = self._rounded_weights(node, rule, inputs, w)
        real = rule.shaped(layer, rule.rows(layer, weights.w) * weights.scale[:, None], w.shape).astype(
            np.float32
        )
        coarse = self._sums(node, rule, inputs, real, b, self._int8(residual) if residual else None)
        if self.bias:
            change = _trusted_mean(self.known.means[node.name] - _means(coarse, rule.channel_axis))
            axes = [1] * coarse[0].ndim
            axes[rule.channel_axis] = -1
            coarse = [c + change.reshape(axes) for c in coarse]
            weights = Weights(weights.w, weights.scale, (b + change).astype(np.float32))
        self.builder.decided[node.name] = weights
        self.coarse[y] = [self._activated(node, c) for c in coarse]
        self._round_outputs(node)

    def _sums(self, node, rule, xs, w, b, residuals) -> list[np.ndarray]:
        others = residuals or [None] * len(xs)
        return [rule.sums(node.layer, x, w, b, r) for x, r in zip(xs, others, strict=True)]

    def _activated(self, node: Node, y: np.ndarray) -> np.ndarray:
        for follower in node.followers:
            constants = [self.builder.net.constants[name].data for name in follower.inputs[1:]]
            (y,) = follower.compute([y, *constants])
        if node.followers:
            return y
        attributes = node.layer.attributes
        return activated(y, attributes.get("activation", ""), attributes.get("activation_args", ()))

    def _rounded_weights(
        self, node: Node, rule: Weighing, inputs: list[np.ndarray], w: np.ndarray
    ) -> Weights:
        nearest = self.builder.nearest(node)
        if not self.adaptive:
            return nearest
        if node.name not in self.known.rounded:
            self.known.rounded[node.name] = self._adapted_weights(node, rule, inputs, w, nearest)
        found = self.known.rounded[node.name]
        return Weights(found.w, found.scale, nearest.b)

    def _adapted_weights(
        self, node: Node, rule: Weighing, inputs: list[np.ndarray], w: np.ndarray, nearest: Weights
    ) -> Weights:
        images = [image[None] for x in inputs for image in x]
        halves = [self._columns(node, rule, part, w.shape) for part in (images[::2], images[1::2])]
        first, second = halves
        if first is None or second is None:
            return nearest
        whole = np.concatenate([first, second], -1)
        if self.bias:  # their mean is taken care of
            whole = whole - whole.mean(-1, keepdims=True)
        places = first.shape[-1]
        steps = rule.rows(node.layer, w) / nearest.scale[:, None]
        damping = best_damping(steps, moments(whole[..., :places]), moments(whole[..., places:]))
        if damping is None:
            return nearest
        return Weights(
            rule.shaped(node.layer, adapted(steps, moments(whole), damping), w.shape),
            nearest.scale,
            nearest.b,
        )

    def _columns(
        self, node: Node, rule: Weighing, images: Sequence[np.ndarray], shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Some of the columns that the rows are multiplied by, from every image; None if there are none."""
        most = max(1, MOST_COLUMNS // 2 // max(1, len(images)))
        found = []
        for image in images:
            columns = rule.columns(node.layer, image, shape)
            if columns is None:
                return None
            places = columns.shape[-1]
            if places > most:
                columns = columns[..., self.random.choice(places, most, replace=False)]
            found.append(columns)
        return np.concatenate(found, -1) if found else None


def rounded32(x: np.ndarray, q: Quantization) -> np.ndarray:
    """x after a way through int8, in fp32."""
    return rounded(x, q).astype(np.float32)


def _means(sums: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Of each sample and channel, (samples, M)."""
    each = [
        np.moveaxis(a, axis, -1).reshape(len(a), -1, a.shape[axis]).mean(1, dtype=np.float64) for a in sums
    ]
    return np.concatenate(each)


def _trusted_mean(errors: np.ndarray) -> np.ndarray:
    """(samples, M) -> (M,): the mean of each channel, less where samples do not agree on it, nothing by one alone."""
    mean = errors.mean(0)
    if len(errors) < 2:
        return np.zeros_like(mean)
    doubt = errors.var(0, ddof=1) / len(errors)
    return mean * np.clip(1 - doubt / np.maximum(np.square(mean), 1e-30), 0, 1)


def moments(columns: np.ndarray) -> np.ndarray:
    """(groups, K, places) -> (groups, K, K): the mean of products of two inputs."""
    return (columns @ columns.transpose(0, 2, 1)).astype(np.float64) / columns.shape[-1]


def best_damping(steps: np.ndarray, learnt: np.ndarray, judged: np.ndarray) -> float | None:
    """Which of DAMPINGS, tried on some rows with the moments of some samples, errs least on others; None: nearest."""
    g, k, _ = learnt.shape
    some = steps.reshape(g, -1, k)[:, :TRIED_ROWS].reshape(-1, k)
    found = {None: int8_weights(some)} | {d: adapted(some, learnt, d) for d in DAMPINGS}

    def error(rounded: np.ndarray) -> float:
        e = (rounded - some).reshape(g, -1, k)
        return float(((e @ judged) * e).sum())

    return min(found, key=lambda d: error(found[d]))


def adapted(steps: np.ndarray, square: np.ndarray, damping: float = DAMPINGS[0]) -> np.ndarray:
    """steps (M, K), in units of one, rounded to int8 so that steps @ columns changes least.

    square  (groups, K, K): the columns' moments; rows of group g are multiplied by those of group g

    Each input's weight makes up for the errors of those before, by the factor of `square` that has ones on its
    diagonal: the same numbers as by the inverse's. Chee et al. 2023, arXiv:2307.13304.
    """
    g, k, _ = square.shape
    power = np.trace(square, axis1=1, axis2=2) / k
    square = square + np.maximum(damping * power, 1e-12)[:, None, None] * np.eye(k)
    upper = np.linalg.cholesky(square[:, ::-1, ::-1])[:, ::-1, ::-1]  # square = upper @ upper.T
    upper = upper / np.diagonal(upper, axis1=1, axis2=2)[:, None, :]
    wanted = steps.reshape(g, -1, k).astype(np.float64)
    result, errors = np.empty(wanted.shape, np.int8), np.empty(wanted.shape)
    for start in range(0, k, BLOCK):
        end = min(start + BLOCK, k)
        moved = wanted[..., start:end] + errors[..., :start] @ upper[:, :start, start:end]
        for j in range(start, end):
            more = (errors[..., start:j] @ upper[:, start:j, j, None])[..., 0]
            result[..., j] = int8_weights(moved[..., j - start] + more)
            errors[..., j] = wanted[..., j] - result[..., j]
    return result.reshape(steps.shape)
