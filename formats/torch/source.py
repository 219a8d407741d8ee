"""Where a torch module comes from: an object in this process, or 'package.module:factory' on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.errors import ConversionError, FileError, InputError, did_you_mean

if TYPE_CHECKING:
    import torch

MISSING = "converting torch modules needs torch: pip install fbnet[torch]"


def module_at(address: str) -> Any:
    """What 'package.module:name' names: a module, or what calling it without arguments returns.

    It is imported as Python would from the current folder: this runs its code. Raises InputError.
    """
    place, _, name = address.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script does not look there by itself
    try:
        found: Any = import_module(place)
    except ImportError as error:
        raise InputError(f"{address}: cannot import {place}: {error}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{address}: {place} has no {name!r}.{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    torch = _torch()
    if isinstance(found, torch.nn.Module) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:  # whatever the caller's own code raises
        raise InputError(
            f"{address}: calling it failed: {type(error).__name__}: {error}. It is called without arguments"
        ) from error


def with_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a state dict into the module. Only tensors are read from the file, never code. Raises FileError."""
    torch = _torch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile's, pickle's and torch's own
        raise FileError(
            f"{path}: no weights that can be read without running code ({type(error).__name__}):"
            " save them with torch.save(module.state_dict(), ...)"
        ) from None
    while isinstance(state, dict) and len(inner := [k for k in ("state_dict", "model") if k in state]) == 1:
        state = state[inner[0]]  # checkpoints keep epochs and optimisers beside it
    if not isinstance(state, dict) or not all(hasattr(v, "shape") for v in state.values()):
        raise FileError(f"{path}: holds {type(state).__name__}, not a state dict: names and their tensors")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise FileError(f"{path}: {' '.join(str(error).split())[:500]}") from None


def as_example(example: Any) -> tuple[Any, ...]:
    """The arguments to call the module with: tensors; arrays and shapes become tensors."""
    torch = _torch()
    if example is None:
        raise InputError(
            "converting a torch module needs an example of its input: convert(module, torch.randn(1, 3, 224, 224))"
        )
    if _is_shape(example) or not isinstance(example, (tuple, list)):
        example = (example,)
    if not example:
        raise InputError("the example is empty: give one tensor for each input")
    return tuple(_tensor(torch, value, i) for i, value in enumerate(example))


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and all(type(size) is int for size in value)


def _tensor(torch: Any, value: Any, place: int) -> Any:
    """One input: a tensor as it is, an array as a tensor, a shape as seeded random numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if _is_shape(value):
        return random_tensor(value)
    if hasattr(value, "__array__"):
        try:
            return torch.from_numpy(value.__array__().copy())
        except TypeError as error:
            raise InputError(f"input {place} of the example: {error}") from None
    raise InputError(
        f"input {place} of the example is {type(value).__name__}: give a tensor, an array or a shape"
    )


def random_tensor(shape: Sequence[int]) -> Any:
    """Seeded numbers around 0. Raises InputError for a shape that is none."""
    torch = _torch()
    if min(shape) < 1 or len(shape) > 8:
        raise InputError(f"example shape {list(shape)}: give up to 8 sizes of at least 1")
    try:
        return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))
    except RuntimeError as error:  # more memory than there is
        raise InputError(f"example shape {list(shape)}: {str(error).splitlines()[0]}") from None


def _torch() -> Any:
    """torch, imported. Raises ConversionError without it."""
    try:
        import torch
    except ImportError as error:
        raise ConversionError(f"{MISSING} ({error})") from None
    return torch
