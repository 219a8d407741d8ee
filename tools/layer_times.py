"""Where the time of one plan goes: each layer by itself, with its kernel, its rate and why that kernel was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.device import Device, devices
from ..engine.errors import InputError
from ..engine.net import Net
from ..engine.rewrite import apply
from .numbers import random_inputs


@dataclass
class LayerTime:
    """A layer of the plan: what computes it, and how fast.

    seconds  the median of its steps, together
    macs     multiply-adds; 0 for layers that are not counted
    bytes    of its outputs
    """

    layer: str
    type: str
    kernel: str
    why: str
    macs: int
    bytes: int
    seconds: float = 0.0

    @property
    def gflops(self) -> float:
        """10^9 operations a second; a multiply-add is two."""
        return 2 * self.macs / self.seconds / 1e9 if self.seconds else 0.0

    def described(self, peak: float | None) -> dict[str, Any]:
        """For JSON. peak: GFLOP/s, None if it is not known."""
        share = self.gflops / peak if self.macs and peak else None
        return vars(self) | {
            "ms": 1e3 * self.seconds,
            "gflops": self.gflops if self.macs else None,
            "share": share,
        }


def layer_times(
    net: Net, shapes: Mapping[str, tuple[int, ...]], threads: int, rounds: int, device: str = "cpu"
) -> list[LayerTime]:
    """Every layer of a device's plan for these shapes, in order; a layer that is two steps is one row."""
    plan = net.compile(device=device, threads=threads, shapes=shapes)
    lean = apply(net)
    specs = lean.specs(shapes)
    known = {layer.name: layer for layer in lean.layers}
    target = devices[device]
    if type(target).time_steps is Device.time_steps:
        raise InputError(f"device {device!r} does not time its steps: cpu, cuda and opencl do")
    handle = target.init(plan)
    try:
        target.prepare(handle, plan.shapes())
        given = {name: spec.replace(shape=plan.shapes()[name]) for name, spec in net.inputs.items()}
        for name, array in random_inputs(given).items():
            target.set_tensor(handle, name, array)
        seconds = target.time_steps(handle, rounds)
    finally:
        target.destroy(handle)
    rows: dict[str, LayerTime] = {}
    for step, spent in zip(plan.steps, seconds, strict=True):
        if step.layer not in rows:
            layer = known.get(step.layer)  # a plan may have steps of its own, as for changing a layout
            macs = layer.macs(*(specs.get(i) for i in layer.inputs)) if layer else 0
            nbytes = sum(specs[o].nbytes for o in layer.outputs) if layer else 0
            kernel = step.kernel.rsplit("/", 1)[-1]
            why = plan.notes.get(step.layer, "")
            rows[step.layer] = LayerTime(
                step.layer, layer.type if layer else "", kernel, why, int(macs), nbytes
            )
        rows[step.layer].seconds += spent
    return list(rows.values())
