"""Nodes that read nothing but constants: torch computes them, and nothing of them is left when a net runs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.tensor import Dim
from ..value import Unsupported, Value
from .nodes import is_number, name_of
from .table import FILLED, operators
from .tensors import as_value, numpy_dtype

if TYPE_CHECKING:
    from .graph import TorchGraph

FOLDED_BYTES = 4 << 30  # what results of constants may take, each


def folded(g: TorchGraph, node: Any, args: Sequence[Any], named: dict[str, Any]) -> Any:
    """What torch computes of constants, or None if the node has to run."""
    import torch

    if not is_constant(g, node):
        return None
    flat = [*_leaves(args), *_leaves(list(named.values()))]
    if name_of(node.target)[0] in FILLED:
        return _filled(g, node, args)
    if any(isinstance(a, Dim) for a in flat):
        if name_of(node.target)[0] in operators:
            return None
        raise g.sizes.fixing(flat)
    metas = node.meta["val"]
    for meta in metas if isinstance(metas, (list, tuple)) else [metas]:
        if prod(map(int, meta.shape)) * meta.element_size() > FOLDED_BYTES:
            raise Unsupported(f"its result {list(meta.shape)} of constants is absurdly large")
    named = {k: torch.device("cpu") if k == "device" else v for k, v in named.items()}
    with torch.no_grad():
        result = node.target(*_as_torch(list(args)), **{k: _as_torch(v) for k, v in named.items()})
    several = isinstance(result, (list, tuple))
    made = [as_value(g.fresh(g.titles[node.name]), t) for t in (result if several else [result])]
    return made if several else made[0]


def _filled(g: TorchGraph, node: Any, args: Sequence[Any]) -> Value:
    """One number in a shape: an array with size 1 in the place of what may change, to be broadcast."""
    meta, fill = node.meta["val"], FILLED[name_of(node.target)[0]]
    shape = [1 if isinstance(s, Dim) else s for s in g.sizes.shape(meta.shape)]
    given = args[-1] if fill is None else fill
    number = g.numbers(given, "what it fills with").item() if isinstance(given, Value) else given
    array = np.full(shape, number, numpy_dtype(meta.dtype))
    return Value.of(g.fresh(g.titles[node.name]), array)


def is_constant(g: TorchGraph, node: Any) -> bool:
    """Whether no input of the net goes into a node."""
    tensors = [n for n in node.all_input_nodes if not is_number(n.meta.get("val"))]
    values = [g.values.get(g.titles[n.name]) for n in tensors]
    kind = name_of(node.target)[0]
    return kind != "" and (kind in FILLED or all(v is not None and v.array is not None for v in values))


def _leaves(values: Any) -> list[Any]:
    if isinstance(values, (list, tuple)):
        return [leaf for value in values for leaf in _leaves(value)]
    return [values]


def _as_torch(given: Any) -> Any:
    """An argument of an operator as torch takes it."""
    import torch

    if isinstance(given, list):
        return [_as_torch(g) for g in given]
    if isinstance(given, Value):
        assert given.array is not None
        return torch.from_numpy(np.array(given.array))
    return given
