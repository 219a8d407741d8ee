"""ImageResize and ImageToTensor on OpenCL: pixels become what a net reads, on the device."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, kernel
from ..image import BITS, ImageResize, ImageToTensor, Window
from .moving import fill
from .source import written_in


@written_in("pixels.cl")
def pixels(x, y, order, mean, scale, channels, area, depth, items):
    """Written in pixels.cl."""


@written_in("stretch.cl")
def stretch(
    x, y, rows, row_shares, columns, column_shares, h, w, depth, oh, ow, top, bottom, left, right, fill, items
):  # fmt: skip
    """Written in stretch.cl."""


@written_in("smooth.cl")
def smooth(x, y, firsts, counts, weights, side, inner, places, taps, bits, to, y_outer, items):
    """Written in smooth.cl."""


def bind_pixels(call: Call) -> dict:
    layer, (_, h, w, depth) = call.layer, call.shape("x")
    order = layer.channels(call.specs["x"])
    numbers = {name: np.resize(np.float32(getattr(layer, name)), len(order)) for name in ("mean", "scale")}
    return dict(
        x=call.flat("x"), y=call.flat("y"), order=Packed(np.array(order, np.int32)), channels=len(order), area=h * w,
        depth=depth, items=prod(call.shape("y")), **{name: Packed(array) for name, array in numbers.items()},
    )  # fmt: skip


def bind_stretch(call: Call) -> dict:
    layer, (_, h, w, depth), (_, oh, ow, _) = call.layer, call.shape("x"), call.shape("y")
    bound = dict(x=call.flat("x"), y=call.flat("y"), h=h, w=w, depth=depth, oh=oh, ow=ow, fill=layer.fill)
    windows = zip(("row", "column"), (h, w), layer.windows(h, w), strict=True)
    for name, side, window in windows:
        low, high, share = layer.pairs(side, window)
        bound[f"{name}s"] = Packed(np.stack([low, high], -1).astype(np.int32).reshape(-1))
        bound[f"{name}_shares"] = Packed(share)
        ends = ("top", "bottom") if name == "row" else ("left", "right")
        bound |= dict(zip(ends, window.inside, strict=True))
    return bound | dict(items=prod(call.shape("y")))


def along(layer: ImageResize, side: int, window: Window) -> dict:
    """The tables of smooth.cl for one axis."""
    first, count, weights = layer.weights(side, window)
    tables = dict(firsts=first, counts=count, weights=weights.reshape(-1))
    packed = {name: Packed(np.ascontiguousarray(array, np.int32)) for name, array in tables.items()}
    return packed | dict(side=side, places=len(first), taps=weights.shape[1], bits=BITS)


def bind_smooth(call: Call) -> list[Stage]:
    """First across, then down, and what is beyond the image is filled before."""
    layer, (n, h, w, depth), (_, oh, ow, _) = call.layer, call.shape("x"), call.shape("y")
    rows, columns = layer.windows(h, w)
    top, bottom = rows.inside
    inner = ow * depth
    room = Scratch((n * h * inner,), "uint8")
    across = along(layer, w, columns) | dict(x=call.flat("x"), y=room, inner=depth, to=0, y_outer=inner)
    across |= dict(items=n * h * inner)
    stages = [Stage(across)]
    if bottom - top != oh:
        stages.append(Stage(dict(y=call.flat("y"), value=layer.fill, items=n * oh * ow * depth), (), fill))
    down = along(layer, h, rows) | dict(x=room, y=call.flat("y"), inner=inner)
    down |= dict(to=top * inner, y_outer=oh * inner, items=n * (bottom - top) * inner)
    return [*stages, Stage(down)]


def smooth_serves(call: Call) -> bool | str:
    layer, (_, h, w, _) = call.layer, call.shape("x")
    if not layer.smooth:
        return f"its filter is {layer.filter!r}"
    window = layer.windows(h, w)[1]
    whole = window.inside == (0, window.count)
    return whole or "it leaves a margin left or right"


kernel(ImageToTensor, device="opencl", bind=bind_pixels)(pixels)
kernel(
    ImageResize, device="opencl", bind=bind_stretch,
    when=lambda call: not call.layer.smooth or f"its filter is {call.layer.filter!r}",
)(stretch)  # fmt: skip
kernel(ImageResize, device="opencl", bind=bind_smooth, when=smooth_serves)(smooth)
