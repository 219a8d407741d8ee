"""RNN, GRU and LSTM: layers that go through a sequence step by step and carry a state along.

One definition serves every format: ONNX's, with its gates' order and all of its options. Letters: T steps, N batch,
I size of an input, H hidden size, D directions (2 if it also goes through the sequence backwards, else 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec

# name: (function of x and what ONNX calls alpha and beta, their defaults)
ACTIVATIONS: dict[str, tuple[Callable, float, float]] = {
    "Sigmoid": (lambda x, a, b: 1 / (1 + np.exp(-x)), 0.0, 0.0),
    "Tanh": (lambda x, a, b: np.tanh(x), 0.0, 0.0),
    "Relu": (lambda x, a, b: np.maximum(x, 0), 0.0, 0.0),
    "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "LeakyRelu": (lambda x, a, b: np.where(x >= 0, x, a * x), 0.01, 0.0),
    "ThresholdedRelu": (lambda x, a, b: np.where(x >= a, x, 0), 1.0, 0.0),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "Elu": (lambda x, a, b: np.where(x >= 0, x, a * np.expm1(x)), 1.0, 0.0),
    "Softsign": (lambda x, a, b: x / (1 + np.abs(x)), 0.0, 0.0),
    "Softplus": (lambda x, a, b: np.log1p(np.exp(x)), 0.0, 0.0),
}


class Recurrent(Layer):
    """What the three have in common: shapes, directions, activations. Not a layer itself.

    direction    "forward" | "reverse" | "bidirectional"
    activations  of each direction in turn, from ACTIVATIONS; () for the usual ones
    activation_alpha, activation_beta  their parameters, a number an activation; () for the usual ones
    clip         what goes into an activation is cut to -clip..clip; 0 for no limit
    batch_first  x is (N, T, I), y (N, T, D, H), states (N, D, H)
    """

    gates: ClassVar[int] = 1
    usual: ClassVar[tuple[str, ...]] = ("Tanh",)

    direction: str = "forward"
    activations: tuple[str, ...] = ()
    activation_alpha: tuple[float, ...] = ()
    activation_beta: tuple[float, ...] = ()
    clip: float = 0.0
    batch_first: bool = False

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    def check(self) -> None:
        if self.direction not in ("forward", "reverse", "bidirectional"):
            raise AttributeValueError(
                f"{self}: direction is {self.direction!r}: give 'forward', 'reverse' or 'bidirectional'"
            )
        wanted = self.directions * len(self.usual)
        if len(self.activations) not in (0, wanted):
            raise AttributeValueError(f"{self}: activations are {self.activations}: {wanted} wanted, or none")
        for name in self.activations:
            if name not in ACTIVATIONS:
                raise AttributeValueError(
                    f"{self}: {name!r} is no activation: it takes {', '.join(ACTIVATIONS)}"
                )
        if self.clip < 0:
            raise AttributeValueError(f"{self}: clip is {self.clip}: it must not be negative")

    def infer_states(self, count: int, x: Spec, w: Spec, r: Spec, **others: Spec | None) -> tuple[Spec, ...]:
        """The Specs of y and of `count` last states. Raises ShapeError where the inputs do not fit together."""
        d, g = self.directions, self.gates
        if x.ndim != 3 or r.ndim != 3:
            raise ShapeError(f"x is {x} and r is {r}: sequences (T, N, I) and weights (D, {g}*H, H) wanted")
        (t, n), h = (x.shape[:2] if not self.batch_first else x.shape[1::-1]), int(r.shape[2])
        state = (n, d, h) if self.batch_first else (d, n, h)
        fits = {
            "w": (w, (d, g * h, x.shape[2])), "r": (r, (d, g * h, h)), "b": (others.get("b"), (d, 2 * g * h)),
            "lengths": (others.get("lengths"), (n,)), "h0": (others.get("h0"), state),
            "c0": (others.get("c0"), state), "p": (others.get("p"), (d, 3 * h)),
        }  # fmt: skip
        for name, (spec, wanted) in fits.items():
            if spec is not None and spec.shape != tuple(map(int, wanted)):
                raise ShapeError(f"x is {x} but {name} is {spec}: it needs [{','.join(map(str, wanted))}]")
        y = (n, t, d, h) if self.batch_first else (t, d, n, h)
        return (Spec(y, x.dtype), *[Spec(state, x.dtype)] * count)

    def functions(self, direction: int) -> list[Callable[[np.ndarray], np.ndarray]]:
        """The activations of one direction, limited and with their parameters."""
        count = len(self.usual)
        first = direction * count
        names = self.activations[first : first + count] or self.usual
        return [self._function(name, first + i) for i, name in enumerate(names)]

    def _function(self, name: str, place: int) -> Callable[[np.ndarray], np.ndarray]:
        function, alpha, beta = ACTIVATIONS[name]
        alpha = self.activation_alpha[place] if place < len(self.activation_alpha) else alpha
        beta = self.activation_beta[place] if place < len(self.activation_beta) else beta
        limit = self.clip or np.inf
        return lambda x: function(np.clip(x, -limit, limit), alpha, beta)

    def run(self, x, lengths, states, step) -> tuple[np.ndarray, ...]:
        """Go through x: `step(direction, x[t], states)` -> new states; y is the first of them at every step.

        Where a sequence is over, y is 0 and its state stays. x: (T, N, I), states: (D, N, H) each.
        """
        if self.batch_first:
            x, states = np.swapaxes(x, 0, 1), [np.swapaxes(s, 0, 1) for s in states]
        steps, n = x.shape[:2]
        lengths = np.full(n, steps) if lengths is None else lengths
        y = np.zeros((steps, self.directions, n, states[0].shape[2]), x.dtype)
        last = [s.copy() for s in states]
        for direction in range(self.directions):
            backwards = direction == 1 or self.direction == "reverse"
            for t in range(steps):
                on = np.flatnonzero(t < lengths)
                place = lengths[on] - 1 - t if backwards else np.full(len(on), t)
                new = step(direction, x[place, on], [s[direction, on] for s in last])
                for state, numbers in zip(last, new, strict=True):
                    state[direction, on] = numbers
                y[place, direction, on] = new[0]
        if self.batch_first:
            y, last = y.transpose(2, 0, 1, 3), [np.swapaxes(s, 0, 1) for s in last]
        return (y, *last)

    def start(self, x, r, state) -> np.ndarray:
        """A first state: the one that is given, or zeros."""
        if state is not None:
            return state
        n, d, h = x.shape[0 if self.batch_first else 1], self.directions, r.shape[2]
        return np.zeros((n, d, h) if self.batch_first else (d, n, h), x.dtype)


def _biases(b, d: int, size: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """The bias of the input and of the recurrence, (D, gates * H) each; zeros where there is none."""
    if b is None:
        return (np.zeros((d, size), dtype),) * 2
    return b[:, :size], b[:, size:]


@layer("RNN")
class RNN(Recurrent):
    """y[t] = h = f(x[t] @ w.T + wb + h @ r.T + rb)        x: (T,N,I), w: (D,H,I), r: (D,H,H) -> y: (T,D,N,H)

    b: (D, 2H) is wb and rb; lengths: (N,) how long each sequence is; h0: (D, N, H). f is tanh. y_h is the last state.
    Elman 1990, "Finding structure in time". ONNX RNN; see Recurrent for its attributes.
    """

    results = ("y", "y_h")

    def infer(self, x, w, r, b=None, lengths=None, h0=None):
        return self.infer_states(1, x, w, r, b=b, lengths=lengths, h0=h0)

    def reference(self, x, w, r, b=None, lengths=None, h0=None):
        wb, rb = _biases(b, len(w), w.shape[1], x.dtype)

        def step(d, x, states):
            (f,) = self.functions(d)
            return [f(x @ w[d].T + wb[d] + states[0] @ r[d].T + rb[d])]

        return self.run(x, lengths, [self.start(x, r, h0)], step)


@layer("GRU")
class GRU(Recurrent):
    """y[t] = h = (1 - z) * n + z * h        x: (T,N,I), w: (D,3H,I), r: (D,3H,H) -> y: (T,D,N,H)

    z = f(x @ wz.T + wbz + h @ rz.T + rbz), the reset gate likewise by wr, and
    n = g(x @ wn.T + wbn + (reset * h) @ rn.T + rbn); with linear_before_reset the last part is
    reset * (h @ rn.T + rbn), as cuDNN and torch have it. w holds z, reset, n one after the other, as do r and
    b: (D, 6H) = wb, rb. lengths: (N,); h0 and the last state y_h: (D, N, H). f is a sigmoid, g tanh. Cho et al. 2014,
    arXiv:1406.1078. ONNX GRU; see Recurrent for its attributes.
    """

    gates = 3
    usual = ("Sigmoid", "Tanh")
    results = ("y", "y_h")

    linear_before_reset: bool = False

    def infer(self, x, w, r, b=None, lengths=None, h0=None):
        return self.infer_states(1, x, w, r, b=b, lengths=lengths, h0=h0)

    def reference(self, x, w, r, b=None, lengths=None, h0=None):
        size = r.shape[2]
        wb, rb = _biases(b, len(w), 3 * size, x.dtype)

        def step(d, x, states):
            (f, g), h = self.functions(d), states[0]
            given = x @ w[d].T + wb[d]
            gates = f(given[:, : 2 * size] + h @ r[d, : 2 * size].T + rb[d, : 2 * size])
            z, reset = gates[:, :size], gates[:, size:]
            rn, rbn = r[d, 2 * size :].T, rb[d, 2 * size :]
            back = reset * (h @ rn + rbn) if self.linear_before_reset else (reset * h) @ rn + rbn
            return [(1 - z) * g(given[:, 2 * size :] + back) + z * h]

        return self.run(x, lengths, [self.start(x, r, h0)], step)


@layer("LSTM")
class LSTM(Recurrent):
    """c = forget * c + i * n, y[t] = h = o * g(c)        x: (T,N,I), w: (D,4H,I), r: (D,4H,H) -> y: (T,D,N,H)

    i = f(x @ wi.T + wbi + h @ ri.T + rbi + pi * c); o and forget likewise, o with the new c; n = g(...) without a p.
    w holds i, o, forget, n one after the other, as do r and b: (D, 8H) = wb, rb; p: (D, 3H) are i, o, forget
    (peepholes). lengths: (N,); h0, c0 and the last states y_h, y_c: (D, N, H). f is a sigmoid, both g are tanh.
    Hochreiter & Schmidhuber 1997, "Long short-term memory"; forget gates: Gers et al. 2000. ONNX LSTM; see Recurrent
    for its attributes.

    input_forget  forget = 1 - i
    """

    gates = 4
    usual = ("Sigmoid", "Tanh", "Tanh")
    results = ("y", "y_h", "y_c")

    input_forget: bool = False

    def infer(self, x, w, r, b=None, lengths=None, h0=None, c0=None, p=None):
        return self.infer_states(2, x, w, r, b=b, lengths=lengths, h0=h0, c0=c0, p=p)

    def reference(self, x, w, r, b=None, lengths=None, h0=None, c0=None, p=None):
        size = r.shape[2]
        wb, rb = _biases(b, len(w), 4 * size, x.dtype)
        p = np.zeros((len(w), 3 * size), x.dtype) if p is None else p

        def step(d, x, states):
            (f, g, last), (h, c) = self.functions(d), states
            pi, po, pf = np.split(p[d], 3)
            i, o, forget, n = np.split(x @ w[d].T + wb[d] + h @ r[d].T + rb[d], 4, axis=1)
            i = f(i + pi * c)
            forget = 1 - i if self.input_forget else f(forget + pf * c)
            c = forget * c + i * g(n)
            return [f(o + po * c) * last(c), c]

        return self.run(x, lengths, [self.start(x, r, h0), self.start(x, r, c0)], step)
