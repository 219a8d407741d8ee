"""What a picture of a net shows: a card a layer, a line for every tensor that one layer writes and another reads.

A Graph knows nothing of places and colours. Names come from files: whoever writes them out must escape them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...engine.layer import Layer, layers
from ...engine.net import Net
from ...engine.plan import Plan
from ...engine.steps import as_run
from ...engine.tensor import Spec

# What a layer does, by the file that its class lies in; whatever is not named here is "other".
FAMILIES = {
    "weights": ("conv", "volume", "inner_product", "matmul", "recurrent", "lstm_unit"),
    "pooling": ("pool", "roi", "window"),
    "normalisation": ("norm", "normalize"),
    "activation": ("activation", "softmax", "unary"),
    "arithmetic": ("eltwise", "binary", "reduce", "cast"),
    "moving": ("concat", "reshape", "moving", "gather", "select", "order", "layout"),
    "image": ("image", "color", "resize", "sample"),
    "detection": ("boxes", "detection", "ctc"),
}
_FAMILY = {file: family for family, files in FAMILIES.items() for file in files}
FACTS = 38  # characters of a card's second line


@dataclass(frozen=True)
class Node:
    """A card.

    key     unique in the graph, safe to be an id anywhere: 'n3'
    name    the layer's, or the input's or output's
    type    the layer's, or 'input' or 'output'
    facts   what tells this layer from others of its type, in short
    device  where it runs, '' if that was not planned; 'host' for a layer that the device has no kernel for
    kernel  what computes it, '' if it was not planned or is no work
    share   from 0 to 1: its time beside that of the slowest; 0 if it was not measured
    """

    key: str
    name: str
    type: str
    facts: str = ""
    family: str = "other"
    device: str = ""
    kernel: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Edge:
    """A tensor on its way: keys of two nodes, the tensor's name, and its Spec as text and as dtype."""

    source: str
    target: str
    tensor: str
    label: str
    dtype: str


@dataclass(frozen=True)
class Frame:
    """Nodes that stand for `times` equal blocks, one after the other; `names` of all layers, block by block."""

    keys: tuple[str, ...]
    times: int
    names: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Graph:
    """The cards in the order in which they run, and what goes from one to another."""

    name: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    frames: Sequence[Frame] = field(default=())

    def node(self, key: str) -> Node:
        return next(node for node in self.nodes if node.key == key)


def graph_of(net: Net, plan: Plan | None = None, repeats: Sequence[Repeat] = ()) -> Graph:
    """The graph of a net, its repeated blocks drawn once; with a plan, of the layers that it runs and where.

    repeats  blocks of `running(net, plan)`, as `fold.repeats` finds them
    """
    net = running(net, plan)
    specs = net.specs()
    stands = _standing(len(net), repeats)
    kernels = kernels_of(plan)
    nodes = [Node(f"i{i}", name, "input", "", "end") for i, name in enumerate(net.inputs)]
    writers = {name: f"i{i}" for i, name in enumerate(net.inputs)}
    alike: dict[str, list[Spec]] = {}  # 'n3.0': the first output of node n3, in every block
    ports: dict[str, str] = {}
    for index, layer in enumerate(net.layers):
        key = f"n{stands[index]}"
        if stands[index] == index:
            nodes.append(_node(key, layer, net, plan, kernels.get(layer.name, "")))
        for number, output in enumerate(layer.outputs):
            writers[output], ports[output] = key, f"{key}.{number}"
            alike.setdefault(ports[output], []).append(specs[output])
    edges: dict[tuple[str, str, str], Edge] = {}

    def connect(tensor: str, target: str) -> None:
        source, port = writers[tensor], ports.get(tensor, writers[tensor])
        label = spec_text(alike.get(port, [specs[tensor]]))
        edges.setdefault(
            (source, port, target), Edge(source, target, tensor, label, specs[tensor].dtype.name)
        )

    for index, layer in enumerate(net.layers):
        block = next((r for r in repeats if r.start <= index < r.stop), None)
        for tensor in layer.inputs:
            if tensor not in writers:
                continue
            # a later block reads what the one before it wrote: in the picture, that is the way into the first
            if block is None or index < block.start + block.length:
                connect(tensor, f"n{stands[index]}")
    for number, output in enumerate(net.outputs):
        if output in writers:
            nodes.append(Node(f"o{number}", output, "output", "", "end"))
            connect(output, f"o{number}")
    frames = [_frame(net, repeat) for repeat in repeats]
    return Graph(net.name, nodes, list(edges.values()), frames)


