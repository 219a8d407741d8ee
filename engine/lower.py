"""lower: pick a kernel for every layer.

Of the kernels registered for a layer's type, device and dtype, highest score first, the first one that does not refuse.
Why the others were refused is kept, so that nothing falls to something slow in silence: a layer that no kernel serves
runs by its reference on the host, and a warning says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .device import Device
from .kernel import Call, Kernel, Stage, candidates
from .layer import Layer
from .net import Net
from .tensor import Spec


class HostFallback(UserWarning):
    """A layer runs by its numpy reference, since the device has no kernel for it."""


@dataclass(frozen=True)
class Lowered:
    """A layer and how it will be computed: the stages of a kernel, or, without one, its reference."""

    layer: Layer
    kernel: Kernel | None
    stages: list[Stage]
    why: str


def lower(
    net: Net, device: Device, dtype: str, specs: Mapping[str, Spec], threads: int, only: str = ""
) -> list[Lowered]:
    """Choose for every layer of the net that does any work. `specs` are concrete. Raises CompileError.

    only  a kernel's registered name: no other is considered, as when it is to be tested
    """
    return [
        _choose(layer, device, dtype, call_of(layer, net, specs, threads, device), only)
        for layer in net.layers
        if not layer.alias
    ]


def call_of(layer: Layer, net: Net, specs: Mapping[str, Spec], threads: int, device: Device) -> Call:
    """What a kernel may know about a layer: its specs and constants by the names that `reference` uses."""
    names = [*layer.parameters, *layer.input_names()[len(layer.parameters) :]]
    given = dict(zip(layer.input_names(), layer.inputs, strict=True))
    results = layer.results or tuple(f"y{i}" for i in range(len(layer.outputs)))
    found: dict[str, Spec | None] = {name: specs[given[name]] if given.get(name) else None for name in names}
    found |= {result: specs[output] for result, output in zip(results, layer.outputs, strict=True)}
    constants = _Constants({name: tensor for name, tensor in given.items() if tensor in net.constants}, net)
    return Call(layer, found, constants, threads, device.lanes, device.registers)


class _Constants(Mapping[str, np.ndarray]):
    """A layer's constants by parameter name, each fetched only when a kernel asks for it."""

    def __init__(self, names: Mapping[str, str], net: Net):
        self.names, self.net = names, net

    def __getitem__(self, parameter: str) -> np.ndarray:
        data = self.net.constants[self.names[parameter]].data
        assert data is not None
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _choose(layer: Layer, device: Device, dtype: str, call: Call, only: str) -> Lowered:
    if not device.has_kernels:
        return Lowered(layer, None, [], f"{device.name} runs every layer by its reference")
    refusals: list[str] = []
    for kernel in candidates(layer, device.name, dtype):
        if only not in ("", kernel.name):
            continue
        reason = kernel.refuses(call)
        if not reason:
            why = f"score {kernel.score:g}" + "".join(f"; not {r}" for r in refusals)
            return Lowered(layer, kernel, kernel.stages(call), why)
        refusals.append(f"{kernel.function.__name__}: {reason}")
    why = "; ".join(refusals) or f"no kernel for {layer.type} on {device.name} in {dtype}"
    warn_of_fallback(layer, why)
    return Lowered(layer, None, [], why)


def warn_of_fallback(layer: Layer, why: str) -> None:
    """Say aloud that a layer runs on the host; also when its plan was made in another process."""
    warnings.warn(f"{layer} runs by its numpy reference: {why}", HostFallback, stacklevel=2)
