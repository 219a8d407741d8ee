"""Caffe's LSTM and RNN against onnxruntime's: a run of it for each sequence, from where `cont` begins it."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

T, N, K, D = 5, 3, 4, 6
RNG = np.random.default_rng(2)
X = RNG.standard_normal((T, N, K)).astype(np.float32)
STATIC = RNG.standard_normal((N, 2)).astype(np.float32)
CONT = np.float32([[0, 0, 1], [1, 0, 1], [1, 1, 1], [1, 1, 0], [1, 0, 1]])
HEAD = f'input: "x" input_shape {{ dim: {T} dim: {N} dim: {K} }} input: "cont" input_shape {{ dim: {T} dim: {N} }} '


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32) * np.float32(0.5)


def recurrent(type: str, bottoms: str = "x cont", tops: str = "y", more: str = "") -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in tops.split())
    return f'layer {{ name: "r" type: "{type}" {bottom} {top} recurrent_param {{ num_output: {D} {more} }} }}'


def stepwise(onnx_run, kind: str, xw: np.ndarray, r: np.ndarray, states: list[np.ndarray]) -> tuple:
    """onnxruntime a step at a time, its states put to 0 where cont is. xw: what the input brings to the gates."""
    outputs = []
    for t in range(T):
        states = [s * CONT[t][None, :, None] for s in states]
        w = np.eye(xw.shape[2], dtype=np.float32)[None]
        y, *states = onnx_run(
            kind, xw[t : t + 1], w, r[None], None, None, *states, outputs=1 + len(states), hidden_size=D
        )
        outputs.append(y[0, 0])
    return np.stack(outputs), states


def iofn(gates: np.ndarray, axis: int) -> np.ndarray:
    """Caffe's order of gates, i f o g, as ONNX's, i o f g."""
    i, f, o, g = np.split(gates, 4, axis)
    return np.concatenate([i, o, f, g], axis)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
def test_lstm(read, onnx_run, static, exposed):
    w, b, w_static, r = normal(4 * D, K), normal(4 * D), normal(4 * D, 2), normal(4 * D, D)
    h, c = (normal(1, N, D) if exposed else np.zeros((1, N, D), np.float32) for _ in range(2))
    text, bottoms, tops, given = HEAD, "x cont", "y", {"x": X, "cont": CONT}
    if static:
        text, bottoms = text + f'input: "s" input_shape {{ dim: {N} dim: 2 }} ', bottoms + " s"
        given["s"] = STATIC
    if exposed:
        text += "".join(f'input: "{n}" input_shape {{ dim: 1 dim: {N} dim: {D} }} ' for n in ("h0", "c0"))
        bottoms, tops, given = bottoms + " h0 c0", "y hT cT", given | {"h0": h, "c0": c}
    net = read(
        text + recurrent("LSTM", bottoms, tops, "expose_hidden: true" if exposed else ""),
        {"r": [w, b, *[w_static] * static, r]},
    )
    found = net.forward(**given)
    xw = X @ w.T + b + (STATIC @ w_static.T if static else 0)
    wanted, last = stepwise(onnx_run, "LSTM", iofn(xw, 2), iofn(r, 0), [h, c])
    assert set(found) == set(tops.split())
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-4, atol=1e-5)
    for name, state in zip(["hT", "cT"] * exposed, last, strict=False):
        np.testing.assert_allclose(found[name], state, rtol=1e-4, atol=1e-5)


def test_rnn(read, onnx_run):
    w, b, r, w_y, b_y = normal(D, K), normal(D), normal(D, D), normal(D, D), normal(D)
    found = read(HEAD + recurrent("RNN"), {"r": [w, b, r, w_y, b_y]}).forward(x=X, cont=CONT)["y"]
    h, _ = stepwise(onnx_run, "RNN", X @ w.T + b, r, [np.zeros((1, N, D), np.float32)])
    np.testing.assert_allclose(found, np.tanh(h @ w_y.T + b_y), rtol=1e-4, atol=1e-5)


def test_one_step_is_no_batch(read):
    """The first axis is time: a net made for one step must not take two steps for two images."""
    net = read(HEAD.replace(f"dim: {T}", "dim: 1") + recurrent("LSTM"))
    assert net.inputs["x"].shape == (1, N, K) and str(net.inputs["x"]) == f"fp32[1,{N},{K}]"


def test_lstm_unit(read):
    sizes = {
        "c": f"dim: 1 dim: {N} dim: {D}",
        "g": f"dim: 1 dim: {N} dim: {4 * D}",
        "cont": f"dim: 1 dim: {N}",
    }
    text = " ".join(f'input: "{name}" input_shape {{ {dims} }}' for name, dims in sizes.items())
    bottoms = " ".join(f'bottom: "{name}"' for name in sizes)
    text += f' layer {{ name: "u" type: "LSTMUnit" {bottoms} top: "c1" top: "h1" }}'
    (unit,) = read(text).layers
    assert (unit.type, unit.outputs) == ("LSTMUnit", ("c1", "h1"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (recurrent("LSTM", "x"), "x, cont"),
        (recurrent("LSTM", "x x"), "give (T, N, ...) and (T, N)"),
        (recurrent("LSTM", tops="y h c"), "states"),
        (recurrent("RNN").replace(f"num_output: {D}", ""), "num_output"),
    ],
)
def test_what_they_refuse(read, text, said):
    with pytest.raises(ConversionError) as error:
        read(HEAD + text)
    assert said in error.value.problems[0]
