"""Operators that make one number of many along axes, and those built on them."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.tensor import Dim
from ..arithmetic import two
from ..graph import Graph
from ..shape import inverse, permuted, reshaped
from ..value import Node, Unsupported, Value, dtype_name, is_floating
from .fold import axes_of
from .graph import operator

# ONNX operator: operation of the layer Reduction
REDUCE = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
    "ReduceL1": "asum", "ReduceL2": "l2", "ReduceSumSquare": "sumsq",
    "ReduceLogSum": "log_sum", "ReduceLogSumExp": "log_sum_exp",
}  # fmt: skip
FLOATS_ONLY = ("mean", "l2", "log_sum", "log_sum_exp")


@operator(*REDUCE)
def reduce(g: Graph, node: Node, x: Value, axes: Value | None = None) -> Value:
    """A Reduction layer; of an image's H and W (turned so that they are) a maximum or mean is global pooling."""
    named = axes_of(node, None if axes is None else g.numbers(axes, "the axes"))
    if not named and node.get("noop_with_empty_axes", 0):
        return _of_each(g, node, x)
    over = sorted({a % x.rank for a in named or range(x.rank)}) if x.rank else []
    operation, keep = REDUCE[node.type], bool(node.get("keepdims", 1))
    pools = operation in ("mean", "max") and x.rank == 4 and len(over) == 2 and over[0] > 0
    if pools and is_floating(x) and x.array is None and all(x.shape[a] for a in over):
        return _pooled(g, x, over, operation, keep)
    return reduced(g, x, operation, over, keep)


def _pooled(g: Graph, x: Value, over: list[int], operation: str, keep: bool) -> Value:
    kept = next(a for a in (1, 2, 3) if a not in over)
    order = [0, kept, *over]
    method = "max" if operation == "max" else "average"
    pooled = g.add("Pooling", permuted(g, x, order), method=method, global_pooling=True)
    return permuted(g, pooled, inverse(order)) if keep else g.add("Flatten", pooled, axis=1)


def reduced(g: Graph, x: Value, operation: str, axes: list[int], keep_dims: bool = True) -> Value:
    """A Reduction layer; of whole numbers in fp32, where the result need not be whole."""
    if operation in FLOATS_ONLY and not is_floating(x):
        in_floats = reduced(g, g.add("Cast", x, to="fp32"), operation, axes, keep_dims)
        return g.add("Cast", in_floats, to=dtype_name(x))
    return g.add("Reduction", x, operation=operation, axes=axes, keep_dims=keep_dims)


def _of_each(g: Graph, node: Node, x: Value) -> Value:
    """What a reduction over no axes does: every number is the whole of its group."""
    match REDUCE[node.type]:
        case "asum" | "l2":
            return g.add("Unary", x, operation="abs")
        case "sumsq":
            return two(g, "mul", x, x)
        case "log_sum":
            return g.add("Log", x)
    return x


@operator("ArgMax", "ArgMin")
def arg_max(g: Graph, node: Node, x: Value) -> Value:
    return g.add(
        "ArgMax", x, axis=node.get("axis", 0), keep_dims=bool(node.get("keepdims", 1)),
        smallest=node.type == "ArgMin", last=bool(node.get("select_last_index", 0)),
    )  # fmt: skip


@operator("TopK")
def top_k(g: Graph, node: Node, x: Value, k: Value | None = None) -> list[Value]:
    count = node.get("k") if k is None else int(g.numbers(k, "its k").item())
    axis = node.get("axis", -1) % x.rank
    if isinstance(x.shape[axis], Dim):
        raise Unsupported(
            f"sorts along an axis whose size {x.shape[axis]} may change: give a number with shapes="
        )
    return g.add("TopK", x, outputs=2, k=count, axis=axis, smallest=not node.get("largest", 1))


@operator("CumSum")
def cum_sum(g: Graph, node: Node, x: Value, axis: Value) -> Value:
    flags = {"exclusive": bool(node.get("exclusive", 0)), "reverse": bool(node.get("reverse", 0))}
    return g.add("CumSum", x, axis=int(g.numbers(axis, "its axis").item()), **flags)


@operator("LogSoftmax", "Hardmax")
def along_axis(g: Graph, node: Node, x: Value) -> Value:
    """Before opset 13 everything from `axis` on is one axis."""
    compute = _log_softmax if node.type == "LogSoftmax" else _hardmax
    axis = node.get("axis", 1 if node.opset < 13 else -1) % x.rank
    if node.opset >= 13 or axis == x.rank - 1:
        return compute(g, x, axis)
    return reshaped(g, compute(g, g.add("Flatten", x, axis=axis), axis), x.shape)


def _log_softmax(g: Graph, x: Value, axis: int) -> Value:
    """x - log(sum of exp(x)): never the logarithm of a probability that is too small for fp32."""
    return two(g, "sub", x, reduced(g, x, "log_sum_exp", [axis]))


def _hardmax(g: Graph, x: Value, axis: int) -> Value:
    """1 at the first of the largest numbers, else 0."""
    size = x.shape[axis]
    if isinstance(size, Dim):
        raise Unsupported(f"its axis has size {size}, which may change: give a number with shapes=")
    places = np.arange(size).reshape([size if a == axis else 1 for a in range(x.rank)])
    return g.add("Cast", two(g, "equal", g.add("ArgMax", x, axis=axis), places, kind="Compare"), to="fp32")


@operator("LpNormalization")
def lp_normalization(g: Graph, node: Node, x: Value) -> Value:
    """x / (sum of |x| ** p) ** (1/p) along an axis; 0 where that is 0 / 0."""
    order = node.get("p", 2)
    if order not in (1, 2):
        raise Unsupported(f"p={order}: it is 1 or 2")
    norm = reduced(g, x, "asum" if order == 1 else "l2", [node.get("axis", -1) % x.rank])
    smallest = np.array(np.finfo(np.float32).tiny)
    return two(g, "div", x, two(g, "max", norm, smallest))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(g: Graph, node: Node, x: Value) -> Value:
    """(x - mean(x)) / (sqrt(variance(x)) + 1e-9); of an image's H and W it is an MVN layer."""
    axes = sorted(a % x.rank for a in node.get("axes", [0, 2, 3]))
    if x.rank > 2 and axes in (list(range(1, x.rank)), list(range(2, x.rank))):
        return g.add("MVN", x, across_channels=axes[0] == 1)
    centred = two(g, "sub", x, reduced(g, x, "mean", axes))
    count = prod(int(x.shape[a]) for a in axes) if not any(isinstance(x.shape[a], Dim) for a in axes) else 0
    if count:
        root = g.add("Power", reduced(g, centred, "l2", axes), scale=count**-0.5, shift=1e-9)
    else:
        root = g.add("Power", reduced(g, two(g, "mul", centred, centred), "mean", axes), power=0.5)
    return two(g, "div", centred, root)
