"""The same numbers in other places, on OpenCL, whatever they are: Permute, ShuffleChannel, Slice, Concat, StridedSlice,
Tile, Expand, Crop, DepthToSpace, SpaceToDepth, Pad, nearest Resize; and PriorBox, whose boxes are known beforehand.

What each does, numpy says by a view of x; the kernel walks over it.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.dtype import dtypes
from ...engine.kernel import Call, Packed, Stage, kernel
from ..boxes import PriorBox
from ..concat import Concat, Slice
from ..layout import Reorder
from ..moving import DepthToSpace, Expand, SpaceToDepth, StridedSlice, Tile
from ..reshape import Pad, Permute, ShuffleChannel
from ..resize import Resize
from ..select import Crop
from .activation import COPIED
from .axes import pattern, start, walk
from .source import written_in


@written_in("copy.cl")
def copy(x, y, axes, rank, first, to, items):
    """Written in copy.cl."""


@written_in("fill.cl")
def fill(y, value, items):
    """Written in fill.cl."""


@written_in("gather.cl")
def gather(x, y, sizes, places, rank, items):
    """Written in gather.cl."""


def copied(
    call: Call, x: str, y: str, view: np.ndarray, into: np.ndarray, at: tuple[int, int], lies=None
) -> Stage:
    """The stage that copies what a view of x shows to where a view of y has it; `at` is where each begins."""
    bound = dict(x=call.flat(x), y=call.flat(y), first=at[0], to=at[1], items=prod(view.shape)) | walk(
        view, into
    )
    return Stage(bound, (), copy, lies)


def of_what_c_knows(name: str):
    def predicate(call: Call) -> bool | str:
        kind = call.specs[name].dtype.name
        return kind in COPIED or f"{kind} numbers"

    return predicate


def shuffled(call: Call, x: np.ndarray) -> np.ndarray:
    n, _, *rest = x.shape
    return x.reshape(n, call.layer.group, -1, *rest).swapaxes(1, 2) if x.size else x


def repeated(call: Call, x: np.ndarray) -> np.ndarray:
    pairs = [size for s in x.shape for size in (1, s)]
    whole = [size for s, r in zip(x.shape, call.layer.repeats, strict=True) for size in (r, s)]
    return np.broadcast_to(x.reshape(pairs), whole)


def spread_out(call: Call, x: np.ndarray) -> np.ndarray:
    (n, c, h, w), b = x.shape, call.layer.block
    if call.layer.mode == "DCR":
        return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)


def stacked(call: Call, x: np.ndarray) -> np.ndarray:
    (n, c, h, w), b = x.shape, call.layer.block
    y = x.reshape(n, c, h // b, b, w // b, b)
    return y.transpose(0, 3, 5, 1, 2, 4) if call.layer.mode == "DCR" else y.transpose(0, 1, 3, 5, 2, 4)


# layer: what view of x has y's numbers, in y's order
VIEWS = {
    Reorder: lambda call, x: x,
    Permute: lambda call, x: x.transpose(call.layer.order),
    ShuffleChannel: shuffled,
    StridedSlice: lambda call, x: call.layer.reference(x),
    Expand: lambda call, x: call.layer.reference(x),
    Crop: lambda call, x: call.layer.reference(x, pattern(call.shape("like"))),
    Tile: repeated,
    DepthToSpace: spread_out,
    SpaceToDepth: stacked,
}


def bind_view(call: Call) -> Stage:
    x = pattern(call.shape("x"))
    view = VIEWS[type(call.layer)](call, x)
    return copied(call, "x", "y", view, pattern(view.shape), (start(view, x) if view.size else 0, 0))


for _layer in VIEWS:
    kernel(_layer, device="opencl", bind=bind_view, when=of_what_c_knows("x"))(copy)


def bind_priors(call: Call) -> Stage:
    """Boxes that depend on shapes alone are known when the plan is made."""
    boxes = call.layer.reference(*(np.zeros(call.shape(name), np.float32) for name in ("x", "image")))
    view = pattern((boxes.size,))
    return Stage(
        copied(call, "y", "y", view, view, (0, 0)).params | dict(x=Packed(boxes.reshape(-1))), (), copy
    )


kernel(PriorBox, device="opencl", bind=bind_priors)(copy)


def _parts(call: Call, names: list[str], whole: str) -> list[tuple[str, np.ndarray, int, bool]]:
    """(name, its view of the whole, where that begins, whether it is one piece) of each part, in a row."""
    array, at, found = pattern(call.shape(whole)), 0, []
    axis = call.specs[whole].axis(call.layer.axis)
    for name in names:
        size = call.shape(name)[axis]
        view = array[(slice(None),) * axis + (slice(at, at + size),)]
        found.append((name, view, at * prod(array.shape[axis + 1 :]), prod(array.shape[:axis]) == 1))
        at += size
    return found


def bind_concat(call: Call) -> list[Stage]:
    parts = _parts(call, [f"xs{i}" for i in range(len(call.layer.inputs))], "y")
    return [
        copied(call, name, "y", pattern(view.shape), view, (0, at), (name, "y", at) if piece else None)
        for name, view, at, piece in parts
    ]


def bind_slice(call: Call) -> list[Stage]:
    parts = _parts(call, [f"y{i}" for i in range(len(call.layer.outputs))], "x")
    return [
        copied(call, "x", name, view, pattern(view.shape), (at, 0), (name, "x", at) if piece else None)
        for name, view, at, piece in parts
    ]


kernel(Concat, device="opencl", bind=bind_concat, when=of_what_c_knows("xs0"))(copy)
kernel(Slice, device="opencl", bind=bind_slice, when=of_what_c_knows("x"))(copy)


def by_places(call: Call, places: list[np.ndarray]) -> Stage:
    """The stage that fetches each element of y from where a table of each axis says that it lies along x's."""
    shape = call.shape("x")
    tables = [np.asarray(p) * prod(shape[axis + 1 :]) for axis, p in enumerate(places)][::-1]
    sizes, flat = np.array([len(t) for t in tables], np.int32), np.concatenate(tables).astype(np.int32)
    bound = dict(
        x=call.flat("x"), y=call.flat("y"), sizes=Packed(sizes), places=Packed(flat), rank=len(sizes)
    )
    return Stage(bound | dict(items=prod(call.shape("y"))), (), gather)


