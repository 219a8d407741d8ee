"""The walk over a .cfg: section by section, a table of small functions says what each type is in layers.

    @section("dropout")
    def dropout(g, s):
        return g.x

A function gets the net so far and its section; it adds layers and returns the tensor that the section computes. What
it cannot express it refuses by ConversionError; the walk goes on, so that a conversion tells everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.errors import ConversionError, FbnetError, FileError, did_you_mean
from ...engine.layer import Layer, layers
from ...engine.tensor import Spec, Tensor
from .cfg import Section
from .weights import Weights

MOST_ELEMENTS = 2**31 - 1  # of one tensor
EPSILON = 1e-6  # darknet adds it to the deviation, not to the variance

ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaky": ("ReLU", {"negative_slope": 0.1}),
    "relu": ("ReLU", {}),
    "relu6": ("Clip", {"min": 0.0, "max": 6.0}),
    "logistic": ("Sigmoid", {}),
    "tanh": ("TanH", {}),
    "elu": ("ELU", {}),
    "mish": ("Mish", {}),
    "swish": ("Swish", {}),
}

Converter = Callable[["Graph", Section], str]
converters: dict[str, Converter] = {}


def section(*types: str) -> Callable[[Converter], Converter]:
    """Register a function for these types of sections."""

    def register(function: Converter) -> Converter:
        converters.update(dict.fromkeys(types, function))
        return function

    return register


class Graph:
    """The net so far.

    made     the tensor that each layer of the .cfg computes, '' if it could not be expressed
    answers  numbers of the layers whose tensors are outputs
    lost     True once a layer could not be expressed: whose weights come next is then not known
    """

    def __init__(self, name: str, spec: Spec, weights: Weights):
        self.input, self.weights = name, weights
        self.layers: list[Layer] = []
        self.specs: dict[str, Spec] = {name: spec}
        self.made: list[str] = []
        self.answers: list[int] = []
        self.problems: list[str] = []
        self.lost = False
        self._section: Section | None = None
        self._layer = 0

    def walk(self, sections: Sequence[Section]) -> None:
        """Express every section; what cannot be is in `problems` afterwards. Raises FileError."""
        for s in sections:
            self._section, self._layer = s, 0
            try:
                if s.type not in converters:
                    raise ConversionError(
                        f"fbnet has no such layer.{did_you_mean(s.type, converters)}".rstrip(".")
                    )
                self.made.append("")
                if self.x or s.type == "route":
                    self.made[-1] = self._named(s, converters[s.type](self, s))
            except FileError:
                if not self.lost:
                    raise
            except FbnetError as error:
                self.problems.append(f"{s}: {error}")
            except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
                self.problems.append(f"{s}: {type(error).__name__}: {error}")
            self.made += [""] * (s.index + 1 - len(self.made))
            self.lost |= bool(self.problems)
        if not self.lost:
            self.weights.finish()

    def _named(self, s: Section, tensor: str) -> str:
        """Call what a section computes, and the first of its layers, as the section is called."""
        if self._layer:
            first, last = self.layers[-self._layer], self.layers[-1]
            self.layers[-self._layer] = first.replace(name=s.title)
            if last.outputs == (tensor,):
                self.layers[-1] = self.layers[-1].replace(outputs=[s.title])
                self.specs[s.title] = self.specs.pop(tensor)
                return s.title
        return tensor

    @property
    def x(self) -> str:
        """What the layer before computes: the usual input."""
        before = len(self.made) - 2
        return self.made[before] if before >= 0 else self.input

    def at(self, s: Section, number: int) -> str:
        """The tensor of a layer, counted from the front, or less than 0 from this one. '' behind one that failed."""
        index = s.index + number if number < 0 else number
        if not 0 <= index < s.index:
            raise ConversionError(f"reads layer {number}, which is not before it")
        return self.made[index]

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self.specs[tensor].shape

    def take(self, what: str, shape: Sequence[int]) -> np.ndarray:
        """The layer's next weights."""
        if not all(size > 0 for size in shape) or prod(shape) > MOST_ELEMENTS:
            raise ConversionError(f"its {what} would have the shape {list(shape)}")
        if self.lost:
            return np.broadcast_to(np.float32(0), tuple(shape))
        return self.weights.take(self._section, what, shape)

    def add(self, kind: str, *inputs: str | np.ndarray, outputs: int = 1, **attributes: Any) -> Any:
        """Append a layer; the tensor it writes, a list of them if `outputs` > 1."""
        assert self._section is not None
        name = f"{self._section.title}/{kind.lower()}" + (f"_{self._layer}" if self._layer else "")
        self._layer += 1
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        wired = [
            Tensor(f"{name}.{i}", data=np.ascontiguousarray(given, np.float32))
            if isinstance(given, np.ndarray)
            else given
            for i, given in enumerate(inputs)
        ]
        layer = layers[kind](*wired, name=name, outputs=names, **attributes)
        specs = layer.infer_outputs([w.spec if isinstance(w, Tensor) else self.specs[w] for w in wired])
        if max(spec.size for spec in specs) > MOST_ELEMENTS:
            raise ConversionError(f"its result would be {', '.join(map(str, specs))}: too large")
        self.specs |= zip(names, specs, strict=True)
        self.layers.append(layer)
        return names[0] if outputs == 1 else names

    def activated(self, x: str, s: Section) -> str:
        """x after the section's activation."""
        kind = s.options.get("activation", "logistic")
        if kind == "linear":
            return x
        if kind not in ACTIVATIONS:
            raise ConversionError(f"the activation {kind!r} is not known.{did_you_mean(kind, ACTIVATIONS)}")
        type, attributes = ACTIVATIONS[kind]
        return self.add(type, x, **attributes)

    def image(self, x: str) -> tuple[int, int, int]:
        """C, H, W of an image."""
        if len(self.shape(x)) != 4:
            raise ConversionError(f"its input is {self.specs[x]}, but images are (N, C, H, W)")
        return self.shape(x)[1:]  # type: ignore[return-value]


