"""Layer normalisation as exporters wrote it before ONNX had an operator for it:

    d = x - ReduceMean(x),  y = d / Sqrt(ReduceMean(d ** 2) + eps)

is found in the list of nodes, and becomes one node of a type of our own; over an image's height and width it is
instance normalisation. A scale and a bias behind it join it later, see `..patterns`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..arithmetic import binary
from ..graph import Graph
from ..value import Node, Value
from .fold import axes_of
from .graph import operator
from .reduce import reduced

CENTRED = "fbnet.Centred"


def with_centred(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, with the Div that ends such a group in one node. What only the group read is then read by nobody."""
    makers = {o: n for n in nodes for o in n.outputs}

    def made(name: str, kind: str) -> Node | None:
        found = makers.get(name)
        return found if found is not None and found.type == kind else None

    return [_centred(n, made) or n if n.type == "Div" else n for n in nodes]


def _centred(div: Node, made: Callable[[str, str], Node | None]) -> Node | None:
    """One node for the whole group: (x, eps, exponent, axes), the last two '' where there are none."""
    d = made(div.inputs[0], "Sub")
    root = made(div.inputs[1], "Sqrt")
    total = root and made(root.inputs[0], "Add")
    if d is None or not total:
        return None
    for spread, eps in (total.inputs, total.inputs[::-1]):
        variance = made(spread, "ReduceMean")
        square = variance and (made(variance.inputs[0], "Pow") or made(variance.inputs[0], "Mul"))
        mean = made(d.inputs[1], "ReduceMean")
        if not variance or not square or not mean or mean.inputs[0] != d.inputs[0]:
            continue
        again = made(square.inputs[0], "Sub")  # some exporters subtract twice
        if again is None or again.inputs != d.inputs:
            continue
        if square.type == "Mul" and square.inputs[0] != square.inputs[1]:
            continue
        same = mean.inputs[1:] == variance.inputs[1:] and mean.get("axes") == variance.get("axes")
        if not same or not mean.get("keepdims", 1) or not variance.get("keepdims", 1):
            continue
        exponent = square.inputs[1] if square.type == "Pow" else ""
        inputs = (d.inputs[0], eps, exponent, *mean.inputs[1:2])
        proto = type(div.source)()
        proto.CopyFrom(div.source)
        proto.ClearField("input")
        proto.input.extend(inputs)
        return replace(div, type=CENTRED, inputs=inputs, attributes={"axes": mean.get("axes")}, source=proto)
    return None


@operator(CENTRED)
def centred(
    g: Graph, node: Node, x: Value, eps: Value, exponent: Value | None = None, axes: Value | None = None
) -> Value:
    named = axes_of(node, None if axes is None else g.numbers(axes, "the axes"))
    over = sorted({a % x.rank for a in named or range(x.rank)})
    squared = exponent is None or (exponent.array is not None and bool((g.numbers(exponent) == 2).all()))
    small = float(g.numbers(eps).reshape(-1)[0]) if eps.array is not None and eps.array.size == 1 else -1.0
    if squared and small >= 0 and over and over == list(range(over[0], x.rank)):
        if over[0] == 2 and x.rank == 4:
            return g.add("GroupNorm", x, eps=small)
        if over[0] > 0:
            return g.add("LayerNorm", x, axis=over[0] - x.rank, eps=small)
    d = binary(g, "sub", x, reduced(g, x, "mean", over))
    square = binary(g, "mul", d, d) if exponent is None else binary(g, "pow", d, exponent)
    variance = binary(g, "add", reduced(g, square, "mean", over), eps)
    return binary(g, "div", d, g.add("Power", variance, power=0.5))
