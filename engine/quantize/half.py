"""half: which layers compute numbers that a narrow floating point dtype cannot hold, as samples show it.

fp16 ends at 65,504: a device that computes with it gets infinity from what fp32 has no trouble with. Weights are looked
at one by one when they are stored; what a net computes with them is known from samples alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import DType
from ..net import Net
from ..part import pieces
from .observation import observe
from .samples import body_index, body_samples, checked_samples

HEADROOM = 2.0  # for what no sample has shown


def too_large(net: Net, kind: DType, samples: Any) -> dict[str, float]:
    """Layer -> the largest number that it reads or writes on the samples, of those where twice that is too large for
    `kind`. Raises InputError for samples that do not fit."""
    given = body_samples(net, checked_samples(net, samples))
    body = pieces(net)[body_index(net)]
    specs = body.specs()
    numbers = {
        name: None
        for layer in body.layers
        for name in (*layer.inputs, *layer.outputs)
        if name and name not in body.constants and specs[name].dtype.name == "fp32"
    }
    seen = observe(body, list(numbers), given)
    reach = {name: max(abs(s.histogram.low), abs(s.histogram.high)) for name, s in seen.items()}
    found = {}
    for layer in body.layers:
        largest = max((reach[name] for name in (*layer.inputs, *layer.outputs) if name in reach), default=0.0)
        stored = kind.quantize(np.array([HEADROOM * largest], np.float32), None)
        if not np.isfinite(kind.dequantize(stored, None)).all():
            found[layer.name] = largest
    return found