def bind_pad(call: Call) -> Stage | list[Stage]:
    shape, layer = call.shape("x"), call.layer
    frame = layer.frame(len(shape))
    if layer.mode != "constant":
        return by_places(
            call, [layer.places(s, *f) if any(f) else np.arange(s) for s, f in zip(shape, frame, strict=True)]
        )
    y, x = pattern(call.shape("y")), pattern(shape)
    inside = y[tuple(slice(before, before + size) for (before, _), size in zip(frame, shape, strict=True))]
    ground = dict(y=call.flat("y"), value=float(layer.value), items=y.size)
    to = start(inside, y) if inside.size else 0
    return [Stage(ground, (), fill), copied(call, "x", "y", x, inside, (0, to))]


def pads(call: Call) -> bool | str:
    kind = dtypes[call.specs["x"].dtype.name]
    few = kind.itemsize <= 2 or kind.name == "fp32" or call.layer.mode != "constant"
    return of_what_c_knows("x")(call) if few else f"a float does not hold every {kind}"


def bind_nearest(call: Call) -> Stage:
    shape = call.shape("x")
    taps = [call.layer.taps(shape[2 + axis], axis)[0][:, 0] for axis in (0, 1)]
    return by_places(call, [np.arange(shape[0]), np.arange(shape[1]), *taps])


def nearest(call: Call) -> bool | str:
    if call.layer.method != "nearest" or call.layer.region:
        return f"its method is {call.layer.method!r}"
    return of_what_c_knows("x")(call)


kernel(Pad, device="opencl", bind=bind_pad, when=pads)(copy)
kernel(Resize, device="opencl", bind=bind_nearest, when=nearest, score=2.0)(gather)
