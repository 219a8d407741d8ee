"""torch's tensors and dtypes as those of the net: every kind of float is fp32."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.dtype import dtypes
from ..value import Unsupported, Value


def as_value(name: str, tensor: Any) -> Value:
    """A torch tensor as a constant."""
    tensor = tensor.detach().cpu()
    if tensor.dtype.is_floating_point:
        tensor = tensor.float()
    if tensor.is_complex() or tensor.is_quantized or tensor.layout != _strided():
        raise Unsupported(f"{name} is a {tensor.dtype} tensor, {tensor.layout}: plain numbers wanted")
    array = tensor.contiguous().numpy()
    return Value.of(name, array)


def _strided() -> Any:
    import torch

    return torch.strided


def numpy_dtype(dtype: Any) -> np.dtype:
    """A torch dtype as numpy's; every kind of float is fp32 here."""
    return dtypes[name_of_dtype(dtype)].storage


def name_of_dtype(dtype: Any) -> str:
    """A torch dtype as fbnet calls it. Raises Unsupported."""
    if dtype.is_floating_point:
        return "fp32"
    name = str(dtype).removeprefix("torch.")
    if name not in dtypes:
        raise Unsupported(f"{dtype} is no dtype that is computed with")
    return name
