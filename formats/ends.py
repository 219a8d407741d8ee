"""The ends of a net as layers in its file: pixels in, answers out, so that `net(pixels)` needs no other code.

net = fbnet.with_image_input(net, mean=[104, 117, 123], order="BGR", shorter=256, fit="crop")
net = fbnet.with_answers(net, softmax=True, top=5)
scores, classes = net(pixels).values()
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from ..engine.errors import AttributeValueError, InputError, did_you_mean
from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.part import part
from ..engine.tensor import Dim, Spec

ORDERS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAY": (0,)}
FRAMES = ("NV12", "NV21", "I420")
FIRST_LAYERS = ("ImageColor", "ImageResize", "ImageToTensor", "Permute")
CHANNELS = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}


def with_image_input(
    net: Net,
    *,
    input: str | None = None,
    size: Sequence[int] | None = None,
    fit: str = "stretch",
    shorter: int | None = None,
    filter: str = "bilinear",
    fill: float = 0.0,
    at_corner: bool = False,
    order: str | None = None,
    mean: float | Sequence[float] = 0.0,
    scale: float | Sequence[float] = 1.0,
    pixels: str | None = None,
) -> Net:
    """The net with pixels, uint8 (N, H, W, C), of any size, in the place of an input: its first layers prepare them.

    input    which input becomes pixels; by default the only one
    size     [H, W] that the net reads; by default its input's. (): the image's own, as it is
    fit, shorter, filter, fill, at_corner  how an image comes to that size: see the layer ImageResize
    order    the net's channels: RGB, BGR or GRAY; by default GRAY if it has one channel, else RGB
    mean     one number, or one a channel in that order
    scale    likewise: y = (pixel - mean) * scale, with pixels from 0 to 255
    pixels   the colours of what comes in: RGB, BGR, RGBA, BGRA, GRAY; NV12, NV21 or I420 for a camera's frames, uint8
             (N, 3 H / 2, W). By default GRAY for a net that reads GRAY, else RGB

    These names, but for input, are those of metadata["image"]. Raises InputError, AttributeValueError, ShapeError.
    """
    name, spec = _image_input(net, input)
    last = spec.shape[1] not in (1, 3)  # some ONNX models have their channels last
    channels, *sides = (spec.shape[i] for i in ((3, 1, 2) if last else (1, 2, 3)))
    order = order or ("GRAY" if channels == 1 else "RGB")
    pixels = pixels or ("GRAY" if order == "GRAY" else "RGB")
    _check_colors(order, pixels)
    if len(ORDERS[order]) != channels:
        raise InputError(f"{net.name} reads {name} {spec}: {order} has the wrong number of channels")
    goal = _goal(net, name, spec, sides, size)
    taken = {*net.inputs, *net.constants, *(o for layer in net.layers for o in (*layer.outputs, layer.name))}
    new: list[Layer] = []

    def add(type: str, label: str, **attributes: Any) -> None:
        source = new[-1].outputs[0] if new else image
        called = _unused(f"{image}.{label}", taken)
        new.append(layers[type](source, name=called, outputs=[called], **attributes))

    image = _unused("image", taken)
    mixed = pixels not in ("RGB", "BGR", "GRAY") or (order == "GRAY" != pixels)
    if mixed:
        add("ImageColor", "color", source=pixels, target="GRAY" if order == "GRAY" else "RGB")
    if goal:
        way: dict[str, Any] = {"fit": fit, "filter": filter, "fill": fill, "at_corner": at_corner}
        add("ImageResize", "resize", size=goal, shorter=shorter or 0, **way)
    elif (fit, shorter) != ("stretch", None):
        raise InputError(f"{net.name}: fit {fit} needs a size: {name} is {spec}")
    picks = _picks(order, "GRAY" if order == "GRAY" else "RGB" if mixed else pixels)
    add("ImageToTensor", "tensor", order=picks, mean=_numbers(mean), scale=_numbers(scale))
    if last:
        add("Permute", "last", order=(0, 2, 3, 1))
    new[-1] = new[-1].replace(outputs=[name])
    inputs = {image if n == name else n: s for n, s in net.inputs.items()}
    inputs[image] = _pixel_spec(spec, goal or sides, pixels)
    metadata = dict(net.metadata) | {"image": {"pixels": pixels}}
    made = net.replace(layers=[*new, *net.layers], inputs=inputs, metadata=metadata, tests=(), plans={})
    made.specs()  # refuses what does not fit now, not when the net is used
    return made


def without_image_input(net: Net) -> Net:
    """The net without the first layers, which prepare images: for engines that have no such layers. Else the net."""
    name, end = reads_pixels(net), ""
    readers = [layer for layer in net.layers if name in layer.inputs]
    while len(readers) == 1 and readers[0].type in FIRST_LAYERS:
        prepared = readers[0].type == "ImageToTensor" or bool(end)
        if readers[0].type == "Permute" and (not prepared or readers[0].order != (0, 2, 3, 1)):
            break
        (name,) = readers[0].outputs
        end = name if prepared else ""
        readers = [layer for layer in net.layers if name in layer.inputs]
    others = [n for n in net.inputs if n != reads_pixels(net)]
    return part(net, [end, *others], net.outputs) if end else net


def with_answers(
    net: Net,
    *,
    output: str | None = None,
    softmax: bool = False,
    top: int = 0,
    argmax: bool = False,
    ctc: int | None = None,
    boxes: str = "",
    confidence: float = 0.25,
    overlap: float = 0.45,
    most: int = 100,
) -> Net:
    """The net with what its output says in the place of the output itself; axis 1 of it, (N, C, ...), has the classes.

    output   which output; by default the only one
    softmax  scores become probabilities, if the net's last layer has not made them so
    top      the so many best classes, best first: outputs `scores` and `classes`, (N, top, ...)
    argmax   the best class of each place, as a mask: output `classes`, (N, ...)
    ctc      the blank class, -1 for the last: a line of text or speech (N, T, C) is read greedily: outputs `classes`,
             -1 after the end, and `scores`
    boxes    output `boxes`, rows [..., label, score, left, top, right, bottom] in pixels of the image that came in:
             "rows" if the output has such rows already, in shares of the image's size (SSD's DetectionOutput, ncnn's
             YOLO heads); "yolov8" if it is (N, 4 + classes, P), [x, y, width, height] about a centre, then a score for
             each class: of those above `confidence` the `most` best, no two of which overlap by more than `overlap`

    Raises InputError, ShapeError.
    """
    name = output or (net.outputs[0] if len(net.outputs) == 1 else "")
    if name not in net.outputs:
        known = ", ".join(net.outputs)
        raise InputError(
            f"{net.name} has no output {name!r}.{did_you_mean(name, net.outputs)} It has: {known}"
        )
    if bool(top) + argmax + (ctc is not None) + bool(boxes) > 1:
        raise InputError(f"{net.name}: give one of top, argmax, ctc and boxes")
    spec = net.specs()[name]
    axis = 2 if ctc is not None else 1
    if spec.ndim <= axis:
        raise InputError(f"{net.name}: {name} is {spec}, in which no axis {axis} holds classes")
    chain = Chain(net, name)
    if softmax and chain.writer != "Softmax":
        chain.add("Softmax", axis=axis)
    flat = all(size == 1 and not isinstance(size, Dim) for size in spec.shape[2:])
    if (top or argmax) and spec.ndim > 2 and flat:
        chain.add("Flatten")
    if top:
        chain.add("TopK", outputs=["scores", "classes"], k=min(top, int(spec.shape[1])), axis=1)
    elif argmax:
        chain.add("ArgMax", outputs=["classes"], axis=1, keep_dims=False)
    elif ctc is not None:
        chain.add("CTCGreedy", outputs=["classes", "scores"], blank=ctc)
    elif boxes:
        limits = {"confidence_threshold": confidence, "nms_threshold": overlap, "most_boxes": most}
        _add_boxes(net, chain, boxes, spec, limits)
    return chain.net() if chain.layers else net


class Chain:
    """Layers put behind an output of a net, each of which reads the one before."""

    def __init__(self, net: Net, output: str):
        self.before, self.output, self.layers = net, output, list[Layer]()
        self.ends: Sequence[str] = [output]
        self.writer = next((layer.type for layer in net.layers if output in layer.outputs), "")
        self._taken = {*net.inputs, *net.constants}
        self._taken |= {name for layer in net.layers for name in (*layer.outputs, layer.name)}

    def add(
        self, type: str, *others: str, outputs: Sequence[str] = (), reads: str = "", **attributes: Any
    ) -> str:
        """Add a layer that reads `reads`, or else what the last one wrote, and `others`; its first output."""
        name = self._unused(f"{self.output}.{type.lower()}")
        self.ends = [self._unused(o) for o in outputs] or [name]
        source = reads or (self.layers[-1].outputs[0] if self.layers else self.output)
        self.layers.append(layers[type](source, *others, name=name, outputs=self.ends, **attributes))
        return self.ends[0]

    def _unused(self, name: str) -> str:
        name = _unused(name, self._taken)
        self._taken.add(name)
        return name

    def net(self) -> Net:
        """The net with these layers, whose last outputs stand where the output stood."""
        outputs = [o for n in self.before.outputs for o in (self.ends if n == self.output else [n])]
        made = self.before.replace(
            layers=[*self.before.layers, *self.layers], outputs=outputs, tests=(), plans={}
        )
        made.specs()
        return made


def _add_boxes(net: Net, chain: Chain, kind: str, spec: Spec, limits: Mapping[str, Any]) -> None:
    """Rows of boxes, found among an output's candidates if they are not there yet, in pixels of the image."""
    if kind not in ("rows", "yolov8"):
        raise InputError(f"{net.name}: boxes is {kind!r}: give 'rows' or 'yolov8'")
    if kind == "yolov8":
        if spec.ndim != 3 or spec.shape[1] < 5:
            raise InputError(f"{net.name}: {chain.output} is {spec}, but yolov8's is (N, 4 + classes, P)")
        parts = ["center", "size", "of"]
        chain.add("Slice", outputs=parts, axis=1, points=(2, 4))
        center, size, scores = chain.ends
        half = chain.add("Power", reads=size, scale=0.5)
        low = chain.add("Eltwise", half, reads=center, coeff=(1, -1))
        high = chain.add("Eltwise", half, reads=center)
        chain.add("TopK", reads=scores, outputs=["best", "label"], k=1, axis=1)
        score, label = chain.ends
        chain.add("Concat", score, low, high, reads=chain.add("Cast", reads=label, to="fp32"), axis=1)
        chain.add("Permute", order=(0, 2, 1))
        chain.add("SelectBoxes", **limits)
    image = reads_pixels(net)
    if image:
        resize = next((layer for layer in net.layers if layer.type == "ImageResize"), None)
        way = (
            {} if resize is None else {k: getattr(resize, k) for k in ("size", "fit", "shorter", "at_corner")}
        )
        chain.add("BoxesToImage", image, outputs=["boxes"], relative=kind == "rows", **way)


