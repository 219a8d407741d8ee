"""steps: a run of a net, layer by layer, with what goes in and out of each, its kernel and its time.

    for visit in net.steps(x):
        print(visit)                      # conv1 (Convolution)  fp32[1,20,24,24]  direct  35 µs ...

The layers are those that run: folded and fused, as the device's plan has them. Every step is run alone, and what it
wrote is copied before a later one may overwrite it, so a walk costs more memory and time than a run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from .device import device_of, devices
from .errors import DeviceError, InputError, did_you_mean
from .layer import ABSENT, Layer, layers
from .net import Net
from .plan import ARENA, Plan, Stored
from .rewrite import apply
from .tensor import Spec


@dataclass(frozen=True, eq=False)
class Visit:
    """A layer that has just run.

    inputs   what `reference` calls them -> arrays; None for an optional one that is left out
    outputs  tensor name -> array, as it is stored; specs say how, and how it is quantised
    kernel   the registered name, 'reference', or '' if there was nothing to do
    why      why that kernel was chosen
    seconds  of its steps together
    macs     multiply-adds; 0 for layers that are not counted
    """

    layer: Layer
    inputs: Mapping[str, np.ndarray | None] = field(repr=False)
    outputs: Mapping[str, np.ndarray] = field(repr=False)
    specs: tuple[Spec, ...]
    kernel: str
    why: str
    threads: int
    seconds: float
    macs: int

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def output(self) -> np.ndarray:
        """The layer's one output. Raises InputError if it has several."""
        return self.outputs[self.layer.output]

    @property
    def time_us(self) -> float:
        return 1e6 * self.seconds

    @property
    def gflops(self) -> float:
        """10^9 operations a second; a multiply-add is two."""
        return 2 * self.macs / self.seconds / 1e9 if self.seconds else 0.0

    def real(self) -> dict[str, np.ndarray]:
        """The outputs as the real numbers that they stand for: float64, not quantised."""
        return {
            name: np.asarray(
                y if s.quantization is None else s.dtype.dequantize(y, s.quantization), np.float64
            )
            for (name, y), s in zip(self.outputs.items(), self.specs, strict=True)
        }

    def statistics(self) -> tuple[float, float, float]:
        """(mean |y|, smallest, largest) of all outputs, as real numbers; nan where there are none."""
        numbers = np.concatenate([y.ravel() for y in self.real().values()] or [np.empty(0)])
        if not numbers.size:
            return float("nan"), float("nan"), float("nan")
        with np.errstate(invalid="ignore", over="ignore"):
            return float(np.abs(numbers).mean()), float(numbers.min()), float(numbers.max())

    def error(self) -> float:
        """The largest difference from the layer's reference on the same inputs, as a share of its largest number."""
        wanted = self.layer.compute(list(self.inputs.values()))
        return max(
            (relative_error(g, w) for g, w in zip(self.outputs.values(), wanted, strict=True)), default=0.0
        )

    def cells(self, level: int = 3) -> list[str]:
        """A line: layer, spec, kernel, µs, GFLOP/s; from level 3 on mean|y| and range, from 4 on the error."""
        rate = f"{self.gflops:.1f}" if self.macs else ""
        kernel = self.kernel.split("/", 3)[-1]
        cells = [str(self.layer), ", ".join(map(str, self.specs)), kernel, f"{self.time_us:.1f}", rate]
        if level >= 3:
            mean, low, high = self.statistics()
            cells += [f"{mean:.4g}", f"{low:.4g} .. {high:.4g}"]
        return [*cells, f"{self.error():.1e}"] if level >= 4 else cells

    def __str__(self) -> str:
        name, spec, kernel, us, rate, mean, limits = self.cells()
        speed = f"{us} us" + (f"  {rate} GFLOP/s" if rate else "")
        return f"{name:<32} {spec:<24} {kernel or 'no work':<24} {speed:<28} mean|y| {mean:<10} {limits}"


