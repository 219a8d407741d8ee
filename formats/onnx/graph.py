"""The walk over an ONNX graph: node by node, a table of small functions says what each operator is in layers.

    @operator("Relu")
    def relu(g, node, x):
        return g.add("ReLU", x)

An operator's function gets the graph so far, its node, and one Value an input (None where an optional input is
left out); see `..graph`. An operator without a function is replaced by its definition, if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ...engine.errors import FbnetError, RegistryError
from ..graph import MISTAKES, Graph
from ..value import Node, Unsupported, Value
from .refused import why_none

MOST_DEPTH = 16  # of operators that are defined by others
FLOATS = dict.fromkeys((1, 10, 11, 16), "fp32")  # TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16
DTYPES = FLOATS | {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool"}
DTYPES |= {12: "uint32", 13: "uint64"}


def _no_body(g: Graph, node: Node, values: Sequence[Value | None]) -> None:
    """No operator is defined by others: what a Graph knows before it is told."""


Operator = Callable[..., "Value | Sequence[Value]"]
Fold = Callable[["Graph", Node, "Sequence[Value | None]"], "list[np.ndarray] | None"]
operators: dict[str, Operator] = {}


def operator(*types: str) -> Callable[[Operator], Operator]:
    """Enter a function (graph, node, *values) -> value(s) as what these ONNX operators mean."""

    def register(function: Operator) -> Operator:
        for name in types:
            if name in operators:
                raise RegistryError(
                    f"ONNX operator {name!r} is already registered by {operators[name].__module__}"
                )
            operators[name] = function
        return function

    return register


class OnnxGraph(Graph):
    """The net so far, see Graph; and the walk.

    body_of  the nodes that an operator is defined by, see functions
    """

    def __init__(self, names: Iterable[str], outputs: Sequence[str], budget: int):
        super().__init__(names, outputs, budget)
        self.body_of: Callable[[Graph, Node, Sequence[Value | None]], Sequence[Node] | None] = _no_body
        self._depth = 0  # of bodies within bodies

    def visit(self, node: Node, fold: Fold) -> bool:
        """Express one node. False, and a line in `problems`, if that cannot be done."""
        self._node, before = node, len(self.layers)
        if node.type not in operators and any(i and i not in self.values for i in node.inputs):
            self.problems.append(f"{node}: {why_none(node.type)}")
            return False
        if any(i and i not in self.values for i in node.inputs):
            return False  # behind a node that failed: nothing more can be said about this one
        values = [self.values[i] if i else None for i in node.inputs]
        try:
            arrays = fold(self, node, values)
            if arrays is not None:
                for output, array in zip(node.outputs, arrays, strict=False):
                    self.values[output] = Value.of(output, array)
                return True
            if node.type not in operators:
                return self._inlined(node, values, fold, why_none(node.type))
            try:
                results = operators[node.type](self, node, *values)
                self._bind(node, [results] if isinstance(results, Value) else list(results), before)
            except Unsupported as error:
                del self.layers[before:]
                return self._inlined(node, values, fold, str(error))
        except (Unsupported, *MISTAKES) as error:
            known = isinstance(error, (Unsupported, FbnetError))
            self.problems.append(f"{node}: {error}" if known else f"{node}: {type(error).__name__}: {error}")
            return False
        finally:
            self.fixed_by = self.fixed_by or (str(node) if self.sizes_fixed else "")
        return True

    def _inlined(self, node: Node, values: Sequence[Value | None], fold: Fold, why: str) -> bool:
        """Express a node that has no layer, or whose layer refused (`why`), by the nodes of its body."""
        problems, self._depth = len(self.problems), self._depth + 1
        try:
            body = self.body_of(self, node, values) if self._depth <= MOST_DEPTH else None
            if body is None and self.allow_custom and node.type not in operators:
                return self._keep(node, values)
            if body is None:
                raise Unsupported(why)
            for inner in body:
                for name in inner.inputs:
                    self.consumers.setdefault(name, []).append(inner)
            for inner in body:
                if not self.visit(inner, fold):
                    reasons, self.problems[problems:] = self.problems[problems:], []
                    raise Unsupported("; in its definition ".join([why, *reasons[:1]]))
        finally:
            self._depth -= 1
        return True
