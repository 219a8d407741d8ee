"""The ways to compute a net's 3×3 convolutions, each forced in turn: what share of the processor's peak they reach."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.compile import plan_as_written
from ..engine.device import devices
from ..engine.layer import Layer
from ..engine.lower import HostFallback
from ..engine.net import Net
from ..engine.rewrite import apply
from ..engine.tensor import Spec
from .numbers import random_inputs

ALGORITHMS = {"direct": 0, "winograd4": 4, "winograd6": 6}  # kernel -> outputs of a tile, each way


@dataclass
class Layers3x3:
    """A convolution, and how many of its kind there are in the net.

    macs      multiply-adds by the definition
    seconds   algorithm -> the median of its runs; no entry where it does not serve the layer
    products  algorithm -> multiply-adds that it does, without Winograd's transforms
    """

    layer: str
    x: tuple[int, ...]
    filters: tuple[int, ...]
    stride: int
    macs: int
    count: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)

    def rates(self, algorithm: str) -> tuple[float, float]:
        """GFLOP/s by the definition, and of what is truly multiplied."""
        seconds = self.seconds[algorithm]
        return tuple(2 * n / seconds / 1e9 for n in (self.macs, self.products[algorithm]))  # type: ignore[return-value]

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"gflops": {name: self.rates(name) for name in self.seconds}}


def algorithm_rates(net: Net, threads: int, rounds: int) -> Iterator[Layers3x3]:
    """Each kind of 3×3 convolution in the net, in order, at its usual input shapes."""
    lean = apply(net)
    specs = lean.specs()
    kinds: dict[tuple, tuple[Layers3x3, Net]] = {}
    for layer in lean.layers:
        w = lean.constants.get(layer.inputs[1]) if layer.type == "Convolution" else None
        if w is None or w.spec.shape[2:] != (3, 3) or layer.group != 1:  # type: ignore[attr-defined]
            continue
        x, y = (specs[name].concrete for name in (layer.inputs[0], layer.outputs[0]))
        kind = (x.shape, w.spec.shape, repr({**layer.attributes, "activation": ""}))
        if kind in kinds:
            kinds[kind][0].count += 1
            continue
        macs = int(layer.macs(*(specs.get(i) for i in layer.inputs)))
        stride = layer.stride[0]  # type: ignore[attr-defined]
        found = Layers3x3(layer.name, x.shape, w.spec.shape, stride, macs)
        for name, tile in ALGORITHMS.items():
            found.products[name] = products(y, w.spec, tile) if tile else macs
        kinds[kind] = found, _alone(layer, lean, specs)
    for found, alone in kinds.values():
        for name in ALGORITHMS:
            if (seconds := _seconds(alone, name, threads, rounds)) is not None:
                found.seconds[name] = seconds
        yield found


def products(y: Spec, w: Spec, tile: int) -> int:
    """Multiply-adds of F(tile × tile, 3 × 3): (tile + 2)² for each tile and pair of channels."""
    n, _, oh, ow = y.shape
    return n * -(-oh // tile) * -(-ow // tile) * (tile + 2) ** 2 * w.shape[0] * w.shape[1]


def _alone(layer: Layer, net: Net, specs: dict[str, Spec]) -> Net:
    """A net of this one layer."""
    constants = {name: net.constants[name] for name in layer.inputs if name in net.constants}
    inputs = {name: specs[name].concrete for name in layer.inputs if name and name not in constants}
    return Net([layer], inputs, constants, layer.outputs)


def _seconds(alone: Net, algorithm: str, threads: int, rounds: int) -> float | None:
    """The median time of the layer's own step, all in the caches that hold it; None if the kernel refuses it."""
    cpu, shapes = devices["cpu"], {name: spec.shape for name, spec in alone.inputs.items()}
    names = [f"cpu/fp32/Convolution/{algorithm}"]
    if algorithm == "direct":  # a first layer's few channels are read as they lie
        names.insert(0, f"{names[0]}_from_plain")
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HostFallback)  # how a refusal shows
            plan = plan_as_written(alone, cpu, "fp32", threads, shapes, name)
        mine = [index for index, step in enumerate(plan.steps) if step.kernel == name]
        if not mine:
            continue
        handle = cpu.init(plan)
        try:
            cpu.prepare(handle, plan.shapes())
            for given, array in random_inputs(alone.inputs).items():
                cpu.set_tensor(handle, given, array)
            cpu.time_steps(handle, 2)
            seconds = cpu.time_steps(handle, rounds)
        finally:
            cpu.destroy(handle)
        return sum(seconds[index] for index in mine)
    return None


def best(rows: Sequence[Layers3x3]) -> dict[str, float]:
    """Algorithm -> GFLOP/s by the definition over all layers that it serves, as often as they occur."""
    found = {}
    for name in ALGORITHMS:
        served = [row for row in rows if name in row.seconds]
        seconds = sum(row.count * row.seconds[name] for row in served)
        if seconds:
            found[name] = 2 * sum(row.count * row.macs for row in served) / seconds / 1e9
    return found
