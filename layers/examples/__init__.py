"""Layers on awkward shapes, a file a family: what tests of references and kernels, and check_device, try.

Each file's `cases(case)` returns a list, where case(layer, *shapes, **flags) makes a Case.
"""

from __future__ import annotations

from typing import Any

from ...engine.case import Case, examples
from ...engine.layer import Layer
from . import (
    arithmetic,
    attention,
    basic,
    ctc,
    detection,
    gather,
    image,
    matmul,
    moving,
    norm,
    quantized,
    quantized_conv,
    recurrent,
    reduce,
    roi,
    sample,
    volume,
    window,
)

FAMILIES = [
    arithmetic,
    attention,
    basic,
    ctc,
    detection,
    gather,
    image,
    matmul,
    moving,
    norm,
    quantized,
    quantized_conv,
    recurrent,
    reduce,
    roi,
    sample,
    volume,
    window,
]


def cases() -> list[Case]:
    """All of them."""

    def case(layer: Layer, *shapes: tuple[int, ...] | None, **flags: Any) -> Case:
        return Case(layer, shapes, **flags)

    return [made for family in FAMILIES for made in family.cases(case)]


examples.add("fbnet", cases, __name__)
