"""RNN, GRU and LSTM on the cpu: every direction of every sequence is one thread's work.

The weights are turned first, (I + H, gates * H): what one number of the input or the state adds to all gates is then
one loop along a row, which becomes vector code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...engine.kernel import Bind, Call, Scratch, Stage, kernel
from ..recurrent import GRU, LSTM, RNN
from . import simd
from .halves import as_they_lie, number, reading

WEIGHT = 4  # bytes of a weight; a number of a variant

BACKWARDS = {"forward": 0, "reverse": 1, "bidirectional": 2}  # 2: the second direction is


def bind(function: Callable) -> Bind:
    return lambda call: stage(call, function())


def stage(call: Call, function: Callable) -> Stage:
    (_, _, size), hidden = call.shape("x"), call.shape("r")[2]
    width = call.layer.gates * hidden
    chosen = reading(call, "w", "r")
    turned = simd.variant(turn, number=chosen["number"], WEIGHT=chosen["WEIGHT"])
    params = dict(
        b=call.flat("b"), h0=call.flat("h0"), backwards=BACKWARDS[call.layer.direction],
        turned=Scratch((call.threads, size + hidden, width)), gates=Scratch((call.threads, width + hidden)),
    ) | ({"c0": call.flat("c0")} if call.layer.type == "LSTM" else {})  # fmt: skip
    return as_they_lie(call, simd.variant(function, turn=turned), params, "w", "r")


def usual(call: Call) -> bool | str:
    layer = call.layer
    if layer.activations or layer.clip:
        return "its activations are not the usual ones"
    if call.specs.get("lengths") is not None or call.specs.get("p") is not None:
        return "its sequences differ in length, or it has peepholes"
    if layer.batch_first or getattr(layer, "input_forget", False):
        return "batch_first or input_forget is set"
    return True


@kernel(RNN, device="cpu", bind=bind(lambda: rnn), when=usual)
def rnn(x, w, r, b, h0, y, y_h, turned, gates, backwards, ith, nth):
    steps, n, _ = x.shape
    directions, hidden = r.shape[0], r.shape[2]
    for unit in range(directions * n * ith // nth, directions * n * (ith + 1) // nth):
        d, image = unit // n, unit % n
        turn(w, r, turned, d, ith)
        start(h0, y_h, d, image)
        for step in range(steps):
            t = steps - 1 - step if backwards == 1 or (backwards == 2 and d == 1) else step
            biases(b, gates, d, ith, hidden, hidden)
            inputs(x, turned, gates, t, image, ith, hidden)
            states(y_h, turned, gates, d, image, ith, x.shape[2], hidden)
            for j in range(hidden):
                value = math.tanh(gates[ith, j])
                y_h[d, image, j] = value
                y[t, d, image, j] = value


@kernel(GRU, device="cpu", bind=bind(lambda: gru), when=usual)
def gru(x, w, r, b, h0, y, y_h, turned, gates, backwards, linear_before_reset, ith, nth):
    """gates holds z, reset, n, and what the state adds to n."""
    steps, n, size = x.shape
    directions, hidden = r.shape[0], r.shape[2]
    one, zero = np.float32(1), np.float32(0)
    for unit in range(directions * n * ith // nth, directions * n * (ith + 1) // nth):
        d, image = unit // n, unit % n
        turn(w, r, turned, d, ith)
        start(h0, y_h, d, image)
        for step in range(steps):
            t = steps - 1 - step if backwards == 1 or (backwards == 2 and d == 1) else step
            biases(b, gates, d, ith, 3 * hidden, 2 * hidden)
            inputs(x, turned, gates, t, image, ith, 3 * hidden)
            states(y_h, turned, gates, d, image, ith, size, 2 * hidden)
            for j in range(2 * hidden):
                gates[ith, j] = one / (one + math.exp(-gates[ith, j]))
            for j in range(hidden):
                gates[ith, 3 * hidden + j] = b[d * 6 * hidden + 5 * hidden + j] if b.size > 0 else zero
            for i in range(hidden):
                value = y_h[d, image, i]
                if linear_before_reset == 0:
                    value *= gates[ith, hidden + i]
                for j in range(hidden):
                    gates[ith, 3 * hidden + j] += value * turned[ith, size + i, 2 * hidden + j]
            for j in range(hidden):
                back = gates[ith, 3 * hidden + j]
                if linear_before_reset != 0:
                    back *= gates[ith, hidden + j]
                new, z = math.tanh(gates[ith, 2 * hidden + j] + back), gates[ith, j]
                value = (one - z) * new + z * y_h[d, image, j]
                y_h[d, image, j] = value
                y[t, d, image, j] = value


@kernel(LSTM, device="cpu", bind=bind(lambda: lstm), when=usual)
def lstm(x, w, r, b, h0, c0, y, y_h, y_c, turned, gates, backwards, ith, nth):
    """gates holds i, o, forget, n."""
    steps, n, size = x.shape
    directions, hidden = r.shape[0], r.shape[2]
    one = np.float32(1)
    for unit in range(directions * n * ith // nth, directions * n * (ith + 1) // nth):
        d, image = unit // n, unit % n
        turn(w, r, turned, d, ith)
        start(h0, y_h, d, image)
        start(c0, y_c, d, image)
        for step in range(steps):
            t = steps - 1 - step if backwards == 1 or (backwards == 2 and d == 1) else step
            biases(b, gates, d, ith, 4 * hidden, 4 * hidden)
            inputs(x, turned, gates, t, image, ith, 4 * hidden)
            states(y_h, turned, gates, d, image, ith, size, 4 * hidden)
            for j in range(3 * hidden):
                gates[ith, j] = one / (one + math.exp(-gates[ith, j]))
            for j in range(hidden):
                new = math.tanh(gates[ith, 3 * hidden + j])
                cell = gates[ith, 2 * hidden + j] * y_c[d, image, j] + gates[ith, j] * new
                value = gates[ith, hidden + j] * math.tanh(cell)
                y_c[d, image, j] = cell
                y_h[d, image, j] = value
                y[t, d, image, j] = value


def turn(w, r, turned, d, ith):
    """Both weights of a direction, turned, one below the other."""
    size, hidden, width = w.shape[2], r.shape[2], w.shape[1]
    for j in range(width):
        for i in range(size):
            turned[ith, i, j] = number(simd.address(w) + ((d * width + j) * size + i) * WEIGHT)
        for i in range(hidden):
            turned[ith, size + i, j] = number(simd.address(r) + ((d * width + j) * hidden + i) * WEIGHT)


def start(given, state, d, image):
    """The first state: given, (D, N, H) as one row, or zeros."""
    n, hidden = state.shape[1], state.shape[2]
    for j in range(hidden):
        state[d, image, j] = given[(d * n + image) * hidden + j] if given.size > 0 else np.float32(0)


def biases(b, gates, d, ith, width, both):
    """Every gate's bias of the input; for the first `both` also that of the state."""
    for j in range(width):
        gates[ith, j] = np.float32(0)
    if b.size > 0:
        for j in range(width):
            gates[ith, j] = b[d * 2 * width + j]
        for j in range(both):
            gates[ith, j] += b[d * 2 * width + width + j]


def inputs(x, turned, gates, t, image, ith, width):
    """Add what the input of step t gives to every gate."""
    for i in range(x.shape[2]):
        value = x[t, image, i]
        for j in range(width):
            gates[ith, j] += value * turned[ith, i, j]


def states(state, turned, gates, d, image, ith, size, width):
    """Add what the state gives to the first `width` gates."""
    for i in range(state.shape[2]):
        value = state[d, image, i]
        for j in range(width):
            gates[ith, j] += value * turned[ith, size + i, j]
