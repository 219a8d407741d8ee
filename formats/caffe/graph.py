"""NetParameter -> Graph: what of a Caffe net runs when it is deployed, with every tensor written once.

1. Layers that the TEST phase leaves out are dropped, by their include and exclude rules.
2. Input and data layers become the net's inputs.
3. In-place layers write a tensor of their own: the last writer of a blob keeps its name, one before it writes
   `<blob>/<layer>`; an input always keeps its name.
4. Losses, accuracies and whatever only feeds on labels go; a loss with a probability in it becomes that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from .prototxt import enum_name, shortest

MOST_ELEMENTS = 2**31 - 1  # of one blob: Caffe's own limit

# Of a data layer's blobs, the first is the image and the others are labels; in others only the name tells.
FIRST_IS_IMAGE = {"Data", "ImageData", "MemoryData", "WindowData", "AnnotatedData"}
# A loss that has a function of its prediction inside -> that function's layer type.
INSIDE_LOSS = {"SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
# Layers that end a net and yield nothing to deploy -> how many of their bottoms, from the first, are predictions.
SINKS = {"Accuracy": 1, "Silence": 0, "DetectionEvaluate": 1, "HDF5Output": 99}
LOSSES = {"ContrastiveLoss": 2, "MultiBoxLoss": 3, "TripletLoss": 3}  # others: 1


@dataclass
class Node:
    """One Caffe layer that stays: its wiring by tensor names, and its LayerParameter for the rest."""

    name: str
    type: str
    param: Any
    inputs: list[str]
    outputs: list[str]

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass
class Graph:
    """inputs: name -> shape, or None where the file does not tell it. image: how training prepared images, as in a
    net's metadata. problems: what does not fit together.
    """

    inputs: dict[str, Sequence[int] | None] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    data_layer: Any = None  # the LayerParameter that reads images in training, if there is one
    image: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def deployed(net: Any, stages: Sequence[str], level: int, shapes: Mapping[str, Sequence[int]]) -> Graph:
    """The Graph of an upgraded NetParameter. `shapes` gives or replaces the shapes of inputs."""
    state = (level or net.state.level, {*stages, *net.state.stage})
    graph = _wired(_included(net.layer, *state))
    _drop_losses(graph)
    _prune(graph)
    read = {i for node in graph.nodes for i in node.inputs}
    graph.inputs = {name: shapes.get(name, shape) for name, shape in graph.inputs.items() if name in read}
    for name, shape in graph.inputs.items():
        if shape is None:
            graph.problems.append(
                f"the file does not tell the shape of the input {name!r}: pass {_hint(name)}"
            )
        elif min(shape, default=1) < 1 or prod(shape) > MOST_ELEMENTS:
            graph.problems.append(f"the input {name!r} has the shape {list(shape)}: pass {_hint(name)}")
            graph.inputs[name] = None
    if graph.data_layer is not None:
        graph.image = _image(graph.data_layer, graph.inputs.get(graph.data_layer.top[0]))
    for node in graph.nodes:
        for name in graph.labels.intersection(node.inputs):
            graph.problems.append(f"{node} reads the label {name!r}, which a deployed net has not")
    if not graph.nodes:
        graph.problems.append("no layer is left to deploy")
    return graph


def _hint(name: str) -> str:
    return f"shapes={{{name!r}: (N, C, H, W)}}"


# -- 1: phases -----------------------------------------------------------------------------------------------


def _included(layers: Sequence[Any], level: int, stages: set[str]) -> list[Any]:
    """The layers that Caffe's rules let in, and before them data layers of other phases for blobs that none writes.

    For a deployed net it is enough that some phase reads `data` from somewhere: it is an input.
    """

    def meets(rule: Any) -> bool:
        return not (
            (rule.HasField("phase") and enum_name(rule, "phase") != "TEST")
            or (rule.HasField("min_level") and level < rule.min_level)
            or (rule.HasField("max_level") and level > rule.max_level)
            or not stages.issuperset(rule.stage)
            or not stages.isdisjoint(rule.not_stage)
        )

    def is_in(layer: Any) -> bool:
        return any(map(meets, layer.include)) if layer.include else not any(map(meets, layer.exclude))

    kept = [layer for layer in layers if is_in(layer)]
    written = {top for layer in kept for top in layer.top}
    for layer in reversed(layers):  # TEST mostly follows TRAIN
        if _is_source(layer) and not is_in(layer) and written.isdisjoint(layer.top):
            kept.insert(0, layer)
            written.update(layer.top)
    return kept


# -- 2 and 3: inputs and wiring ------------------------------------------------------------------------------


def _wired(layers: Sequence[Any]) -> Graph:
    graph = Graph()
    names: dict[str, int] = {}
    writers_left = Counter(top for layer in layers for top in layer.top)
    current: dict[str, str] = {}  # blob -> the tensor that holds it now
    tensors = dict.fromkeys(writers_left, 1)
    for layer in layers:
        name = _unique(layer.name or layer.type.lower() or "layer", names)
        node = Node(name, layer.type, layer, [], [])
        for bottom in layer.bottom:
            if bottom not in current:
                graph.problems.append(f"{node} reads {bottom!r}, which nothing before it writes")
            node.inputs.append(current.get(bottom, bottom))
        if is_source := _is_source(layer):
            _add_inputs(graph, layer)
        if layer.type == "Split" and node.inputs:
            current |= dict.fromkeys(layer.top, node.inputs[0])
            continue
        for top in layer.top:
            writers_left[top] -= 1
            if top in current and top not in layer.bottom:
                graph.problems.append(f"{node} writes {top!r}, which a layer before it writes too")
            is_last = is_source or (not writers_left[top] and top not in graph.inputs)
            current[top] = top if is_last else _unique(f"{top}/{name}", tensors)
            node.outputs.append(current[top])
        if not is_source:
            graph.nodes.append(node)
    return graph


def _unique(name: str, taken: dict[str, int]) -> str:
    """`name`, or `name#2` and so on if it is taken; it is taken from now on. `taken`: name -> times asked for."""
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}#{taken[name]}"
    taken[free] = 1
    return free


def _is_source(layer: Any) -> bool:
    return layer.type == "Input" or (
        not layer.bottom and (layer.type.endswith("Data") or layer.type == "Python")
    )


def _add_inputs(graph: Graph, layer: Any) -> None:
    for i, top in enumerate(layer.top):
        is_label = "label" in top.lower() or (i > 0 and layer.type in FIRST_IS_IMAGE)
        if is_label and layer.type != "Input":
            graph.labels.add(top)
        else:
            graph.inputs[top] = _input_shape(layer, i)
    if layer.type in FIRST_IS_IMAGE and layer.top and graph.data_layer is None:
        graph.data_layer = layer


def _input_shape(layer: Any, i: int) -> list[int] | None:
    """The shape of a source's i-th top, if the file tells it."""
    if layer.type in ("Input", "DummyData"):
        p = layer.input_param if layer.type == "Input" else layer.dummy_data_param
        if p.shape:
            return list(p.shape[min(i, len(p.shape) - 1)].dim)
        if layer.type == "DummyData" and p.num and p.channels and p.height and p.width:
            return [sizes[min(i, len(sizes) - 1)] for sizes in (p.num, p.channels, p.height, p.width)]
        return None
    if layer.type == "MemoryData":
        p = layer.memory_data_param
        return [p.batch_size, p.channels, *(_crop(layer) or (p.height, p.width))]
    size = _crop(layer)
    if size is None:
        return None
    t = layer.transform_param
    is_gray = t.force_gray or (layer.type == "ImageData" and not layer.image_data_param.is_color)
    return [max(1, _data_param(layer).batch_size), 1 if is_gray else 3, *size]


