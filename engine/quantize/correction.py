"""correction: what rounding does to a layer's sums is taken back, as far as it can be, in its weights.

Layer after layer, on samples: what each would compute in fp32, and what it computes from inputs that went through int8
layers already.

adaptive  weights are rounded one input after another, and what one's rounding did is made up for by those that follow:
          the least error of the sums, not of the weights. Frantar et al. 2022, arXiv:2210.17323; the aim is that of
          AdaRound, Nagel et al. 2020, arXiv:2004.10568
bias      the mean error of each output channel goes into its bias. Nagel et al. 2019, arXiv:1906.04721

Arithmetic here is fp32 with numbers rounded to what int8 can hold: the integers themselves, but for fp32's own errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dtype import Quantization
from ..layer import activated
from ..progress import report
from .convert import Builder, int8_weights
from .ranges import rounded
from .rules import Node, Weighing, Weights, rule_of
from .samples import Arrays

MOST_COLUMNS = 8192  # of inputs that adaptive rounding looks at
DAMPING = (
    1.0  # of the mean square of the inputs: less fits the samples better, and what comes after them worse
)
BLOCK = 128  # inputs that are rounded before the rest hears of it

Values = dict[str, list[np.ndarray]]  # of each tensor, an array for each batch


def correct(
    builder: Builder, samples: Sequence[Arrays], *, bias: bool, adaptive: bool, seed: int = 0
) -> None:
    """Decide the weights of every integer node of `builder`, in order."""
    walk = _Walk(builder, samples, bias, adaptive, np.random.default_rng(seed))
    for number, node in enumerate(builder.nodes):
        report(f"correcting {node.name}", number, len(builder.nodes))
        walk.step(number, node)


class _Walk:
    """The state of both runs: fp32's values, and those that went through int8."""

    def __init__(
        self,
        builder: Builder,
        samples: Sequence[Arrays],
        bias: bool,
        adaptive: bool,
        random: np.random.Generator,
    ):
        self.builder, self.bias, self.adaptive, self.random = builder, bias, adaptive, random
        self.exact: Values = {name: [s[name] for s in samples] for name in samples[0]}
        self.coarse: Values = {name: list(arrays) for name, arrays in self.exact.items()}
        self.last = {
            name: i for i, node in enumerate(builder.nodes) for la in node.layers for name in la.inputs
        }
        self.count = len(samples)

    def step(self, number: int, node: Node) -> None:
        """Run one node both ways; decide its weights before, if it has any."""
        rule = rule_of(node.layer)
        if node.name in self.builder.floats or rule is None:
            self._plain(node, self.exact, self.exact)
            self._plain(node, self.coarse, self.coarse)
        elif isinstance(rule, Weighing):
            self._weighted(node, rule)
        else:
            self._plain(node, self.exact, self.exact)
            given = {name: self._int8(name) for name in rule.reads(node, self.builder.net)}
            self._plain(node, self.coarse | given, self.coarse)
            self._round_outputs(node)
        for name in {name for layer in node.layers for name in layer.inputs}:
            if self.last.get(name) == number:
                self.exact.pop(name, None)
                self.coarse.pop(name, None)

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
        exact = self._sums(node, rule, self.exact[x], w, b, self.exact.get(residual))
        inputs = self._int8(x)
        weights = self._rounded_weights(node, rule, inputs, w)
        real = rule.shaped(layer, rule.rows(layer, weights.w) * weights.scale[:, None], w.shape).astype(
            np.float32
        )
        coarse = self._sums(node, rule, inputs, real, b, self._int8(residual) if residual else None)
        if self.bias:
            change = _trusted_mean([a - c for a, c in zip(exact, coarse, strict=True)], rule.channel_axis)
            axes = [1] * exact[0].ndim
            axes[rule.channel_axis] = -1
            coarse = [c + change.reshape(axes) for c in coarse]
            weights = Weights(weights.w, weights.scale, (b + change).astype(np.float32))
        self.builder.decided[node.name] = weights
        self.exact[y] = [self._activated(node, a) for a in exact]
        self.coarse[y] = [self._activated(node, c) for c in coarse]
        self._round_outputs(node)

    def _sums(self, node, rule, xs, w, b, residuals) -> list[np.ndarray]:
        others = residuals or [None] * len(xs)
        return [rule.sums(node.layer, x, w, b, r) for x, r in zip(xs, others, strict=True)]

    def _activated(self, node: Node, y: np.ndarray) -> np.ndarray:
        if node.follower is not None:
            constants = [self.builder.net.constants[name].data for name in node.follower.inputs[1:]]
            return node.follower.compute([y, *constants])[0]
        attributes = node.layer.attributes
        return activated(y, attributes.get("activation", ""), attributes.get("activation_args", ()))

    def _rounded_weights(
        self, node: Node, rule: Weighing, inputs: list[np.ndarray], w: np.ndarray
    ) -> Weights:
        nearest = self.builder.nearest(node)
        if not self.adaptive:
            return nearest
        columns = self._columns(node, rule, inputs, w.shape)
        if columns is None:
            return nearest
        rows = rule.rows(node.layer, w)
        if self.bias:  # their mean is taken care of
            columns = columns - columns.mean(-1, keepdims=True)
        steps = adapted(rows / nearest.scale[:, None], columns)
        return Weights(rule.shaped(node.layer, steps, w.shape), nearest.scale, nearest.b)

    def _columns(
        self, node: Node, rule: Weighing, inputs: list[np.ndarray], shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Some of the columns that the rows are multiplied by, from every image."""
        images = [image[None] for x in inputs for image in x]
        most = max(1, MOST_COLUMNS // len(images))
        found = []
        for image in images:
            columns = rule.columns(node.layer, image, shape)
            if columns is None:
                return None
            places = columns.shape[-1]
            if places > most:
                columns = columns[..., self.random.choice(places, most, replace=False)]
            found.append(columns)
        return np.concatenate(found, -1)


def rounded32(x: np.ndarray, q: Quantization) -> np.ndarray:
    """x after a way through int8, in fp32."""
    return rounded(x, q).astype(np.float32)


def _trusted_mean(errors: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """The mean error of each channel, less where images do not agree on it, nothing by one image alone: (M,)."""
    each = np.concatenate(
        [
            np.moveaxis(e, axis, -1).reshape(len(e), -1, e.shape[axis]).mean(1, dtype=np.float64)
            for e in errors
        ]
    )
    mean = each.mean(0)
    if len(each) < 2:
        return np.zeros_like(mean)
    doubt = each.var(0, ddof=1) / len(each)
    return mean * np.clip(1 - doubt / np.maximum(np.square(mean), 1e-30), 0, 1)


def adapted(steps: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """steps (M, K), in units of one, rounded to int8 so that steps @ columns changes least.

    columns  (groups, K, places): rows of group g are multiplied by columns[g]
    """
    g, k, places = columns.shape
    square = (columns @ columns.transpose(0, 2, 1)).astype(np.float64) / places
    power = np.trace(square, axis1=1, axis2=2) / k
    square += np.maximum(DAMPING * power, 1e-12)[:, None, None] * np.eye(k)
    upper = np.linalg.cholesky(np.linalg.inv(square)).transpose(0, 2, 1)
    left = steps.reshape(g, -1, k).astype(np.float64)
    result = np.empty(left.shape, np.int8)
    for start in range(0, k, BLOCK):
        end = min(start + BLOCK, k)
        errors = np.empty((*left.shape[:2], end - start))
        for j in range(start, end):
            result[..., j] = int8_weights(left[..., j])
            errors[..., j - start] = (left[..., j] - result[..., j]) / upper[:, j, j][:, None]
            left[..., j + 1 : end] -= errors[..., j - start, None] * upper[:, j, None, j + 1 : end]
        left[..., end:] -= errors @ upper[:, start:end, end:]
    return result.reshape(steps.shape)
