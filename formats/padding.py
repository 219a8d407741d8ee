"""Pad layers that disappear into the layer behind them: a convolution or a pooling that pads by itself."""

from __future__ import annotations

import numpy as np

from ..engine.layer import Layer
from ..engine.net import Net

LOWEST = float(np.finfo(np.float32).min)


def without_pads(net: Net) -> Net:
    """The same net, with every Pad joined with its readers if all of them can take it over."""
    readers: dict[str, list[Layer]] = {}
    for layer in net.layers:
        for i in layer.inputs:
            readers.setdefault(i, []).append(layer)
    gone: dict[str, Layer] = {}  # a Pad's output -> the Pad
    for layer in net.layers:
        if layer.type == "Pad" and layer.outputs[0] not in net.outputs and readers.get(layer.outputs[0]):
            after = readers[layer.outputs[0]]
            if all(r.inputs.count(layer.outputs[0]) == 1 and _joined(layer, r) for r in after):
                gone[layer.outputs[0]] = layer
    kept = [layer for layer in net.layers if not layer.outputs or layer.outputs[0] not in gone]
    return net.replace(
        layers=[_joined(gone[n.inputs[0]], n) if n.inputs and n.inputs[0] in gone else n for n in kept]
    )


def _joined(pad: Layer, reader: Layer) -> Layer | None:
    """`reader` of `pad`'s own input, padding more; None if that is not the same."""
    if reader.inputs[0] != pad.outputs[0] or reader.type not in ("Convolution", "Pooling"):
        return None
    if len(pad.pads) != 4 or pad.mode != "constant":  # it frames more than height and width, or with x itself
        return None
    pads = [a + b for a, b in zip(pad.pads, reader.pad, strict=True)]
    joined = {"inputs": (pad.inputs[0], *reader.inputs[1:]), "pad": pads}
    if reader.type == "Convolution":
        return reader.replace(**joined) if pad.value == 0 else None
    # a window that a pooling rounds up to may begin in a Pad's cells but not in its own padding
    if (
        reader.global_pooling
        or reader.ceil
        or any(p >= k for p, k in zip(pads, reader.kernel * 2, strict=True))
    ):
        return None
    if reader.method == "max":
        return reader.replace(**joined) if pad.value <= LOWEST else None
    counts_all = reader.count_pad or not any(reader.pad)  # a Pad's cells count
    return reader.replace(**joined, count_pad=True) if pad.value == 0 and counts_all else None
