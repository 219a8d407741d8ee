"""Random inputs for a net, and how far two results lie apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..engine.tensor import Spec


def random_inputs(specs: Mapping[str, Spec], seed: int = 0) -> dict[str, np.ndarray]:
    """Normal random numbers for inputs, the same for the same seed."""
    random = np.random.default_rng(seed)
    return {
        name: np.asarray(random.standard_normal(spec.concrete.shape)).astype(spec.dtype.storage)
        for name, spec in specs.items()
    }


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference in terms of the largest number; infinite for another shape or NaN on one side."""
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.size:
        return 0.0
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.abs(got.astype(np.float64) - wanted)
    difference[(got == wanted) | (np.isnan(got) & np.isnan(wanted))] = 0
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0) or 1.0
    error = float(difference.max() / scale)
    return error if error == error else float("inf")
