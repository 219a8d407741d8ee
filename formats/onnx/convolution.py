"""Operators with a window: convolution, its transpose, pooling, padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...engine.tensor import Dim
from .fold import axes_of
from .graph import Graph, Node, Unsupported, Value, operator
from .moving import inverse, permuted

LOWEST = float(np.finfo(np.float32).min)


def _plane(x: Value) -> tuple[int, int]:
    """H and W of an image tensor."""
    if x.rank != 4:
        raise Unsupported(f"its input has {x.rank} dimensions; only images (N,C,H,W) are supported")
    return x.shape[2], x.shape[3]


def _pair(node: Node, key: str) -> tuple[int, int]:
    """An attribute with one number for H and one for W; (1, 1) if it is not given."""
    given = node.get(key) or (1, 1)
    if len(given) != 2:
        raise Unsupported(f"{key}={list(given)}: two numbers wanted")
    return tuple(given)


def _pads(g: Graph, node: Node, x: Value, window: Sequence[int]) -> tuple[int, ...]:
    """Padding (top, left, bottom, right) of a window that moves over x; `window` counts its dilation in."""
    plane, stride = _plane(x), _pair(node, "strides")
    match node.get("auto_pad", "NOTSET"):
        case "VALID":
            return (0, 0, 0, 0)
        case "SAME_UPPER" | "SAME_LOWER" as rule:
            ends = [_same(g, s, k, t, rule) for s, k, t in zip(plane, window, stride, strict=True)]
            return (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
    given = tuple(node.get("pads") or (0, 0, 0, 0))
    if len(given) != 4 or min(given) < 0:
        raise Unsupported(f"pads={list(given)}: four numbers from 0 wanted")
    return given


def _same(g: Graph, size: int, window: int, stride: int, rule: str) -> tuple[int, int]:
    """Padding (before, after) so that ceil(size / stride) windows fit.

    Often 'before' is the same whatever the size: then window - 1 in all serves every size, and what is too much
    holds no window. Otherwise the padding is right for this size only.
    """
    odd = 1 if rule == "SAME_LOWER" else 0  # where the extra cell of an odd padding goes
    before = {(max(0, window - stride + r) + odd) // 2 for r in range(stride)}
    if len(before) == 1:
        start = before.pop()
        return start, max(0, window - 1 - start)
    if isinstance(size, Dim):
        raise Unsupported(f"{rule} padding depends on the size {size}: give a number with shapes=")
    g.sizes_fixed = True
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    start = (total + odd) // 2
    return start, total - start


def _kernel(node: Node, w: Value) -> tuple[int, int]:
    """The size of a convolution's window, which its weights have."""
    if w.rank != 4:
        raise Unsupported(f"its window has {w.rank - 2} dimensions; only KH, KW are supported")
    kernel = (int(w.shape[2]), int(w.shape[3]))
    if tuple(node.get("kernel_shape", kernel)) != kernel:
        raise Unsupported(f"kernel_shape={node.get('kernel_shape')} but its weights are {list(w.shape)}")
    return kernel


