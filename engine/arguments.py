"""What a call of a net is given: an array for each input, by position or by name, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError, did_you_mean
from .fixed import refuse_other_sizes
from .tensor import Dim, Spec

if TYPE_CHECKING:
    from .net import Net


def arguments(
    net: Net, arrays: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays of a call by the inputs' names, checked. Raises InputError, ShapeError."""
    if len(arrays) > len(net.inputs):
        raise InputError(f"{net.name} takes {len(net.inputs)} inputs, but got {len(arrays)}")
    named = dict(zip(net.inputs, arrays, strict=False))
    if twice := named.keys() & inputs.keys():
        raise InputError(f"{net.name} got {', '.join(sorted(twice))} by position and by name: give it once")
    return _checked(net, named | dict(inputs))


def _checked(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every input given, none unknown, each in its input's dtype and rank."""
    for name in inputs:
        if name not in net.inputs:
            known = ", ".join(net.inputs)
            raise InputError(
                f"{net.name} has no input {name!r}.{did_you_mean(name, net.inputs)} It takes: {known}"
            )
    for name, spec in net.inputs.items():
        if name not in inputs:
            raise InputError(f"{net.name} needs the input {name!r}, {spec}")
    arrays = {name: as_input(name, net.inputs[name], array) for name, array in inputs.items()}
    refuse_other_sizes(net.name, net.inputs, net.metadata, {n: a.shape for n, a in arrays.items()})
    for name, spec in net.inputs.items():
        sizes = zip(spec.shape[1:], arrays[name].shape[1:], strict=True)
        if spec.dtype.name == "uint8" and not all(isinstance(s, Dim) or s == a for s, a in sizes):
            got = list(arrays[name].shape)
            raise InputError(f"input {name!r} has shape {got} but is {spec}: its channels differ")
    return arrays


def as_input(name: str, spec: Spec, array: Any) -> np.ndarray:
    """`array` as the stored array of an input: numbers become the input's dtype, the rank must be right.

    Pixels (uint8) must be whole numbers from 0 to 255 already, and one image may come without the batch's axis.
    """
    try:
        given = np.asarray(array)
        array = (
            np.ascontiguousarray(given, spec.dtype.storage)
            if given.ndim
            else given.astype(spec.dtype.storage)
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"input {name!r} is no array of {spec.dtype}: {error}") from None
    if spec.dtype.name == "uint8":
        if given.dtype != array.dtype and not np.array_equal(given, array):
            raise InputError(f"input {name!r} is {spec}, whole numbers from 0 to 255, but got {given.dtype}")
        array = array[None] if array.ndim == spec.ndim - 1 else array
    if array.ndim != spec.ndim:
        raise InputError(
            f"input {name!r} has shape {list(array.shape)} but is {spec}: give it {spec.ndim} dimensions"
        )
    return array
