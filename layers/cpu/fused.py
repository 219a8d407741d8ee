"""Activations that a kernel applies to a tile of sums before it is stored: `finish` in a kernel's variant."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ...engine.layer import Layer, layers
from . import simd


def keep(t, alpha, beta):
    return t


def clamp(t, alpha, beta):
    """The tile limited to [alpha, beta]."""
    return simd.tile_clamp(t, alpha, beta)


def leaky(t, alpha, beta):
    return simd.tile_leaky(t, alpha)


def sigmoid(t, alpha, beta):
    return simd.tile_sigmoid(t)


def swish(t, alpha, beta):
    return simd.tile_swish(t)


def hard_swish(t, alpha, beta):
    return simd.tile_hard_swish(t, alpha, beta)


def finish_of(layer: Layer) -> tuple[Callable, float, float] | None:
    """(function, alpha, beta) of the layer's fused activation; None if there is none for it here."""
    name = layer.activation
    declared = layers[name].declared if name else {}
    given = dict(zip(declared, layer.activation_args, strict=False))
    values = [given.get(key, attribute.default) for key, attribute in declared.items()]
    if name == "ReLU":
        return (leaky, values[0], 0.0) if values[0] else (clamp, 0.0, inf)
    if name == "Clip":
        return clamp, values[0], values[1]
    if name == "HardSwish":
        return hard_swish, values[0], values[1]
    if name == "Swish" and values[0] != 1:
        return None
    simple = {"": keep, "Sigmoid": sigmoid, "Swish": swish}
    return (simple[name], 0.0, 0.0) if name in simple else None


def finishes(layer: Layer) -> bool | str:
    """True if finish_of knows the layer's activation, else why not."""
    if finish_of(layer) is not None:
        return True
    return f"the activation {layer.activation}{list(layer.activation_args)} is not known to it"


def clamps(layer: Layer) -> bool | str:
    """True if the layer's fused activation is a clamp (or none), else why a kernel with clamp_of cannot do it."""
    found = finish_of(layer)
    if found is not None and found[0] in (keep, clamp):
        return True
    return f"the activation {layer.activation}{list(layer.activation_args)} is no clamp"


def clamp_of(layer: Layer) -> tuple[float, float]:
    """[low, high] of the layer's fused activation; infinite on a side where it does nothing."""
    found = finish_of(layer)
    return (found[1], found[2]) if found is not None and found[0] is clamp else (-inf, inf)
