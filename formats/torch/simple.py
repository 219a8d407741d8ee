"""Whether a program that torch traced can be walked over as it is, or has to be brought to fewer operators first."""

from __future__ import annotations

import operator as python_operator
from typing import Any

from .nodes import is_number, name_of, writes, written
from .table import FILLED, SILENT, operators

# Operators whose result is memory of its own: what is written into it is seen by nobody else.
FRESH = {
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear",
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "matmul", "bmm", "add", "sub", "mul", "div", "cat",
    "stack", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "relu", "sigmoid", "silu", "hardswish",
    "hardsigmoid", "hardtanh", "gelu", "tanh", "upsample_nearest2d", "upsample_bilinear2d",
}  # fmt: skip


def is_simple(program: Any) -> bool:
    """Whether every operator is in the table, and one that writes into its operand writes where only names look on.

    Those names are given the result; see `TorchGraph.run`. What may be a view of other memory is not simple.
    """
    nodes = list(program.graph.nodes)
    place = {n.name: i for i, n in enumerate(nodes)}
    names: dict[str, list[Any]] = {}  # node -> all nodes that are names of its memory
    for n in nodes:
        if n.op != "call_function" or n.target is python_operator.getitem or is_number(n.meta.get("val")):
            continue
        kind, overload = name_of(n.target)
        if kind in SILENT or kind == "dropout":
            continue
        if kind not in operators and overload not in operators and kind not in FILLED:
            return False
        if writes(written(n.target)):
            target = n.args[0]
            same = names.setdefault(target.name, [target])
            before = [u for m in same for u in m.users if place[u.name] < place[n.name]]
            looked = (target, *before)
            if target.op != "call_function" or any(name_of(m.target)[0] not in FRESH for m in looked):
                return False
            same.append(n)
            names[n.name] = same
    return True