@operator("Conv")
def conv(g: Graph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    kernel, dilation = _kernel(node, w), _pair(node, "dilations")
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    return g.add(
        "Convolution", x, w, b,
        stride=_pair(node, "strides"), pad=_pads(g, node, x, window), dilation=dilation, group=node.get("group", 1),
    )  # fmt: skip


@operator("ConvTranspose")
def conv_transpose(g: Graph, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    kernel, extra = _kernel(node, w), list(node.get("output_padding") or (0, 0))
    stride, dilation = _pair(node, "strides"), _pair(node, "dilations")
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    rule, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is None and rule in ("NOTSET", "VALID"):
        pads = _pads(g, node, x, window)
    else:
        begin, end = [0, 0], [0, 0]
        for i, size in enumerate(_plane(x)):
            if wanted is None:  # SAME: size * stride comes out, whatever the size
                total = window[i] - stride[i] + extra[i]
            elif isinstance(size, Dim):
                raise Unsupported(
                    f"output_shape={wanted} fits only one size, but {size} may change: use shapes="
                )
            else:
                g.sizes_fixed = True
                total = (size - 1) * stride[i] + extra[i] + window[i] - wanted[len(wanted) - 2 + i]
            extra[i] += max(0, -total)
            end[i] = max(0, total) // 2 if rule != "SAME_UPPER" else -(-max(0, total) // 2)
            begin[i] = max(0, total) - end[i]
        pads = (*begin, *end)
    return g.add(
        "Deconvolution", x, w, b,
        stride=stride, pad=pads, dilation=dilation, group=node.get("group", 1), output_pad=extra,
    )  # fmt: skip


@operator("MaxPool", "AveragePool")
def pool(g: Graph, node: Node, x: Value) -> Value:
    _plane(x)
    kernel = _pair(node, "kernel_shape")
    if _pair(node, "dilations") != (1, 1):
        raise Unsupported(f"dilations={node.get('dilations')}: pooling windows have no holes here")
    average = node.type == "AveragePool"
    return g.add(
        "Pooling", x,
        method="average" if average else "max", kernel=kernel, stride=_pair(node, "strides"),
        pad=_pads(g, node, x, kernel), ceil=bool(node.get("ceil_mode", 0)),
        count_pad=bool(node.get("count_include_pad", 0)) if average else True,
    )  # fmt: skip


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(g: Graph, node: Node, x: Value) -> Value:
    _plane(x)
    return g.add(
        "Pooling", x, method="max" if node.type == "GlobalMaxPool" else "average", global_pooling=True
    )


@operator("Pad")
def pad(
    g: Graph,
    node: Node,
    x: Value,
    pads: Value | None = None,
    value: Value | None = None,
    axes: Value | None = None,
) -> Value:
    """Pads any axes, two at a time: the layer pads the last two, so others are turned there and back."""
    given = axes_of(node, None if pads is None else g.numbers(pads, "its pads"), "pads") or []
    over = axes_of(node, None if axes is None else g.numbers(axes, "the axes")) or list(range(x.rank))
    if len(given) != 2 * len(over):
        raise Unsupported(f"pads={given} for {len(over)} axes")
    ends = {a % x.rank: (given[i], given[i + len(over)]) for i, a in enumerate(over)}
    ends = {a: e for a, e in ends.items() if e != (0, 0)}
    if any(n < 0 for e in ends.values() for n in e):
        raise Unsupported(f"pads={given}: cuts instead of padding")
    fill = node.get("value", 0.0) if value is None else float(g.numbers(value, "its value").item())
    mode = node.get("mode", "constant")
    if mode != "constant":
        if ends and not (mode == "edge" and _only_maxima(g, node.outputs[0], ends)):
            raise Unsupported(f"mode={mode!r}: only padding with a constant is supported")
        fill = LOWEST
    todo = sorted(ends)
    while todo:
        pair, todo = todo[:2], todo[2:]
        if len(pair) == 1:  # with a neighbour that gets nothing, H with W if it can be
            free = [a for a in range(x.rank) if a != pair[0]]
            if not free:
                raise Unsupported("pads a tensor of one dimension")
            pair = sorted((pair[0], free[-1]))
        order = [a for a in range(x.rank) if a not in pair] + pair
        (top, bottom), (left, right) = (ends.pop(a, (0, 0)) for a in pair)  # each is padded once
        padded = g.add("Pad", permuted(g, x, order), pads=(top, left, bottom, right), value=max(fill, LOWEST))
        x = permuted(g, padded, inverse(order))
    return x


def _only_maxima(g: Graph, name: str, ends: dict[int, tuple[int, int]]) -> bool:
    """True if only maxima are taken of a tensor, over windows that hold more than its padding.

    A window at the edge then holds the cell that was repeated anyway, so padding with something below every
    number gives the same maximum.
    """
    readers = g.consumers.get(name, [])
    return (
        bool(readers)
        and name not in g.outputs
        and all(
            reader.type == "MaxPool"
            and reader.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
            and not any(reader.get("pads") or ())
            and not reader.get("ceil_mode", 0)
            and len(reader.get("kernel_shape") or ()) == 2
            and all(axis >= 2 and max(e) < reader.get("kernel_shape")[axis - 2] for axis, e in ends.items())
            for reader in readers
        )
    )
