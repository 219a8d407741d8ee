"""Activations that a kernel applies to its result before it stores it: a number that says which, and two more."""

from __future__ import annotations

import math

import numpy as np

from ...engine.layer import Layer, layers
from .card import numba_cuda

cuda = numba_cuda()

KEEP, CLAMP, LEAKY, SIGMOID, SWISH, HARD_SWISH, HARD_SIGMOID, ELU, TANH = range(9)  # gemm.cu has them, too
KINDS = {"": KEEP, "Clip": CLAMP, "Sigmoid": SIGMOID, "Swish": SWISH, "HardSwish": HARD_SWISH}
KINDS |= {"HardSigmoid": HARD_SIGMOID, "ELU": ELU, "TanH": TANH}


def finish_of(layer: Layer) -> dict | None:
    """The parameters act, alpha and beta of the layer's fused activation; None if there is none for it here."""
    name = layer.activation
    declared = layers[name].declared if name else {}
    given = dict(zip(declared, layer.activation_args, strict=False))
    alpha, beta, *_ = [*[given.get(key, a.default) for key, a in declared.items()], 0.0, 0.0]
    if name == "ReLU":
        return (
            dict(act=LEAKY, alpha=float(alpha), beta=0.0)
            if alpha
            else dict(act=CLAMP, alpha=0.0, beta=math.inf)
        )
    return dict(act=KINDS[name], alpha=float(alpha), beta=float(beta)) if name in KINDS else None


def finishes(layer: Layer) -> bool | str:
    """True if finish_of knows the layer's activation, else why not."""
    if finish_of(layer) is not None:
        return True
    return f"the activation {layer.activation}{list(layer.activation_args)} is not known to it"


@cuda.jit(device=True)
def finish(v, act, alpha, beta):
    """The activation `act` of v. Every thread takes the same way."""
    one = np.float32(1)
    if act == CLAMP:
        return min(max(v, alpha), beta)
    if act == LEAKY:
        return v if v > 0 else alpha * v
    if act == SIGMOID:
        return one / (one + math.exp(-v))
    if act == SWISH:
        return v / (one + math.exp(-alpha * v))
    if act == HARD_SWISH:
        return v * min(max(alpha * v + beta, np.float32(0)), one)
    if act == HARD_SIGMOID:
        return min(max(alpha * v + beta, np.float32(0)), one)
    if act == ELU:
        return v if v > 0 else alpha * math.expm1(v)
    if act == TANH:
        return math.tanh(v)
    return v