def _positive(s: Section, key: str, default: int) -> int:
    number = s.integer(key, default)
    if not 1 <= number < 1 << 16:
        raise ConversionError(f"{key} is {number}")
    return number


@section("convolutional")
def convolutional(g: Graph, s: Section) -> str:
    """The numbers in the file: with normalisation its four vectors, else the bias; then the filters."""
    x = g.x
    channels, m, size = g.image(x)[0], _positive(s, "filters", 1), _positive(s, "size", 1)
    group, stride = _positive(s, "groups", 1), _positive(s, "stride", 1)
    pad = size // 2 if s.integer("pad", 0) else s.integer("padding", 0)
    if channels % group or m % group or s.integer("dilation", 1) != 1 or pad < 0:
        raise ConversionError(f"{channels} channels to {m} in {group} groups, padding {pad}: not supported")
    normalise = s.integer("batch_normalize", 0)
    first = (
        [g.take(what, [m]) for what in ("bias", "scale", "mean", "variance")]
        if normalise
        else [g.take("bias", [m])]
    )
    w = g.take("filters", [m, channels // group, size, size])
    common: dict[str, Any] = {"stride": (stride, stride), "pad": (pad,) * 4, "group": group}
    if not normalise:
        return g.activated(g.add("Convolution", x, w, first[0], **common), s)
    bias, scale, mean, variance = first
    with np.errstate(all="ignore"):
        factor = scale / (np.sqrt(variance) + np.float32(EPSILON))
        shift = bias - mean * factor
    return g.activated(g.add("Scale", g.add("Convolution", x, w, **common), factor, shift), s)


@section("connected")
def connected(g: Graph, s: Section) -> str:
    m, inputs = _positive(s, "output", 1), prod(map(int, g.shape(g.x)[1:]))
    if s.integer("batch_normalize", 0):
        raise ConversionError("a connected layer with batch_normalize is not supported")
    bias, w = g.take("bias", [m]), g.take("weights", [m, inputs])
    return g.activated(g.add("InnerProduct", g.x, w, bias), s)


@section("maxpool")
def maxpool(g: Graph, s: Section) -> str:
    """`padding` cells in all, size - 1 unless said otherwise, the odd one after."""
    g.image(g.x)
    stride = _positive(s, "stride", 1)
    size = _positive(s, "size", stride)
    padding = s.integer("padding", size - 1)
    before, after = padding // 2, padding - padding // 2
    if not 0 <= padding < 2 * size:
        raise ConversionError(f"padding is {padding} for a window of {size}")
    return g.add(
        "Pooling",
        g.x,
        method="max",
        kernel=(size, size),
        stride=(stride, stride),
        pad=(before, before, after, after),
    )


@section("avgpool")
def avgpool(g: Graph, s: Section) -> str:
    g.image(g.x)
    return g.add("Pooling", g.x, method="average", global_pooling=True)


@section("route")
def route(g: Graph, s: Section) -> str:
    """Layers joined; of each only group group_id of `groups`, if there are groups."""
    sources = [g.at(s, number) for number in s.integers("layers")]
    if not sources or not all(sources):
        return ""
    groups, chosen = _positive(s, "groups", 1), s.integer("group_id", 0)
    if not 0 <= chosen < groups:
        raise ConversionError(f"group_id is {chosen} of {groups} groups")
    if groups > 1:
        sources = [g.add("Slice", x, outputs=groups)[chosen] for x in sources]
    return sources[0] if len(sources) == 1 else g.add("Concat", *sources)


@section("shortcut")
def shortcut(g: Graph, s: Section) -> str:
    sources = [g.x, *(g.at(s, number) for number in s.integers("from"))]
    if not all(sources):
        return ""
    if len({g.shape(x) for x in sources}) > 1:
        raise ConversionError(f"adds {', '.join(str(g.specs[x]) for x in sources)}: not of one shape")
    return (
        g.activated(g.add("Eltwise", *sources), s)
        if "activation" in s.options
        else g.add("Eltwise", *sources)
    )


@section("upsample")
def upsample(g: Graph, s: Section) -> str:
    g.image(g.x)
    stride = float(_positive(s, "stride", 2))
    y = g.add("Resize", g.x, method="nearest", scale=(stride, stride))
    (scale,) = s.numbers("scale", [1.0])
    return y if scale == 1 else g.add("Power", y, scale=scale)


@section("dropout", "cost")
def nothing(g: Graph, s: Section) -> str:
    return g.x


@section("softmax")
def softmax(g: Graph, s: Section) -> str:
    if s.integer("groups", 1) != 1:
        raise ConversionError("a softmax in groups is not supported")
    flat = g.add("Flatten", g.x) if len(g.shape(g.x)) > 2 else g.x
    g.answers.append(s.index)
    return g.add("Softmax", flat)


@section("yolo")
def yolo(g: Graph, s: Section) -> str:
    """Rows [x, y, w, h, objectness, a probability for each class], in parts of the image: (N, H * W * A, 5 + C).

    x = (column + sigmoid(tx)) / W, w = exp(tw) * anchor / (width of the net); the probabilities are multiplied by the
    objectness. Redmon & Farhadi 2018, arXiv:1804.02767.
    """
    x = g.x
    channels, h, w = g.image(x)
    anchors, classes = np.reshape(s.numbers("anchors"), (-1, 2)), _positive(s, "classes", 20)
    mask = s.integers("mask", range(len(anchors)))
    if not mask or min(mask) < 0 or max(mask) >= len(anchors) or channels != len(mask) * (5 + classes):
        raise ConversionError(
            f"its input is {g.specs[x]}, for {len(mask)} anchors of {len(anchors)} and {classes} classes"
        )
    (zoom,) = s.numbers("scale_x_y", [1.0])
    net_h, net_w = g.shape(g.input)[2:]
    cells = g.add("Reshape", x, shape=(len(mask), 5 + classes), axis=1, num_axes=1)
    place, extent, sure = g.add("Slice", cells, outputs=3, axis=2, points=(2, 4))
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    grid = np.stack([columns, rows]) - np.float32((zoom - 1) / 2)
    inside = g.add("Sigmoid", place) if zoom == 1 else g.add("Power", g.add("Sigmoid", place), scale=zoom)
    place = g.add("Scale", g.add("Bias", inside, grid, axis=2), np.array([1 / w, 1 / h]), axis=2)
    extent = g.add("Scale", g.add("Exp", extent), anchors[mask] / [net_w, net_h], axis=1)
    there, what = g.add("Slice", g.add("Sigmoid", sure), outputs=2, axis=2, points=(1,))
    rows5 = g.add("Concat", place, extent, there, g.add("Binary", what, there, operation="mul"), axis=2)
    last = g.add("Permute", rows5, order=(0, 3, 4, 1, 2))
    g.answers.append(s.index)
    return g.add("Flatten", last, axis=1, end_axis=3)
