"""Operators that go through a sequence: LSTM, GRU, RNN. Each layer of torch's stack is a layer here.

torch orders gates otherwise: i, f, n, o of an LSTM are i, o, f, n here, and r, z, n of a GRU z, r, n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..value import Node, Unsupported, Value, as_stored
from .graph import TorchGraph
from .table import operator

GATES = {
    "lstm": (0, 3, 1, 2),
    "gru": (1, 0, 2),
    "rnn_tanh": (0,),
    "rnn_relu": (0,),
}  # places of ours in torch's
LAYERS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


@operator("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def recurrent(
    g: TorchGraph, node: Node, x: Value, states: Any, weights: Sequence[Value], has_biases: bool, count: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> list[Value | None]:  # fmt: skip
    """x: (T, N, I), or (N, T, I) with batch_first; the states of all layers and directions follow each other."""
    given = list(states) if node.type == "lstm" else [states]
    directions = 2 if bidirectional else 1
    starts = [_starts(g, state, count, directions, batch_first) for state in given]
    each = len(weights) // (count * directions)
    if each != (4 if has_biases else 2):
        raise Unsupported("its states are projected (proj_size): not supported")
    read = _read(node)
    lasts: list[list[Value]] = [[] for _ in given]
    attributes: dict[str, Any] = {"direction": "bidirectional" if bidirectional else "forward"}
    attributes["batch_first"] = batch_first
    if node.type == "gru":
        attributes["linear_before_reset"] = True
    if node.type == "rnn_relu":
        attributes["activations"] = ("Relu",) * directions
    for number in range(count):
        first = number * directions * each
        parts = [weights[first + d * each : first + (d + 1) * each] for d in range(directions)]
        w, r = (np.stack([_ordered(g, node.type, p[i]) for p in parts]) for i in (0, 1))
        b = None
        if has_biases:
            b = np.stack([np.concatenate([_ordered(g, node.type, p[i]) for i in (2, 3)]) for p in parts])
        h0, c0 = ([s[number] for s in starts] + [None])[:2]
        inputs = [x, w, r, b, None, h0, *([c0] if node.type == "lstm" else [])]
        while inputs and inputs[-1] is None:
            inputs.pop()
        y, *last = g.add(LAYERS[node.type], *inputs, outputs=1 + len(given), **attributes)
        for kept, state in zip(lasts, last, strict=True):
            kept.append(state)
        x = _joined(g, y, directions, batch_first)
    return [x, *(_stacked(g, s, batch_first) if i + 1 in read else None for i, s in enumerate(lasts))]


def _read(node: Node) -> set[int]:
    """Which of a node's results somebody reads."""
    return {user.args[1] for user in node.source.users if user.users}


def _ordered(g: TorchGraph, kind: str, value: Value) -> np.ndarray:
    """Weights or a bias with the gates in the order of the layers here."""
    array = as_stored(g.numbers(value, "its weights"))
    parts = np.split(array, len(GATES[kind]))
    return np.concatenate([parts[i] for i in GATES[kind]])


def _starts(g: TorchGraph, state: Value, count: int, directions: int, batch_first: bool) -> list[Any]:
    """The first state of every layer; None where it is 0, as it is when the module is given none."""
    if state.array is not None and not state.array.any():
        return [None] * count
    parts = [state] if count == 1 else g.add("Slice", state, outputs=count, axis=0)
    return [g.add("Permute", p, order=(1, 0, 2)) for p in parts] if batch_first else list(parts)


def _joined(g: TorchGraph, y: Value, directions: int, batch_first: bool) -> Value:
    """(T, D, N, H) or (N, T, D, H) as (T, N, D*H) or (N, T, D*H)."""
    if batch_first:
        return g.add("Flatten", y, axis=2)
    if directions == 1:
        return g.add("Reshape", y, shape=(), axis=1, num_axes=1)
    return g.add("Flatten", g.add("Permute", y, order=(0, 2, 1, 3)), axis=2)


def _stacked(g: TorchGraph, states: Sequence[Value], batch_first: bool) -> Value:
    """The last states of all layers, (L*D, N, H)."""
    turned = [g.add("Permute", s, order=(1, 0, 2)) for s in states] if batch_first else list(states)
    return turned[0] if len(turned) == 1 else g.add("Concat", *turned, axis=0)
