"""Operators that give an image another frame or size: Pad, Resize, and sampling at computed places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..shape import inverse, permuted, reshaped
from ..value import Node, Unsupported, Value, dtype_name, is_floating, same_size
from .fold import axes_of
from .graph import operator

LOWEST = float(np.finfo(np.float32).min)


@operator("Pad")
def pad(
    g: Graph,
    node: Node,
    x: Value,
    pads: Value | None = None,
    value: Value | None = None,
    axes: Value | None = None,
) -> Value:
    """A Pad layer from the first axis that is padded on; negative pads cut."""
    given = axes_of(node, None if pads is None else g.numbers(pads, "its pads"), "pads")
    given = node.get("paddings", []) if given is None else given
    over = axes_of(node, None if axes is None else g.numbers(axes, "the axes")) or list(range(x.rank))
    if len(given) != 2 * len(over):
        raise Unsupported(f"pads={given} for {len(over)} axes")
    ends = {a % x.rank: (given[i], given[i + len(over)]) for i, a in enumerate(over)}
    fill = node.get("value", 0.0) if value is None else float(g.numbers(value, "its value").reshape(-1)[0])
    mode = node.get("mode", "constant")
    if mode == "edge" and _only_maxima(g, node.outputs[0], {a: e for a, e in ends.items() if any(e)}):
        mode, fill = "constant", LOWEST
    x = _cut(g, x, ends)
    framed = sorted(a for a, e in ends.items() if max(e) > 0)
    if not framed:
        return x
    order = _to_the_back(x.rank, framed)
    moved = [ends.get(a, (0, 0)) for a in order[min(order.index(a) for a in framed) :]]
    if len(moved) == 1 and x.rank > 1:  # height and width are what other layers can take over
        moved = [(0, 0), *moved]
    before, after = ([max(0, e[side]) for e in moved] for side in (0, 1))
    how = {"pads": [*before, *after], "value": max(fill, LOWEST) if is_floating(x) else fill, "mode": mode}
    return permuted(g, g.add("Pad", permuted(g, x, order), **how), inverse(order))


def _to_the_back(rank: int, framed: Sequence[int]) -> list[int]:
    """The order of axes in which those that are framed are the last. Two of an image are its height and width then,
    which convolutions pad by themselves; otherwise three may stay where they are."""
    if rank - framed[0] <= 2 or (rank - framed[0] == 3 and len(framed) != 2):
        return list(range(rank))
    return [a for a in range(rank) if a not in framed] + list(framed)


def _cut(g: Graph, x: Value, ends: dict[int, tuple[int, int]]) -> Value:
    """x without what negative pads take off."""
    cut = {a: e for a, e in ends.items() if min(e) < 0}
    if not cut:
        return x
    starts = [max(0, -before) for before, _ in cut.values()]
    stops = [min(0, after) or 2**31 - 1 for _, after in cut.values()]
    return g.add("StridedSlice", x, starts=starts, ends=stops, axes=list(cut))


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


@operator("CenterCropPad")
def center_crop_pad(g: Graph, node: Node, x: Value, shape: Value) -> Value:
    sizes = [int(s) for s in g.numbers(shape, "its shape").reshape(-1)]
    ends = {}
    for axis, wanted in zip(node.get("axes") or range(x.rank), sizes, strict=True):
        size = x.shape[axis]
        if isinstance(size, Dim):
            raise Unsupported(f"crops or pads axis {axis}, whose size {size} may change")
        g.sizes_fixed = True
        more = wanted - int(size)
        first = more // 2 if more >= 0 else -(-more // 2)
        ends[axis % x.rank] = (first, more - first)
    x = _cut(g, x, ends)
    pads = [[max(0, ends.get(a, (0, 0))[side]) for a in range(x.rank)] for side in (0, 1)]
    return g.add("Pad", x, pads=[*pads[0], *pads[1]]) if any(map(any, pads)) else x


# -- Resize ----------------------------------------------------------------------------------------------------


@operator("Upsample")
def upsample(g: Graph, node: Node, x: Value, scales: Value | None = None) -> Value:
    """What Resize was before: nearest or linear, 'asymmetric'."""
    given = node.get("scales") if scales is None else g.numbers(scales, "its scales").tolist()
    if given is None:
        given = [1.0, 1.0, node.get("height_scale", 1.0), node.get("width_scale", 1.0)]
    how: dict[str, Any] = {"method": METHODS[node.get("mode", "nearest")], "coordinates": "asymmetric"}
    return _resized(g, x, {a: float(s) for a, s in enumerate(given)}, {}, how, {})


METHODS = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}


@operator("Resize")
def resize(g: Graph, node: Node, x: Value, *inputs: Value | None) -> Value:
    roi, scales, sizes, *_ = [*inputs, None, None, None] if node.opset >= 11 else [None, *inputs, None, None]
    over = [a % x.rank for a in node.get("axes") or range(x.rank)]
    mode = METHODS.get(node.get("mode", "nearest"))
    if mode is None:
        raise Unsupported(f"mode={node.get('mode')!r}")
    rule = node.get("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    how = {
        "method": mode,
        "coordinates": rule,
        "antialias": bool(node.get("antialias", 0)) and mode != "nearest",
    }
    if mode == "nearest":
        how["rounding"] = node.get("nearest_mode", "round_prefer_floor") if node.opset >= 11 else "floor"
    else:
        how["exclude_outside"] = bool(node.get("exclude_outside", 0))
        how["cubic"] = node.get("cubic_coeff_a", -0.75)
    regions: dict[int, tuple[float, float]] = {}
    if rule == "tf_crop_and_resize":
        if roi is None:
            raise Unsupported("needs its region, as a constant")
        ends = g.numbers(roi, "its region").tolist()
        regions = {a: (ends[i], ends[i + len(over)]) for i, a in enumerate(over)}
        how["outside"] = node.get("extrapolation_value", 0.0)
    by_scale, by_size = _targets(g, node, x, over, scales, sizes)
    return _resized(g, x, by_scale, by_size, how, regions)


def _targets(
    g: Graph, node: Node, x: Value, over: Sequence[int], scales: Value | None, sizes: Value | None
) -> tuple[dict[int, float], dict[int, int]]:
    """What each axis is scaled by, or what size it gets. A size that grows with x's own is a scale."""
    if scales is not None and not (scales.array is not None and scales.array.size == 0):
        given = g.numbers(scales, "its scales").tolist()
        return dict(zip(over, given, strict=True)), {}
    if sizes is None or sizes.array is None:
        raise Unsupported("needs its scales or its sizes as a constant")
    wanted = dict(zip(over, sizes.array.reshape(-1).tolist(), strict=True))
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        g.sizes_fixed = True
        ratios = [int(s) / int(x.shape[a]) for a, s in wanted.items()]
        scale = min(ratios) if policy == "not_larger" else max(ratios)
        return {}, {a: int(scale * int(x.shape[a]) + 0.5) for a in wanted}
    by_scale, by_size = {}, {}
    for axis, size in wanted.items():
        own = x.shape[axis]
        times = int(size) // max(1, int(own))
        if isinstance(size, Dim) and times and same_size(own * times, size):
            by_scale[axis] = float(times)
        else:
            numbers = np.array([size, None], object)[:-1]
            by_size[axis] = int(g.numbers(Value.of("sizes", numbers), "its sizes")[0])
    return by_scale, by_size