def _data_param(layer: Any) -> Any:
    own = {"ImageData": "image_data_param", "WindowData": "window_data_param", "HDF5Data": "hdf5_data_param"}
    return getattr(layer, own.get(layer.type, "data_param"))


def _crop(layer: Any) -> tuple[int, int] | None:
    """[H, W] of what a data layer yields, by its crop or its resizing."""
    t, p = layer.transform_param, _data_param(layer)
    square = t.crop_size or getattr(p, "crop_size", 0)
    for size in (
        (square, square),
        (t.crop_h, t.crop_w),
        (t.resize_param.height, t.resize_param.width),
        (getattr(p, "new_height", 0), getattr(p, "new_width", 0)),
    ):
        if all(size):
            return size
    return None


def _image(layer: Any, shape: Sequence[int] | None) -> dict[str, Any]:
    """How a data layer prepares an image: y = (pixel - mean) * scale. {} if only another file has the mean."""
    t, p = layer.transform_param, _data_param(layer)
    if (
        t.mean_file
        or getattr(p, "mean_file", "")
        or shape is None
        or len(shape) != 4
        or shape[1] not in (1, 3)
    ):
        return {}
    mean = [shortest(m) for m in t.mean_value] or [0.0]
    return {
        "size": list(shape[2:]),
        "fit": "crop" if t.crop_size or t.crop_h or getattr(p, "crop_size", 0) else "stretch",
        "mean": mean if len(mean) == shape[1] else mean[:1] * shape[1],
        "scale": shortest(t.scale if t.HasField("scale") else getattr(p, "scale", 1.0)),
        "order": "GRAY" if shape[1] == 1 else "BGR",
    }


# -- 4: losses and labels ------------------------------------------------------------------------------------


def _predictions(node: Node) -> int | None:
    """How many of a node's inputs are predictions if it is a loss or another sink; None if it is neither."""
    if node.type in SINKS:
        return SINKS[node.type]
    return LOSSES.get(node.type, 1) if "Loss" in node.type else None


def _drop_losses(graph: Graph) -> None:
    """Drop losses, other sinks, and layers that read labels alone; graph.outputs becomes what is then unread."""
    kept: list[Node] = []
    targets: set[str] = set()
    known = {(node.type, node.inputs[0]) for node in graph.nodes if node.inputs}
    tensors = {o for node in graph.nodes for o in node.outputs} | set(graph.inputs)
    count = sum(node.type in INSIDE_LOSS for node in graph.nodes)
    for node in graph.nodes:
        predictions = _predictions(node)
        if node.inputs and graph.labels.issuperset(node.inputs):
            graph.labels.update(node.outputs)
        elif predictions is None:
            kept.append(node)
        else:
            targets.update([i for i in node.inputs if i not in graph.labels][predictions:])
            inside = (INSIDE_LOSS.get(node.type, ""), *node.inputs[:1])
            if inside[0] and len(inside) == 2 and inside not in known:
                known.add(inside)
                own = node.outputs[1:] or (["prob"] if count == 1 and "prob" not in tensors else node.outputs)
                kept.append(Node(node.name, inside[0], node.param, node.inputs[:1], own or [node.name]))
    graph.nodes = kept
    read = {i for node in kept for i in node.inputs} | targets
    graph.outputs = [o for node in kept for o in node.outputs if o not in read]


def _prune(graph: Graph) -> None:
    """Drop layers that no output needs: those that only fed a loss's target, or were silenced."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    graph.nodes = kept[::-1]
