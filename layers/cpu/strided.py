"""Layers that copy x in another order on the cpu: y goes on in its own order, x by a step for each axis of y.

Permute, StridedSlice, Tile, Expand, DepthToSpace and SpaceToDepth are each one table of sizes and steps: a step is 0
where x is repeated, and negative where it is gone through backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from ...engine.kernel import Call, kernel
from ...engine.tensor import Spec
from ..moving import DepthToSpace, Expand, SpaceToDepth, StridedSlice, Tile
from ..reshape import Permute

RANK = 6
Axes = Sequence[tuple[int, int]]  # of each axis of y: its size, and x's step along it


def strides(shape: Sequence[int]) -> list[int]:
    """How far an element along each axis of a shape is from the next."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def merged(axes: Axes) -> tuple[list[int], list[int]]:
    """Sizes and steps without axes of size 1, and with axes that stay neighbours as one."""
    sizes, steps = [1], [0]
    for size, step in axes:
        if size == 1:
            continue
        if sizes[-1] == 1 or steps[-1] == size * step:
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
    return sizes, steps


def strided(layer: type, axes_of: Callable[[Call], tuple[int, Axes]]) -> None:
    """Register `copy` for a layer. `axes_of` gives the place of y's first element in x, and y's axes."""

    def bind(call: Call) -> dict:
        first, axes = axes_of(call)
        sizes, steps = merged(axes)
        # the rank is filled up in the middle: threads share the first axis, the last is the inner loop
        fill = RANK - len(sizes)
        sizes, steps = [*sizes[:1], *[1] * fill, *sizes[1:]], [*steps[:1], *[0] * fill, *steps[1:]]
        numbers = {f"size{i}": size for i, size in enumerate(sizes)}
        numbers |= {f"step{i}": step for i, step in enumerate(steps)}
        return dict(x=call.flat("x"), y=call.flat("y"), first=first) | numbers

    def few_axes(call: Call) -> bool | str:
        rank = len(merged(axes_of(call)[1])[0])
        return rank <= RANK or f"{rank} axes move, more than {RANK}"

    kernel(layer, device="cpu", bind=bind, when=few_axes)(copy)


def copy(
    x, y, first, size0, size1, size2, size3, size4, size5, step0, step1, step2, step3, step4, step5, ith, nth
):
    """y in its own order, x wherever that is."""
    for a in range(size0 * ith // nth, size0 * (ith + 1) // nth):
        at = a * size1 * size2 * size3 * size4 * size5
        for b in range(size1):
            for c in range(size2):
                for d in range(size3):
                    for e in range(size4):
                        start = first + a * step0 + b * step1 + c * step2 + d * step3 + e * step4
                        for f in range(size5):
                            y[at + f] = x[start + f * step5]
                        at += size5


def permuted(call: Call) -> tuple[int, Axes]:
    shape = call.shape("x")
    steps = strides(shape)
    return 0, [(shape[axis], steps[axis]) for axis in call.layer.order]


def sliced(call: Call) -> tuple[int, Axes]:
    shape, first, axes = call.shape("x"), 0, []
    for size, step, cut in zip(shape, strides(shape), call.layer.cuts(Spec(shape)), strict=True):
        low, high, by = cut.indices(size)
        first += low * step
        axes.append((len(range(low, high, by)), by * step))
    return first if all(size for size, _ in axes) else 0, axes


def tiled(call: Call) -> tuple[int, Axes]:
    shape, axes = call.shape("x"), []
    for size, step, repeats in zip(shape, strides(shape), call.layer.repeats, strict=True):
        axes += [(repeats, 0), (size, step)]
    return 0, axes


def expanded(call: Call) -> tuple[int, Axes]:
    y = call.shape("y")
    x = (1,) * (len(y) - len(call.shape("x"))) + call.shape("x")
    pairs = zip(y, x, strides(x), strict=True)
    return 0, [(size, 0 if own == 1 else step) for size, own, step in pairs]


def unfolded(call: Call) -> tuple[int, Axes]:
    """y as (N, C, H, block, W, block)."""
    (n, c, h, w), b = call.shape("x"), call.layer.block
    own = c // (b * b)
    shape = (n, b, b, own, h, w) if call.layer.mode == "DCR" else (n, own, b, b, h, w)
    order = (0, 3, 4, 1, 5, 2) if call.layer.mode == "DCR" else (0, 1, 4, 2, 5, 3)
    return 0, [(shape[axis], strides(shape)[axis]) for axis in order]


def folded(call: Call) -> tuple[int, Axes]:
    """x as (N, C, H, block, W, block)."""
    (n, c, h, w), b = call.shape("x"), call.layer.block
    shape = (n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if call.layer.mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return 0, [(shape[axis], strides(shape)[axis]) for axis in order]


strided(Permute, permuted)
strided(StridedSlice, sliced)
strided(Tile, tiled)
strided(Expand, expanded)
strided(DepthToSpace, unfolded)
strided(SpaceToDepth, folded)
