"""Activations that a kernel can apply while it stores: those that limit a number to a range."""

from __future__ import annotations

from math import inf

from ...engine.layer import Layer


def clamps(layer: Layer) -> bool | str:
    """True if the layer's fused activation is a clamp (or none), else why a kernel with clamp_of cannot do it."""
    name, args = layer.activation, layer.activation_args
    if name in ("", "Clip") or (name == "ReLU" and not any(args)):
        return True
    return f"the activation {name}{list(args)} is no clamp"


def clamp_of(layer: Layer) -> tuple[float, float]:
    """[low, high] of the layer's fused activation; infinite on a side where it does nothing."""
    if layer.activation == "ReLU":
        return 0.0, inf
    if layer.activation == "Clip":
        low, high = (*layer.activation_args, *(-inf, inf)[len(layer.activation_args) :])
        return low, high
    return -inf, inf
