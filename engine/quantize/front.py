"""front: quantize_net, the way in to the quantizer."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

from ..net import Net
from .budget import Budget
from .quality import Labels
from .quantizer import AUTO, Made, Metric, Quantizer, Recipe
from .ranges import methods
from .samples import FEW

METHODS = (AUTO, *methods)


def quantize_net(
    net: Net,
    samples: Any,
    method: str = AUTO,
    *,
    labels: Labels | None = None,
    metric: Metric | None = None,
    max_drop: float | None = None,
    max_error: float | None = None,
    most_float: float = 0.5,
    keep: Collection[str] = (),
    equalise: bool = True,
    bias: bool = True,
    adaptive: bool = True,
    calibrate: int = 64,
) -> Made:
    """The integer net, and what is known of it.

    samples     arrays, or dicts of arrays by input name: some tens of typical ones. With fewer than 8 a warning says
                that ranges are a guess, and each is widened to what was seen: method "minmax"
    method      of choosing ranges: "auto", which tries the next three, "minmax", "percentile", "mse"; "entropy"
    labels      the right class of each sample, or the right ones
    metric      a function that gives points to a net, more being better: what counts where classes do not; it is
                asked for this net and for each that is tried
    max_drop    points of the metric that may be lost; without one, of top-1; without labels, of agreement with fp32
    max_error   relative error of the outputs that is allowed: 0.1 is 10 %
    most_float  the largest share of the multiply-adds that may stay in fp32 for that
    keep        layers that stay in fp32 in any case
    equalise, bias, adaptive, calibrate    see Recipe

    Raises InputError, NetError, RegistryError for an unknown method or layer, QuantizationError.
    """
    listed = samples if samples is None or hasattr(samples, "__len__") else list(samples)
    if listed is not None and not hasattr(listed, "keys") and 0 < len(listed) < FEW:
        how = f"{len(listed)} sample{'s' * (len(listed) > 1)}: give some tens"
        warnings.warn(f"{net.name} is calibrated with only {how}; ranges are all that was seen", stacklevel=3)
        method = "minmax"
    recipe = Recipe(method, equalise, bias, adaptive, calibrate)
    made = Quantizer(net, listed, recipe, labels, metric).made(keep, Budget(max_drop, max_error, most_float))
    told = {
        "method": made.method, "equalise": equalise, "bias": bias, "adaptive": adaptive,
        "quality": made.quality.described(), "float_share": made.float_share, "floats": made.floats,
        "equalised": made.equalised,
    }  # fmt: skip
    made.net = made.net.replace(metadata=dict(net.metadata) | {"quantization": told})
    return made
