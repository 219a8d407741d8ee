"""loose: which sizes of a net's inputs may change, found by trying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import FbnetError
from .tensor import Dim

if TYPE_CHECKING:
    from .net import Net


def loosened(net: Net, batch: bool, image: Sequence[int]) -> Net:
    """What Net.loosened returns; see there."""
    inputs = dict(net.inputs)
    groups = [{0: ("N", 1)}] if batch else []  # axis: name, what to grow it by
    groups += [{axis: (name, 32) for axis, name in zip(image, "HW", strict=True)}] if image else []
    for free in groups:
        if not any(spec.ndim > axis for spec in inputs.values() for axis in free):
            continue
        grown = {
            name: [size + free[a][1] if a in free else size for a, size in enumerate(spec.shape)]
            for name, spec in inputs.items()
        }
        try:
            net.specs(grown)
        except FbnetError:
            continue
        for name, spec in inputs.items():
            shape = [Dim(free[a][0], int(size)) if a in free else size for a, size in enumerate(spec.shape)]
            inputs[name] = spec.replace(shape=shape)
    return net.replace(inputs=inputs)
