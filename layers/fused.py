"""fused: how a kernel is told which activation to apply before it stores: a number that says which, and two more.

For devices whose kernels take it as parameters: their own `finish` has the same numbers.
"""

from __future__ import annotations

import math

from ..engine.layer import Layer, layers

KEEP, CLAMP, LEAKY, SIGMOID, SWISH, HARD_SWISH, HARD_SIGMOID, ELU, TANH = range(9)
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
