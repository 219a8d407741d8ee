"""moves: layers that only bring numbers to other places become transfers, through the buffer, of runs with strides.

Where each number comes from, the layer's reference says, given the places themselves: 0, 1, 2 and so on. If along every
axis of the result these go up by a fixed step, boxes of runs do it; a step of 0 reads a number again, as to make an
image larger. A transfer has three axes besides its run: with more, the shortest ones are several transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ...engine.layer import Layer
from .works import Constants, Move, Ref, Refused, Specs, work

Shape = Sequence[int]
Axis = tuple[int, int, int]  # how many, and from one to the next the step in x and in y
AXES = 3  # of a transfer
MOST = 16  # transfers of a layer


def _shuffled(layer: Layer, x: Shape, y: Shape) -> Shape:
    return (1, y[1] // layer.group, layer.group, *y[2:])


def _spread(layer: Layer, x: Shape, y: Shape) -> Shape:
    return (1, y[1], x[2], layer.block, x[3], layer.block)


def _stacked(layer: Layer, x: Shape, y: Shape) -> Shape:
    return (1, layer.block, layer.block, x[1], *y[2:])


def _enlarged(layer: Layer, x: Shape, y: Shape) -> Shape:
    if layer.method != "nearest" or any(new % old for new, old in zip(y[2:], x[2:], strict=True)):
        raise Refused("it resizes otherwise than by whole multiples, to the nearest")
    return (*y[:2], x[2], y[2] // x[2], x[3], y[3] // x[3])


FINER: dict[str, Callable[[Layer, Shape, Shape], Shape]] = {
    "Permute": lambda layer, x, y: y,
    "StridedSlice": lambda layer, x, y: y,
    "ShuffleChannel": _shuffled,
    "DepthToSpace": _spread,
    "SpaceToDepth": _stacked,
    "Resize": _enlarged,
}
"""The result's shape in axes along each of which the places go up by a fixed step."""


@work(*FINER)
def _moved(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Move]:
    x, y = (tuple(map(int, specs[name].shape)) for name in (layer.inputs[0], layer.outputs[0]))
    if layer.type == "Permute" and layer.order[0] != 0:
        raise Refused("it moves the batch's axis")
    finer = FINER[layer.type](layer, x, y)
    places = np.asarray(layer.reference(np.arange(prod(x)).reshape(x))).reshape(finer)
    start, axes = _steps(places)
    run = 1
    while axes and axes[-1][1:] == (run, run):
        run *= axes.pop()[0]
    loops = sorted(axes)[: max(len(axes) - AXES, 0)]  # the shortest
    if prod(n for n, *_ in loops) > MOST:
        raise Refused(f"it moves {len(axes)} axes; a transfer has {AXES}")
    kept = tuple(axis for axis in axes if axis not in loops)
    return [
        Move(
            layer.name,
            Ref(
                layer.inputs[0], start + sum(at * step for at, (_, step, _) in zip(place, loops, strict=True))
            ),
            Ref(layer.outputs[0], sum(at * step for at, (_, _, step) in zip(place, loops, strict=True))),
            run,
            kept,
        )
        for place in np.ndindex(*(n for n, *_ in loops))
    ]


def _steps(places: np.ndarray) -> tuple[int, list[Axis]]:
    """The first place, and the axes, joined where x and y allow it. Raises Refused if a step changes or goes back."""
    start = int(places.flat[0])
    axes: list[Axis] = []
    expected = np.full((1,) * places.ndim, start)
    for axis, n in enumerate(places.shape):
        if n == 1:
            continue
        step = int(places[(0,) * axis + (1,) + (0,) * (places.ndim - axis - 1)]) - start
        expected = expected + np.expand_dims(
            np.arange(n) * step, [a for a in range(places.ndim) if a != axis]
        )
        own = n, step, prod(places.shape[axis + 1 :])
        if axes and axes[-1][1:] == (n * step, n * own[2]):
            own = axes.pop()[0] * n, *own[1:]
        axes.append(own)
    if not np.array_equal(expected, places) or any(step < 0 for _, step, _ in axes):
        raise Refused("it moves numbers in no fixed steps forward")
    return start, axes
