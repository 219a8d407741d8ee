"""Types that go through a sequence: RNN, GRU, LSTM. ncnn's sequences are (T, I), a direction's weights in one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine.errors import ConversionError
from ...engine.tensor import Tensor
from .graph import Source, ncnn

# the places of ONNX's gates among ncnn's
IOFC = (0, 2, 1, 3)  # of i f o g
ZRH = (1, 0, 2)  # of r u n


@ncnn("RNN")
def rnn(s: Source) -> list[str]:
    return _recurrent(s, "RNN", (0,), 1, lambda b: np.concatenate([b[:, 0], 0 * b[:, 0]], 1))


@ncnn("GRU")
def gru(s: Source) -> list[str]:
    """The new gate has a bias of its own behind the reset gate."""

    def biases(b: np.ndarray) -> np.ndarray:
        reset, update, new, behind = (b[:, i] for i in range(4))
        none = np.zeros_like(reset)
        return np.concatenate([update, reset, new, none, none, behind], 1)

    return _recurrent(s, "GRU", ZRH, 4, biases, linear_before_reset=True)


@ncnn("LSTM")
def lstm(s: Source) -> list[str]:
    if s.integer(3, s.integer(0)) != s.integer(0):
        raise ConversionError(f"hidden_size is {s.integer(3)}: a projection of the state is not supported")

    def biases(b: np.ndarray) -> np.ndarray:
        own = b[:, IOFC].reshape(len(b), -1)
        return np.concatenate([own, 0 * own], 1)

    return _recurrent(s, "LSTM", IOFC, 4, biases, states=2)


def _recurrent(
    s: Source, kind: str, gates: Sequence[int], rows: int, biases: Callable[[np.ndarray], np.ndarray], states: int = 1,
    **attributes: Any,
) -> list[str]:  # fmt: skip
    """The layer and what makes its result (N, T, D*H). rows: how many biases ncnn has a unit."""
    size, direction, count = s.integer(0), s.integer(2), len(gates)
    x = s.computed(s.inputs[0])
    directions = 2 if direction == 2 else 1
    wide = s.shape_of(x)[-1]
    if len(s.shape_of(x)) != 3 or size < 1 or direction not in (0, 1, 2):
        raise ConversionError(f"reads {s.graph.specs[x]}, num_output is {size} and direction {direction}")
    if s.integer(1) != directions * count * size * wide:
        raise ConversionError(
            f"says that it has {s.integer(1)} weights, but its shapes need {directions * count * size * wide}"
        )
    if len(s.inputs) not in (1, 1 + states) or len(s.node.outputs) not in (1, 1 + states):
        raise ConversionError(
            f"reads {len(s.inputs)} blobs and writes {len(s.node.outputs)}: all states or none, please"
        )
    w = s.weight("x_w", (directions, count, size, wide), fan_in=wide, tagged=True)
    b = s.weight("b", (directions, rows, size), tagged=True)
    r = s.weight("h_w", (directions, count, size, size), fan_in=size, tagged=True)

    def ordered(name: str, stored: Tensor) -> Tensor:
        shape = (directions, count * size, stored.spec.shape[3])
        return s.derived(name, shape, lambda: np.asarray(stored.data)[:, list(gates)].reshape(shape))

    both = s.derived("biases", (directions, 2 * count * size), lambda: biases(np.asarray(b.data)))
    h0 = [s.computed(state) for state in s.inputs[1:]]
    results = s.add(
        kind, x, ordered("w", w), ordered("r", r), both, None, *h0, outputs=1 + states, batch_first=True,
        direction=("forward", "reverse", "bidirectional")[direction], **attributes,
    )  # fmt: skip
    y = s.add("Flatten", results[0], axis=2)
    return [y, *results[1 : len(s.node.outputs)]]
