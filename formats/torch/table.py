"""The table of ATen operators: what each means in layers is a small function, entered here under the operator's name.

    @operator("relu")
    def relu(g, node, x):
        return g.add("ReLU", x)

What such a function gets, and what it may refuse, `graph` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.errors import RegistryError

# What it returns is a Value, or a list with one for each result, None for one that nobody may read.
Operator = Callable[..., Any]
operators: dict[str, Operator] = {}
# Operators of which nothing is left when a net runs.
SILENT = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
# Operators that give one number in a shape, and that number; None where it is their last argument.
FILLED: dict[str, float | None] = {
    "zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1, "new_ones": 1,
    "full": None, "full_like": None, "new_full": None, "scalar_tensor": None,
    "zero": 0, "fill": None,
}  # fmt: skip
# What an operator's function can take that is not plain, by the operator's name; see `operator`.
BROADCASTING: set[str] = set()
VIEWING: set[str] = set()
ELEMENTWISE: set[str] = set()
LAST: dict[str, Callable[..., int]] = {}


def operator(
    *types: str,
    broadcasts: bool = False,
    views: bool = False,
    elementwise: bool = False,
    last: Callable[..., int] | None = None,
) -> Callable[[Operator], Operator]:
    """Enter a function (graph, node, *arguments) as what these ATen operators mean: 'add', or 'add.Scalar' alone.

    broadcasts   its function takes operands that are still to be broadcast, as `expand` leaves them
    views        its function takes Views
    elementwise  it treats every number alike: it may work on what a View has stored
    last         (*arguments) -> how many last axes it looks along: the others may be in any order
    """

    def register(function: Operator) -> Operator:
        for name in types:
            if name in operators:
                raise RegistryError(
                    f"torch operator {name!r} is already registered by {operators[name].__module__}"
                )
            operators[name] = function
        BROADCASTING.update(types if broadcasts else ())
        VIEWING.update(types if views else ())
        ELEMENTWISE.update(types if elementwise else ())
        LAST.update(dict.fromkeys(types, last) if last else {})
        return function

    return register