@dataclass(frozen=True)
class Repeat:
    """Layers from `start` on: `times` blocks of `length` layers each."""

    start: int
    length: int
    times: int

    @property
    def stop(self) -> int:
        return self.start + self.length * self.times


def running(net: Net, plan: Plan | None) -> Net:
    """The net as it is drawn: as the author wrote it, or, where a plan is shown, as it runs."""
    return net if plan is None else as_run(plan)


def kernels_of(plan: Plan | None) -> dict[str, str]:
    """Layer -> the kernel of its steps, by its registered name, for those layers that have any."""
    return {step.layer: step.kernel for step in plan.steps} if plan is not None else {}


def facts(layer: Layer, net: Net) -> list[str]:
    """What tells a layer from others of its type: its weights' shape, and attributes that differ from the default."""
    weights = next((net.constants[i] for i in layer.inputs if i in net.constants), None)
    found = ["×".join(map(str, weights.spec.shape))] if weights is not None and weights.spec.ndim > 1 else []
    for key, value in layer.attributes.items():
        if value == layer.declared[key].default or key == "activation_args":
            continue
        if key == "activation":
            found.insert(0, f"+ {value}")
        elif isinstance(value, bool):
            found.append(key if value else f"no {key}")
        else:
            found.append(f"{key} {value_text(value)}")
    return found


def value_text(value: object) -> str:
    """An attribute's value in few characters: (2, 2) is 2."""
    if isinstance(value, tuple):
        same = len(set(value)) == 1 and len(value) > 1
        return value_text(value[0]) if same else ",".join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def spec_text(specs: Sequence[Spec]) -> str:
    """A Spec, or several alike: fp32[N,64…512,56…7]. Long formulas of sizes are their usual size with a ~."""
    if len({spec.ndim for spec in specs}) > 1:
        return f"{spec_text(specs[:1])} … {spec_text(specs[-1:])}"
    first, last = specs[0], specs[-1]
    sizes = [
        _size(a) if int(a) == int(b) else f"{_size(a)}…{_size(b)}"
        for a, b in zip(first.shape, last.shape, strict=True)
    ]
    return f"{first.dtype}[{','.join(sizes)}]"


def _size(size: int) -> str:
    text = str(size)
    return text if len(text) <= 8 else f"~{int(size)}"


def family_of(type: str) -> str:
    """What layers of this type do, in one word."""
    if type not in layers:
        return "other"
    return _FAMILY.get(layers[type].__module__.rsplit(".", 1)[-1], "other")


def _standing(count: int, repeats: Sequence[Repeat]) -> list[int]:
    """For every layer the one that is drawn for it: itself, or its like in the first of equal blocks."""
    stands = list(range(count))
    for repeat in repeats:
        for index in range(repeat.start, repeat.stop):
            stands[index] = repeat.start + (index - repeat.start) % repeat.length
    return stands


def _node(key: str, layer: Layer, net: Net, plan: Plan | None, kernel: str) -> Node:
    text = " · ".join(facts(layer, net))
    text = text if len(text) <= FACTS else text[: FACTS - 1] + "…"
    device = ""
    if plan is not None:
        device = "" if not kernel else plan.device if kernel != "reference" else _host(plan)
    name = "reference" if kernel == "reference" else "/".join(kernel.split("/")[3:])
    return Node(key, layer.name, layer.type, text, family_of(layer.type), device, name)


def _host(plan: Plan) -> str:
    """What runs a layer by its reference: the device itself, if it has nothing else, or the host."""
    return "reference" if plan.device == "reference" else "host"


def _frame(net: Net, repeat: Repeat) -> Frame:
    keys = tuple(f"n{i}" for i in range(repeat.start, repeat.start + repeat.length))
    starts = range(repeat.start, repeat.stop, repeat.length)
    names = tuple(tuple(layer.name for layer in net.layers[s : s + repeat.length]) for s in starts)
    return Frame(keys, repeat.times, names)


def counted(values: Sequence[str], order: Mapping[str, object]) -> list[str]:
    """The different values, in the order of a mapping that names them, then the rest as they come."""
    known = [value for value in order if value in values]
    return known + [v for v in dict.fromkeys(values) if v and v not in known]
