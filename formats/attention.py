"""Attention recovered: softmax(scale * q @ k.T + mask) @ v, as exporters write it, becomes one layer.

They multiply q by the scale, or k, or both by its root, or the scores; they turn k by a transpose that may cut its
heads at the same time; and a mask is added to the scores behind the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine.layer import Layer
from .pattern import Found, View, named

HEADS = (0, 2, 1, 3)  # (N, L, heads, D) <-> (N, heads, L, D)


def attention(v: View, last: Layer) -> Found | None:
    """Products around a softmax along the last axis."""
    if last.type != "MatMul" or last.transpose_b:
        return None
    shares, guard = _guarded(v, last.inputs[0])
    if shares is None or shares.axis not in (-1, v.specs[shares.inputs[0]].ndim - 1):
        return None
    found = _scores(v, shares.inputs[0])
    if found is None or (guard and not _counts_something(v, found.mask)):
        return None
    q, k = (_factor(v, name) for name in found.product.inputs)
    order = k.order
    if not found.product.transpose_b:
        if order is None:
            return None
        order = (*order[:-2], order[-1], order[-2])
    before: list[Layer] = []
    inputs = [q.source, k.source, last.inputs[1], *([found.mask] if found.mask else [])]
    for i, turn in enumerate((q.order, order)):
        if turn is not None and turn != tuple(range(len(turn))):
            before.append(named(last, "Permute", inputs[i], part="qk"[i], order=turn))
            inputs[i] = before[-1].name
    one = named(last, "Attention", *inputs, scale=q.scale * k.scale * found.scale)
    return [*before, one], [*q.gone, *k.gone, found.product, *found.gone, shares, *guard]


def _guarded(v: View, tensor: str) -> tuple[Layer | None, list[Layer]]:
    """The Softmax that writes a tensor; also one whose NaNs, of rows in which nothing counts, become 0 behind it."""
    where = v.made(tensor, "Where")
    if where is None:
        return v.made(tensor, "Softmax"), []
    isnan, zero, shares = where.inputs
    test, number = v.made(isnan, "Unary", operation="isnan"), v.number(zero)
    if test is None or number is None or number.any() or test.inputs[0] != shares:
        return None, []
    return v.made(shares, "Softmax"), [test, where]


def _counts_something(v: View, mask: str) -> bool:
    """Whether a key counts in every row, so that no softmax is 0 / 0."""
    numbers = v.number(mask) if mask else np.zeros((1, 1))
    return numbers is not None and bool(np.isfinite(numbers).any(-1).all())


@dataclass(frozen=True)
class _Factor:
    """A factor of the scores: scale * source, its axes in `order`; and the layers that say so."""

    source: str
    scale: float
    order: tuple[int, ...] | None
    gone: list[Layer]


def _factor(v: View, tensor: str) -> _Factor:
    """Scaled in front of its transpose or behind it; but what others read, too, stays as it is."""
    x, scale, gone = _alone(v, tensor)
    turn = v.made(x, "Permute")
    if turn is None:
        return _Factor(x, scale, None, gone)
    inner, more, powers = _alone(v, turn.inputs[0])
    only = len(v.readers[x]) == 1
    return _Factor(
        inner if only else turn.inputs[0], scale * (more if only else 1), turn.order,
        [*gone, *([turn, *powers] if only else [])],
    )  # fmt: skip


def _alone(v: View, tensor: str) -> tuple[str, float, list[Layer]]:
    """(x, scale, the Power) of a tensor that is scale * x, if it has one reader; else itself."""
    x, scale, shift, gone = v.affine(tensor)
    power = not gone or gone[0].power == 1
    return (x, scale, gone) if power and not shift and len(v.readers[tensor]) == 1 else (tensor, 1.0, [])


@dataclass(frozen=True)
class _Scores:
    """What goes into the softmax: scale * product + mask, and the layers around the product."""

    product: Layer
    scale: float
    mask: str
    gone: list[Layer]


def _scores(v: View, tensor: str) -> _Scores | None:
    product, scale, gone = _product(v, tensor)
    if product is not None:
        return _Scores(product, scale, "", gone)
    add = v.writers.get(tensor)
    if add is None or len(add.inputs) != 2:
        return None
    rank = v.specs[tensor].ndim
    plain = (add.type == "Eltwise" and add.operation == "sum" and all(c == 1 for c in add.coeff)) or (
        add.type == "Binary" and add.operation == "add"
    )
    behind = add.type == "Bias" and add.axis % rank + v.specs[add.inputs[1]].ndim == rank
    for scores, mask in [add.inputs] if behind else [add.inputs, add.inputs[::-1]] if plain else []:
        product, scale, gone = _product(v, scores)
        if product is not None and v.specs[scores].ndim == rank:
            return _Scores(product, scale, mask, [*gone, add])
    return None


def _product(v: View, tensor: str) -> tuple[Layer | None, float, list[Layer]]:
    """(the MatMul, scale, the Power) of a tensor that is scale * a product."""
    x, scale, shift, gone = v.affine(tensor)
    return (None, 1.0, []) if shift else (v.made(x, "MatMul"), scale, gone)


def heads(v: View, last: Layer) -> Found | None:
    """Heads cut and brought to the front, attended to, brought back and joined: the layer does that itself."""
    back = v.made(last.inputs[0], "Permute", order=HEADS) if last.type in ("Flatten", "Reshape") else None
    inner = v.made(back.inputs[0], "Attention", heads=0) if back else None
    if back is None or inner is None or v.specs[last.outputs[0]].ndim != 3:
        return None
    gone, sources, count = [inner, back], [], set()
    for name in inner.inputs[:3]:
        front = v.made(name, "Permute", order=HEADS)
        cut = v.made(front.inputs[0], "Reshape") if front else None
        if front is None or cut is None or v.specs[cut.inputs[0]].ndim != 3:
            return None
        whole, parts = v.specs[cut.inputs[0]].shape, v.specs[cut.outputs[0]].shape
        if list(map(str, whole[:2])) != list(map(str, parts[:2])) or len(v.readers[name]) > 1:
            return None
        gone += [front, cut]
        sources.append(cut.inputs[0])
        count.add(int(parts[2]))
    if len(count) > 1 or [str(s) for s in v.specs[last.outputs[0]].shape[:2]] != [
        str(s) for s in v.specs[back.outputs[0]].shape[:2]
    ]:
        return None
    (number,) = count
    return [named(last, "Attention", *sources, *inner.inputs[3:], scale=inner.scale, heads=number)], gone
