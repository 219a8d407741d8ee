"""What a report tells: a run of the net, and of each layer what it was, what it took and what it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...engine.dtype import dtype_of
from ...engine.errors import InputError
from ...engine.html import spread
from ...engine.net import Net
from ...engine.plan import Plan
from ...engine.steps import Steps, Visit
from ...engine.tensor import Spec
from ..picture.graph import Graph, graph_of
from .maps import Picture, pictures

BINS = 48


@dataclass(frozen=True)
class Histogram:
    """How often numbers fall into equal bins from `low` to `high`; those that are no numbers are left out."""

    name: str
    spec: Spec
    counts: tuple[int, ...]
    low: float
    high: float
    mean: float
    deviation: float
    zeros: float  # the share that is 0


@dataclass(frozen=True)
class Layer:
    """A layer of the report.

    visit       what ran; without its arrays
    key         of its card in the graph: 'n3'; 's3' for a step of the plan's own, which has none
    stands_for  layers of the net as written that run within it
    reads       input tensor -> its Spec, and the name of the layer that wrote it, '' for an input of the net
    """

    visit: Visit
    key: str
    stands_for: tuple[str, ...]
    reads: Mapping[str, tuple[Spec | None, str]]
    writes: Mapping[str, Spec]
    statistics: tuple[float, float, float]
    weights: tuple[Histogram, ...]
    results: tuple[Histogram, ...]
    pictures: tuple[Picture, ...]

    @property
    def kernel(self) -> str:
        """The kernel's own name, without device, dtype and type."""
        return self.visit.kernel.split("/", 3)[-1] or "no work"

    @property
    def weight_bytes(self) -> int:
        return sum(w.spec.nbytes for w in self.weights)


@dataclass(frozen=True)
class Findings:
    """All that a report tells. `photo` is the name of the image's file, '' for an example."""

    net: Net
    plan: Plan
    running: Net
    layers: tuple[Layer, ...]
    graph: Graph | None
    no_graph: str
    photo: str
    inputs: Mapping[str, Spec] = field(default_factory=dict)

    @property
    def time_us(self) -> float:
        return sum(item.visit.time_us for item in self.layers)


def gathered(net: Net, plan: Plan, inputs: Mapping[str, np.ndarray], rounds: int, photo: str) -> Findings:
    """Run the plan on these inputs, and keep what a report tells of it."""
    steps = Steps(plan, inputs, rounds)
    running = steps.net
    keys = {layer.name: f"n{i}" for i, layer in enumerate(running.layers)}
    writers = {o: layer.name for layer in running.layers for o in layer.outputs}
    stands = stands_for(net, running)
    layers = tuple(
        _layer(visit, keys.get(visit.name, f"s{i}"), running, writers, stands)
        for i, visit in enumerate(steps)
    )
    try:
        graph, why = _timed(graph_of(net, plan), layers), ""
    except InputError as error:
        graph, why = None, str(error)
    given = {name: Spec(array.shape, net.inputs[name].dtype) for name, array in inputs.items()}
    return Findings(net, plan, running, layers, graph, why, photo, given)


def stands_for(net: Net, running: Net) -> dict[str, tuple[str, ...]]:
    """Layer that runs -> layers as written between its inputs and its outputs."""
    writers = {o: layer for layer in net.layers for o in layer.outputs}
    found = {}
    for layer in running.layers:
        seen: dict[str, None] = {}
        stop, todo = set(layer.inputs), list(layer.outputs)
        while todo:
            writer = writers.get(todo.pop())
            if writer is not None and writer.name not in seen:
                seen[writer.name] = None
                todo += [tensor for tensor in writer.inputs if tensor not in stop]
        found[layer.name] = tuple(item.name for item in net.layers if item.name in seen)
    return found


def histogram(name: str, array: np.ndarray, spec: Spec) -> Histogram:
    """The histogram of an array's numbers."""
    numbers = np.asarray(array, np.float64).ravel()
    zeros = float((numbers == 0).mean()) if numbers.size else 0.0
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return Histogram(name, spec, (0,) * BINS, 0.0, 0.0, 0.0, 0.0, zeros)
    low, high = float(numbers.min()), float(numbers.max())
    counts = spread(numbers, BINS)
    return Histogram(name, spec, tuple(counts), low, high, float(numbers.mean()), float(numbers.std()), zeros)


def _layer(
    visit: Visit,
    key: str,
    running: Net,
    writers: Mapping[str, str],
    stands: Mapping[str, tuple[str, ...]],
) -> Layer:
    reads: dict[str, tuple[Spec | None, str]] = {}
    weights = []
    for (parameter, array), tensor in zip(visit.inputs.items(), visit.layer.inputs, strict=True):
        if tensor in running.constants:
            weights.append(histogram(parameter, array, running.constants[tensor].spec))  # type: ignore[arg-type]
        elif array is not None:
            reads[tensor] = Spec(array.shape, dtype_of(array)), writers.get(tensor, "")
    writes = dict(zip(visit.outputs, visit.specs, strict=True))
    results = tuple(histogram(name, y, writes[name]) for name, y in visit.real().items())
    shown = tuple(p for name, y in visit.outputs.items() for p in pictures(name, y))
    bare = replace(visit, inputs={}, outputs={})
    stand = stands.get(visit.name, ())
    return Layer(bare, key, stand, reads, writes, visit.statistics(), tuple(weights), results, shown)


def _timed(graph: Graph, layers: tuple[Layer, ...]) -> Graph:
    """The graph with each card's time, as a share of the longest."""
    longest = max((item.visit.seconds for item in layers), default=0.0) or 1.0
    shares = {item.key: item.visit.seconds / longest for item in layers}
    return replace(graph, nodes=[replace(node, share=shares.get(node.key, 0.0)) for node in graph.nodes])
