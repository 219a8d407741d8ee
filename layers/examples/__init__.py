"""Layers on awkward shapes, a file a family: what tests of references and kernels, and check_device, try.

Each file's `cases(case)` returns a list, where case(layer, *shapes, **flags) makes a Case.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from ...engine.case import Case, examples
from ...engine.layer import Layer


def cases() -> list[Case]:
    """All of them."""

    def case(layer: Layer, *shapes: tuple[int, ...] | None, **flags: Any) -> Case:
        return Case(layer, shapes, **flags)

    families = [import_module(f".{found.name}", __name__) for found in iter_modules(__path__)]
    return [made for family in families for made in family.cases(case)]


examples.add("fbnet", cases, __name__)