def checked(recipe: Mapping[str, Any], of: Callable[..., Net] = with_image_input) -> dict[str, Any]:
    """A net's metadata["image"], or options of a program, as arguments of `of`. Raises InputError for unknown names."""
    known = [n for n, p in signature(of).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for key in recipe:
        if key not in known:
            raise InputError(
                f"image preparation has no {key!r}.{did_you_mean(key, known)} It has: {', '.join(known)}"
            )
    return {key: value for key, value in recipe.items() if value is not None}


def reads_pixels(net: Net) -> str:
    """The name of the net's input that takes pixels as they are, '' if it has none."""
    return next((n for n, s in net.inputs.items() if s.dtype.name == "uint8" and s.ndim in (3, 4)), "")


def _image_input(net: Net, name: str | None) -> tuple[str, Spec]:
    """The input that images go into. Raises InputError."""
    if name is None:
        if len(net.inputs) != 1:
            raise InputError(f"{net.name} reads {', '.join(net.inputs)}: say which of them is an image")
        (name,) = net.inputs
    if name not in net.inputs:
        known = ", ".join(net.inputs)
        raise InputError(f"{net.name} has no input {name!r}.{did_you_mean(name, net.inputs)} It has: {known}")
    spec = net.inputs[name]
    if spec.dtype.name == "uint8":
        raise InputError(f"{net.name} reads {name} {spec}: it prepares images itself already")
    if spec.ndim != 4 or not {1, 3} & {*map(int, spec.shape[1::2])}:
        raise InputError(f"{net.name} reads {name} {spec}, which is no image: (N,3,H,W) or (N,1,H,W) is")
    return name, spec


def _goal(
    net: Net, name: str, spec: Spec, sides: Sequence[int], size: Sequence[int] | None
) -> tuple[int, ...]:
    """[H, W] to resize to; () for the image's own."""
    if size is None:  # what the net reads usually; a size that is only a name has the usual value 1
        return (
            () if any(int(side) == 1 and isinstance(side, Dim) for side in sides) else tuple(map(int, sides))
        )
    try:
        goal = tuple(int(s) for s in size)
    except (TypeError, ValueError):
        raise InputError(f"{net.name}: size is {size!r}; give [height, width]") from None
    for want, side in zip(goal, sides, strict=False):
        if want and not isinstance(side, Dim) and want != side:
            raise InputError(f"{net.name} reads {name} {spec}: size {list(goal)} does not fit")
    return goal


def _check_colors(order: str, pixels: str) -> None:
    if order not in ORDERS or pixels not in (*CHANNELS, *FRAMES):
        raise InputError(
            f"order is {order!r} and pixels {pixels!r}: a net's order is {', '.join(ORDERS)}, and pixels are "
            f"{', '.join((*CHANNELS, *FRAMES))}"
        )


def _picks(order: str, given: str) -> tuple[int, ...]:
    """Which of the given channels each of the net's is."""
    if given == "GRAY":
        return (0,) * len(ORDERS[order])
    picks = ORDERS[order]
    return tuple(2 - c for c in picks) if given == "BGR" else picks


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    """One number or several, as a tuple of floats. Raises AttributeValueError."""
    try:
        return tuple(float(v) for v in np.atleast_1d(np.asarray(value, np.float64)))
    except (TypeError, ValueError):
        raise AttributeValueError(f"{value!r} is no number, nor one for each channel") from None


def _pixel_spec(spec: Spec, sides: Sequence[int], pixels: str) -> Spec:
    """The input of pixels: any size, usually the net's own."""
    n = spec.shape[0]
    h, w = (max(1, int(side)) for side in sides)
    if pixels in FRAMES:
        return Spec((n, Dim("R", (h + 1) // 2 * 3), Dim("W", (w + 1) // 2 * 2)), "uint8")
    return Spec((n, Dim("H", h), Dim("W", w), CHANNELS[pixels]), "uint8")


def _unused(name: str, taken: Container[str]) -> str:
    """`name`, or with strokes behind it if that is taken."""
    while name in taken:
        name += "'"
    return name
