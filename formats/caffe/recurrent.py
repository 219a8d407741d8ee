"""Caffe's LSTM and RNN: steps in a row, as Caffe itself unrolls them, since `cont` may begin a sequence at any."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np

from ...engine.errors import ConversionError
from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from .mapping import Source, caffe

MOST_STEPS = 1000


@caffe("LSTMUnit")
def lstm_unit(s: Source) -> Layer:
    return s.layer_of("LSTMUnit", *s.node.inputs)


@caffe("LSTM")
def lstm(s: Source) -> Layer:
    """Gates of step t: w_x @ x[t] + b + w_h @ (cont[t] * h); then a LSTMUnit."""
    steps = _Steps(s, gates=4, states=2)
    w = steps.weight("h", 4)
    (h, c), outputs = steps.states, list[str]()
    for xw, cont in steps:
        gates = steps.product(h, w, cont)
        c, h = s.add("LSTMUnit", c, *s.add("Eltwise", *xw, *gates), cont, outputs=2)
        outputs.append(h)
    return steps.joined(outputs, [h, c])


@caffe("RNN")
def rnn(s: Source) -> Layer:
    """h = tanh(w_x @ x[t] + b + w_h @ (cont[t] * h)); y[t] = tanh(w_y @ h + b_y)."""
    steps = _Steps(s, gates=1, states=1)
    w = steps.weight("h", 1)
    last, b = steps.weight("y", 1), s.weight(steps.index, "y_b", (steps.size,))
    (h,), outputs = steps.states, list[str]()
    for xw, cont in steps:
        (h,) = s.add("TanH", *s.add("Eltwise", *xw, *steps.product(h, w, cont)))
        outputs += s.add("TanH", *s.add("InnerProduct", h, last, b, axis=2))
    return steps.joined(outputs, [h])


class _Steps:
    """What both have in common. Iterating it gives, for each step, the products of the inputs, and cont.

    Letters: T steps, N sequences side by side, D = size of the state.
    """

    def __init__(self, s: Source, gates: int, states: int):
        self.s, p, self.index = s, s.param.recurrent_param, 0
        self.size, self.gates = p.num_output, gates
        hidden = states if p.expose_hidden else 0
        bottoms = len(s.node.inputs) - hidden
        if bottoms not in (2, 3) or len(s.node.outputs) != 1 + hidden or not self.size:
            raise ConversionError(
                f"reads {len(s.node.inputs)} blobs and writes {len(s.node.outputs)}: x, cont, perhaps x_static and"
                f" {hidden} states, and num_output, are wanted"
            )
        x, cont, *more = s.node.inputs
        if s.specs[0].ndim < 3 or s.specs[1].shape != s.specs[0].shape[:2]:
            raise ConversionError(f"x is {s.specs[0]} and cont {s.specs[1]}: give (T, N, ...) and (T, N)")
        self.count, n = map(int, s.specs[0].shape[:2])
        if not 0 < self.count <= MOST_STEPS:
            raise ConversionError(f"has {self.count} steps, of at most {MOST_STEPS}")
        shape = (1, n, self.size)
        zeros = Tensor(f"{s.node.name}.zeros", Spec(shape), partial(np.zeros, shape, np.float32))
        self.states: Sequence[str | Tensor] = more[bottoms - 2 :] or [zeros] * states
        wide = gates * self.size
        w = self.weight("x", gates, s.specs[0].shape[2:])
        b = s.weight(self.index, "x_b", (wide,))
        self.index += 1
        whole = s.add("InnerProduct", x, w, b, axis=2)
        parts = self._cut(whole[0], (self.count, n, wide))
        self.inputs = [[part] for part in parts]
        if bottoms == 3:
            static = s.add("InnerProduct", more[0], self.weight("static", gates, s.specs[2].shape[1:]))
            (row,) = s.add("Reshape", *static, shape=(1,), axis=0, num_axes=0)
            self.inputs = [[part, row] for part in parts]
        self.conts = self._cut(cont, (self.count, n))

    def _cut(self, tensor: str, shape: tuple[int, ...]) -> list[str]:
        """A tensor's steps. A single one is reshaped to what it is, so that its axis 0 is no batch."""
        if self.count == 1:
            return self.s.add("Reshape", tensor, shape=shape)
        return self.s.add("Slice", tensor, axis=0, outputs=self.count)

    def weight(self, name: str, gates: int, shape: Sequence[int] = ()) -> Tensor:
        """The next matrix: from numbers of this shape, or from the state, to `gates` of the state's size."""
        k = prod(shape) if shape else self.size
        self.index += 1
        return self.s.weight(self.index - 1, f"{name}_w", (gates * self.size, k), fan_in=k)

    def product(self, h: str | Tensor, w: Tensor, cont: str) -> list[str]:
        """w @ (cont * h)."""
        return self.s.add("InnerProduct", *self.s.add("Scale", h, cont, axis=0), w, axis=2)

    def joined(self, outputs: list[str], last: Sequence[str | Tensor]) -> Layer:
        """All steps as the first top; the last states, if they are asked for, as the others."""
        for state, top in zip(last, self.s.node.outputs[1:], strict=False):
            name = f"{self.s.node.name}:{top}"
            self.s.layers.append(self.s.layer_of("Concat", state, outputs=[top], axis=0).replace(name=name))
        return self.s.layer_of("Concat", *outputs, outputs=self.s.node.outputs[:1], axis=0)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(zip(self.inputs, self.conts, strict=True))
