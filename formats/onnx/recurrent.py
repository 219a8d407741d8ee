"""RNN, GRU and LSTM: the layers have ONNX's semantics, so that little is left to do."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..value import Node, Unsupported, Value
from .graph import operator


@operator("RNN", "GRU", "LSTM")
def recurrent(g: Graph, node: Node, *inputs: Value | None) -> list[Value]:
    given: dict[str, Any] = {"direction": node.get("direction", "forward"), "clip": node.get("clip", 0.0)}
    for key in ("activations", "activation_alpha", "activation_beta"):
        given[key] = node.get(key) or ()
    given["activations"] = [_named(name) for name in given["activations"]]
    given["batch_first"] = bool(node.get("layout", 0))
    if node.type == "GRU":
        given["linear_before_reset"] = bool(node.get("linear_before_reset", 0))
    if node.type == "LSTM":
        given["input_forget"] = bool(node.get("input_forget", 0))
    if node.get("output_sequence", 1) == 0 and node.opset < 7 and node.outputs[0]:
        raise Unsupported("output_sequence=0, but its sequence is read")
    _plain(given, 2 if given["direction"] == "bidirectional" else 1, node.type)
    return g.add(node.type, *inputs, outputs=3 if node.type == "LSTM" else 2, **given)


def _plain(given: dict[str, Any], directions: int, kind: str) -> None:
    """Leave out activations that are the usual ones, which is what kernels know."""
    usual = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[kind]
    if (
        given["activations"] == usual * directions
        and not given["activation_alpha"] + given["activation_beta"]
    ):
        given["activations"] = ()


def _named(activation: str) -> str:
    """ONNX does not care for upper and lower case here."""
    known = ("Sigmoid", "Tanh", "Relu", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu",
             "Softsign", "Softplus")  # fmt: skip
    return next((name for name in known if name.lower() == activation.lower()), activation)
