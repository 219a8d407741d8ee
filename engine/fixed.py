"""fixed: sizes that a net was made for. An importer that had to work with a size as a number notes it here.

A size that may change is a Dim. A plain number among an input's sizes is its usual size: whether another one fits is
for the layers to say. But where an importer folded a number into a layer (a padding, a grid of boxes, a shape of the
file), another size might fit and give nonsense. Such sizes are noted in the net's metadata, with the reason, and no
other is taken:

    metadata["fixed"] == {"data": {"2": "resize1 (RESIZE_BILINEAR) is right for it alone"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ShapeError
from .tensor import Dim, Spec

if TYPE_CHECKING:
    from .net import Net


def fixed(net: Net, axes: Iterable[int], why: str, input: str = "") -> Net:
    """The net with a note that the sizes of `input` (or of all) along these axes, if numbers, can be no others."""
    noted: dict[str, dict[str, str]] = {k: dict(v) for k, v in net.metadata.get("fixed", {}).items()}
    for name, spec in net.inputs.items():
        for axis in axes if input in ("", name) else ():
            if axis < spec.ndim and not isinstance(spec.shape[axis], Dim):
                noted.setdefault(name, {}).setdefault(str(axis), why)
    return net.replace(metadata={**net.metadata, "fixed": noted}) if noted else net


def refuse_other_sizes(
    name: str,
    inputs: Mapping[str, Spec],
    metadata: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int | str]],
) -> None:
    """Raises ShapeError, with the reason, if a size that was noted as fixed is another in `shapes`."""
    for key, notes in metadata.get("fixed", {}).items():
        if key not in inputs or key not in shapes or len(shapes[key]) != inputs[key].ndim:
            continue
        for axis, why in notes.items():
            wanted, got = inputs[key].shape[int(axis)], shapes[key][int(axis)]
            if isinstance(got, str) or int(got) != int(wanted):
                sizes = ",".join(map(str, shapes[key]))
                raise ShapeError(
                    f"{name}: input {key!r} is {inputs[key]}, but got [{sizes}]: its axis {axis} is fixed at {wanted}, "
                    f"as {why}"
                )
