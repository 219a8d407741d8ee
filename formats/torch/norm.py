"""Operators that normalise, reduce along axes, or look for the largest."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..arithmetic import binary, powered
from ..shape import reshaped
from ..value import Node, Unsupported, Value
from .graph import TorchGraph
from .table import operator


@operator("_native_batch_norm_legit_no_training", "batch_norm", "native_batch_norm")
def batch_norm(
    g: TorchGraph, node: Node, x: Value, scale: Value | None, bias: Value | None, mean: Value | None, var: Value | None,
    *more: Any,
) -> list[Value | None]:  # fmt: skip
    if mean is None or var is None or (node.type == "batch_norm" and more[0]):
        raise Unsupported("keeps no statistics: it normalises by those of the batch")
    eps = more[2] if node.type != "_native_batch_norm_legit_no_training" else more[1]
    y = g.add("BatchNorm", x, mean, var, eps=eps)
    if scale is not None or bias is not None:
        if scale is None:
            scale = g.constant(np.ones(int(x.shape[1]), np.float32))
        y = g.add("Scale", y, scale, bias, axis=1)
    return y if node.type == "batch_norm" else [y, None, None]


@operator("layer_norm", last=lambda x, shape, *more: len(shape))
def layer_norm(
    g: TorchGraph, node: Node, x: Value, shape: Sequence[int], scale: Value | None = None, bias: Value | None = None,
    eps: float = 1e-5, *more: Any,
) -> Value:  # fmt: skip
    return g.add("LayerNorm", x, scale, bias, axis=-len(shape), eps=eps)


@operator("rms_norm", "_fused_rms_norm")
def rms_norm(
    g: TorchGraph,
    node: Node,
    x: Value,
    shape: Sequence[int],
    scale: Value | None = None,
    eps: float | None = None,
) -> Any:
    y = g.add(
        "RMSNorm", x, scale, axis=-len(shape), eps=float(np.finfo(np.float32).eps) if eps is None else eps
    )
    return [y, None] if node.type == "_fused_rms_norm" else y


@operator("group_norm")
def group_norm(
    g: TorchGraph, node: Node, x: Value, groups: int, scale: Value | None = None, bias: Value | None = None,
    eps: float = 1e-5, cudnn: bool = True,
) -> Value:  # fmt: skip
    return g.add("GroupNorm", x, scale, bias, group=groups, eps=eps)


@operator("instance_norm")
def instance_norm(
    g: TorchGraph, node: Node, x: Value, scale: Value | None, bias: Value | None, mean: Value | None, var: Value | None,
    use_input: bool, momentum: float = 0.1, eps: float = 1e-5, cudnn: bool = True,
) -> Value:  # fmt: skip
    if not use_input:
        return batch_norm(
            g, Node("batch_norm", node.name, (), (), {}, 0), x, scale, bias, mean, var, 0, 0, eps
        )  # type: ignore[return-value]
    return g.add("GroupNorm", x, scale, bias, group=0, eps=eps)


@operator("local_response_norm")
def lrn(g: TorchGraph, node: Node, x: Value, size: int, alpha: float, beta: float, k: float) -> Value:
    return g.add("LRN", x, local_size=size, alpha=alpha, beta=beta, k=k)


@operator("softmax", "_softmax", "log_softmax", "_log_softmax", "special_softmax")
def softmax(g: TorchGraph, node: Node, x: Value, axis: int, *more: Any) -> Value:
    y = g.add("Softmax", x, axis=axis % x.rank)
    return g.add("Log", y) if "log" in node.type else y


# -- along axes -------------------------------------------------------------------------------------------------

REDUCTIONS = {
    "sum": "sum",
    "mean": "mean",
    "amax": "max",
    "amin": "min",
    "prod": "prod",
    "logsumexp": "log_sum_exp",
}


@operator("sum", "mean", "amax", "amin", "logsumexp", "prod")
def reduce(
    g: TorchGraph, node: Node, x: Value, axes: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    over = _axes(x, axes)
    return reduced(g, x, REDUCTIONS[node.type], over, keepdim)


def _axes(x: Value, axes: Any) -> list[int]:
    given = [axes] if isinstance(axes, int) else list(axes or range(x.rank))
    return sorted(a % x.rank for a in given)


def reduced(g: TorchGraph, x: Value, operation: str, axes: Sequence[int], keep: bool) -> Value:
    """x reduced along axes: what reduces the pixels of an image is global pooling."""
    if operation in ("mean", "max") and x.rank == 4 and list(axes) == [2, 3]:
        y = g.add("Pooling", x, method="average" if operation == "mean" else "max", global_pooling=True)
        return y if keep else reshaped(g, y, y.shape[:2])
    return g.add("Reduction", x, operation=operation, axes=tuple(axes), keep_dims=keep)


@operator("max", "min")
def extreme(g: TorchGraph, node: Node, x: Value, axis: int | None = None, keepdim: bool = False) -> Any:
    """The largest of all; or the largest along an axis and where it is."""
    if axis is None:
        return reduced(g, x, node.type, list(range(x.rank)), False)
    if isinstance(axis, Value):
        return binary(g, node.type, x, axis)
    values = reduced(g, x, node.type, [axis % x.rank], keepdim)
    wanted = any(user.args[1] == 1 and user.users for user in node.source.users)
    places = (
        g.add("ArgMax", x, axis=axis % x.rank, keep_dims=keepdim, smallest=node.type == "min")
        if wanted
        else None
    )
    return [values, places]


@operator("argmax", "argmin")
def argmax(g: TorchGraph, node: Node, x: Value, axis: int | None = None, keepdim: bool = False) -> Value:
    if axis is None:
        x, axis = reshaped(g, x, [-1] if x.rank > 1 else list(x.shape)), 0
    return g.add("ArgMax", x, axis=axis % x.rank, keep_dims=keepdim, smallest=node.type == "argmin")


@operator("topk")
def topk(
    g: TorchGraph, node: Node, x: Value, k: int, axis: int = -1, largest: bool = True, ordered: bool = True
) -> list[Value]:
    return g.add("TopK", x, outputs=2, k=g.number(k), axis=axis % x.rank, smallest=not largest)


@operator("cumsum")
def cumsum(g: TorchGraph, node: Node, x: Value, axis: int, *, dtype: Any = None) -> Value:
    return g.add("CumSum", x, axis=axis % x.rank)


@operator("linalg_vector_norm", "norm")
def norm(
    g: TorchGraph,
    node: Node,
    x: Value,
    order: float = 2,
    axes: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Value:
    operation = {1: "asum", 2: "l2"}.get(int(order)) if order == int(order) else None
    if operation is None:
        raise Unsupported(f"the norm of order {order}: 1 and 2 are supported")
    return reduced(g, x, operation, _axes(x, axes), keepdim)


@operator("var", "std", "var_mean")
def variance(
    g: TorchGraph, node: Node, x: Value, axes: Any = None, unbiased: bool | None = None, keepdim: bool = False,
    *, correction: float | None = None,
) -> Any:  # fmt: skip
    """The mean of (x - mean(x)) ** 2, or their sum over n - 1"""
    if isinstance(axes, bool):
        axes, unbiased = None, axes
    over = _axes(x, axes)
    less = correction if correction is not None else 0.0 if unbiased is False else 1.0
    mean = reduced(g, x, "mean", over, True)
    apart = binary(g, "sub", x, mean)
    y = reduced(g, powered(g, apart, power=2.0), "mean", over, keepdim)
    if less:
        count = prod(g.number(x.shape[a]) for a in over)
        y = powered(g, y, scale=count / (count - less))
    if node.type == "var_mean":
        return [y, mean if keepdim else reduced(g, x, "mean", over, False)]
    return powered(g, y, power=0.5) if node.type == "std" else y