class Steps:
    """The walk through one run: iterate over it, or ask for one layer, `steps["conv1"].output`.

    Raises DeviceError if the device cannot be looked at while it runs.
    """

    def __init__(self, plan: Plan, inputs: Mapping[str, np.ndarray], rounds: int = 0):
        if plan.rounds > 1:  # what a layer writes is then never there for all images
            whole = plan.net.compile(plan.device, threads=plan.threads, shapes=plan.shapes(), in_rounds=False)
            plan = whole
        self.plan, self.inputs, self.rounds = plan, inputs, rounds
        self.net = as_run(plan)
        self._device = device_of(plan.device)
        if not self._device.can_step:
            able = ", ".join(name for name in devices if devices[name].can_step)
            raise DeviceError(f"device {plan.device!r} cannot be stepped through: {able} can")

    def __getitem__(self, name: str) -> Visit:
        """The layer called `name`, or that writes the tensor `name`, after it has run. Raises InputError."""
        wanted = self.layer_name(name)
        return next(visit for visit in self if visit.name == wanted)

    def layer_name(self, name: str) -> str:
        """The name of the layer that is called so, or that writes a tensor called so. Raises InputError."""
        known = {o: layer.name for layer in self.net.layers for o in layer.outputs}
        known |= {layer.name: layer.name for layer in self.net.layers}
        if name not in known:
            raise InputError(
                f"{self.net.name} runs no layer {name!r}.{did_you_mean(name, known)} Layers may be fused into others"
            )
        return known[name]

    def __iter__(self) -> Iterator[Visit]:
        device, plan = self._device, self.plan
        handle = device.init(plan)
        try:
            device.prepare(handle, plan.shapes())
            for name, array in self.inputs.items():
                device.set_tensor(handle, name, array)
            device.forward(handle)  # code and constants come into reach; inputs stay as they are
            timed = device.time_steps(handle, self.rounds) if self.rounds and device.can_time else None
            yield from self._walk(handle, timed)
        finally:
            device.destroy(handle)

    def _walk(self, handle: Any, timed: Sequence[float] | None) -> Iterator[Visit]:
        device, plan, index = self._device, self.plan, 0
        known = {layer.name: layer for layer in self.net.layers}
        specs = self.net.specs(plan.shapes())
        written: dict[str, list[Stored]] = {}
        for stored in plan.stored:
            if stored.tensor:
                written.setdefault(stored.layer, []).append(stored)
        last = {tensor: layer.name for layer in self.net.layers for tensor in layer.inputs if tensor}
        dead: dict[str, list[str]] = {}
        for tensor, reader in last.items():
            if tensor not in self.net.outputs:  # which may be brought into another layout at the end
                dead.setdefault(reader, []).append(tensor)
        tensors: dict[str, Any] = {ABSENT: None, **self.inputs}
        tensors |= {name: constant.data for name, constant in self.net.computed.constants.items()}
        for name in plan.notes:
            seconds, kernel, threads = 0.0, "", 1
            while index < len(plan.steps) and plan.steps[index].layer == name:
                start = perf_counter()
                device.step(handle, index)
                seconds += timed[index] if timed else perf_counter() - start
                kernel, threads = plan.steps[index].kernel, max(threads, plan.steps[index].threads)
                index += 1
            if name not in known and not kernel:
                continue  # two layouts that are the same bytes
            layer = known.get(name) or _reorder(name, written[name][0], device.reorder)
            outputs = {
                s.tensor: device.peek(handle, s) for s in written.get(name, ()) if s.place.region == ARENA
            }
            if outputs.keys() != set(layer.outputs):  # a constant in another shape
                results = layer.compute([tensors[i] for i in layer.inputs])
                outputs = dict(zip(layer.outputs, results, strict=True))
            inputs = {p: tensors[i] for p, i in zip(layer.input_names(), layer.inputs, strict=True)}
            macs = int(layer.macs(*(specs.get(i) for i in layer.inputs)))
            tensors |= outputs
            made = tuple(specs[o].concrete for o in outputs)
            yield Visit(layer, inputs, outputs, made, kernel, plan.notes[name], threads, seconds, macs)
            for tensor in dead.get(name, ()):
                tensors.pop(tensor, None)


def _reorder(name: str, stored: Stored, type: str) -> Layer:
    """The layer of the plan's own that brings a tensor to another layout."""
    return layers[type](stored.tensor, name=name, outputs=[stored.tensor])


def as_run(plan: Plan) -> Net:
    """The net whose layers a plan's steps are named after: folded and fused, unless the device runs it as it is."""
    return apply(plan.net.computed) if device_of(plan.device).has_kernels else plan.net


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference in terms of the largest number; infinite for another shape or NaN on one side."""
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.size:
        return 0.0
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.abs(got.astype(np.float64) - wanted)
    difference[(got == wanted) | (np.isnan(got) & np.isnan(wanted))] = 0
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0) or 1.0
    error = float(difference.max() / scale)
    return error if error == error else float("inf")


def tell(plan: Plan, inputs: Mapping[str, np.ndarray], level: int) -> None:
    """Print a walk through a run on stderr: FBNET_DEBUG 2 to 4."""
    if not device_of(plan.device).can_step:
        return
    rows = [visit.cells(level) for visit in Steps(plan, inputs)]
    heads = ["layer", "writes", "kernel", "us", "GFLOP/s", "mean|y|", "range", "error"][: len(rows[0])]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in [heads, *rows]:
        cells = [
            c.rjust(w) if i in (3, 4, 5, 7) else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip(), file=sys.stderr)
