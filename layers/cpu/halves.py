"""halves: weights that stay in 16 bits in memory and become float32 on their way into registers.

A kernel multiplies by `fma`, `fma_lanes` or `dot`, or loads a `number`, and steps over its weights by WEIGHT bytes a
number. Which those are, its variant says: `reading(call)` gives the names for a layer whose weights are stored in fp16,
if the target widens fp16 in an instruction; else those for float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...engine.kernel import Call, Packed, Stage
from . import simd


def fma(t, a, a_step, w):
    return simd.tile_fma(t, a, a_step, w)


def fma_lanes(t, a, a_step, w):
    return simd.tile_fma_lanes(t, a, a_step, w)


def fma_halves(t, a, a_step, w):
    return simd.tile_fma_halves(t, a, a_step, w)


def fma_lanes_halves(t, a, a_step, w):
    return simd.tile_fma_lanes_halves(t, a, a_step, w)


def dot(t, a, a_step, x):
    return simd.tile_dot(t, a, a_step, x)


def dot_halves(t, a, a_step, x):
    return simd.tile_dot_halves(t, a, a_step, x)


def number(address):
    return simd.load_scalar(address)


def number_half(address):
    return simd.load_half(address)


def in_halves(call: Call, *names: str) -> bool:
    """Whether the layer's weights, w if no others are named, are stored in fp16 and the target reads those."""
    stored = [call.narrow.get(name) for name in names or ("w",)]
    return call.halves and all(s is not None and s.spec.dtype.name == "fp16" for s in stored)


def reading(call: Call, *names: str) -> dict[str, int | Callable]:
    """What a kernel's variant is to multiply by, and the bytes of a weight."""
    if in_halves(call, *names):
        halves = {"fma": fma_halves, "fma_lanes": fma_lanes_halves, "dot": dot_halves, "number": number_half}
        return {**halves, "WEIGHT": 2}
    return {"fma": fma, "fma_lanes": fma_lanes, "dot": dot, "number": number, "WEIGHT": 4}


def packed_weights(call: Call, w: np.ndarray) -> Packed:
    """Weights as the variant reads them. numba has no float16 on the cpu, so halves are passed as their bits."""
    return Packed(w.astype(np.float16).view(np.uint16) if in_halves(call) else w)


def as_they_lie(call: Call, function: Callable, params: Mapping[str, Any], *names: str) -> Stage:
    """A stage of a kernel that reads weights as they lie in the net, one `number` after the other."""
    stored = {}
    if in_halves(call, *names):
        stored = {name: Packed(np.asarray(call.narrow[name].data).view(np.uint16)) for name in names}
    chosen = reading(call, *names)
    variant = simd.variant(function, number=chosen["number"], WEIGHT=chosen["WEIGHT"])
    return Stage({**params, **stored}, function=variant)
