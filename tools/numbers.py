"""Random inputs for a net, and how far two results lie apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..engine.steps import relative_error as relative_error
from ..engine.tensor import Spec


def random_inputs(specs: Mapping[str, Spec], seed: int = 0) -> dict[str, np.ndarray]:
    """Normal random numbers for inputs, the same for the same seed."""
    random = np.random.default_rng(seed)
    return {
        name: np.asarray(random.standard_normal(spec.concrete.shape)).astype(spec.dtype.storage)
        for name, spec in specs.items()
    }


def sqnr_db(got: np.ndarray, wanted: np.ndarray) -> float:
    """Signal to noise, 10 log10(sum wanted^2 / sum (got - wanted)^2), in decibels; infinite where they are equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = wanted.astype(np.float64)
        noise = float(np.square(got.astype(np.float64) - wanted).sum())
        signal = float(np.square(wanted).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal > 0 else float("-inf")


def cosine(got: np.ndarray, wanted: np.ndarray) -> float:
    """The cosine of the angle between two arrays as vectors; 1 for two of zeros."""
    a, b = (v.astype(np.float64).ravel() for v in (got, wanted))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b / lengths) if lengths else float(not a.any() and not b.any())


def share_that_differs(got: np.ndarray, wanted: np.ndarray) -> float:
    """Of how many places the numbers differ, from 0 to 1; 1 for another shape."""
    if got.shape != wanted.shape:
        return 1.0
    return float((got != wanted).mean()) if wanted.size else 0.0