def _resized(
    g: Graph,
    x: Value,
    scales: dict[int, float],
    sizes: dict[int, int],
    how: dict[str, Any],
    regions: dict[int, tuple[float, float]],
) -> Value:
    """Resize layers: of the last two axes of an image at once, of others one after the other, as each is by itself."""
    if not is_floating(x):  # whole numbers: exact in fp32 up to 2**24
        y = _resized(g, g.add("Cast", x, to="fp32"), scales, sizes, how, regions)
        return g.add("Cast", y, to=dtype_name(x))
    whole = {a for a, ends in regions.items() if ends == (0, 1)}
    todo = {a for a, s in scales.items() if s != 1 or (a in regions and a not in whole)}
    todo |= {
        a
        for a, s in sizes.items()
        if isinstance(x.shape[a], Dim) or s != x.shape[a] or a in set(regions) - whole
    }
    if x.rank >= 3 and todo and todo <= {x.rank - 2, x.rank - 1} and _one_kind(todo, scales, sizes):
        return _plane(g, x, [x.rank - 2, x.rank - 1], todo, scales, sizes, how, regions)
    for axis in sorted(todo):
        x = _plane(g, x, [axis], {axis}, scales, sizes, how, regions)
    return x


def _one_kind(todo: set[int], scales: dict[int, float], sizes: dict[int, int]) -> bool:
    """Whether all of these axes are scaled, or all of them have a size."""
    return todo <= set(scales) or todo <= set(sizes)


def _plane(
    g: Graph,
    x: Value,
    axes: Sequence[int],
    todo: set[int],
    scales: dict[int, float],
    sizes: dict[int, int],
    how: dict[str, Any],
    regions: dict[int, tuple[float, float]],
) -> Value:
    """A Resize of these axes: the last two, or one, which is an image's height then and what follows it the width."""
    shape, how = list(x.shape), dict(how)
    if len(axes) == 1:
        (axis,) = axes
        image = reshaped(g, x, [1, _product(shape[:axis]), shape[axis], _product(shape[axis + 1 :])])
    else:
        image = x if x.rank == 4 else reshaped(g, x, [shape[0], _product(shape[1:-2]), *shape[-2:]])
    by_scale = todo <= set(scales)
    targets: list[float] = [scales[a] if by_scale else sizes[a] for a in axes if a in todo]
    for i, a in enumerate(axes):
        if a not in todo:
            targets.insert(i, 1.0 if by_scale else int(shape[a]))
    if len(axes) == 1:
        targets.append(1.0 if by_scale else int(image.shape[3]))
        if not by_scale and isinstance(image.shape[3], Dim):
            raise Unsupported(f"resizes axis {axes[0]} to a size, and what follows it may change its own")
    if regions:
        ends = [regions.get(a, (0.0, 1.0)) for a in axes] + [(0.0, 1.0)] * (2 - len(axes))
        how["region"] = [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]
    if how["method"] == "nearest" and (how["coordinates"], how.get("rounding")) == ("asymmetric", "floor"):
        how = {"method": "nearest"}
    how["scale" if by_scale else "size"] = targets
    y = g.add("Resize", image, **how)
    if len(axes) == 1:
        return reshaped(g, y, [*shape[: axes[0]], y.shape[2], *shape[axes[0] + 1 :]])
    return y if x.rank == 4 else reshaped(g, y, [*shape[:-2], *y.shape[2:]])


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result = size if not isinstance(result, Dim) and result == 1 else result * size
    return result


@operator("GridSample")
def grid_sample(g: Graph, node: Node, x: Value, grid: Value) -> Value:
    method = {"bilinear": "linear", "bicubic": "cubic"}.get(
        node.get("mode", "linear"), node.get("mode", "linear")
    )
    padding, corners = node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0))
    return g.add("GridSample", x, grid, method=method, padding=padding, corners=corners)
