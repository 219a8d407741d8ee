"""Arena: the memory of one running plan, on the host. Devices that compute there build on it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .arguments import as_input
from .errors import DeviceError
from .layout import plain
from .memory import ALIGN
from .plan import ARENA, Place, Plan, Stored
from .tensor import Spec


class Arena:
    """A plan's arena and constants: arrays to read and write tensors by name, addresses for kernels."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.memory = self._allocate()
        self.constants = [plan.constant(index) for index in range(len(plan.constants))]
        self.unset = set(plan.net.inputs)  # those that were never written
        self.views = {name: self._view(place, spec) for name, (place, spec) in plan.tensors.items()}

    def _allocate(self) -> np.ndarray:
        """The arena's bytes."""
        nbytes = self.plan.arena_bytes
        try:
            memory = np.empty(nbytes + ALIGN, np.uint8)
        except MemoryError:
            raise DeviceError(f"{self.plan.net.name}: no memory for an arena of {nbytes:,} bytes") from None
        start = -memory.ctypes.data % ALIGN
        return memory[start : start + nbytes]

    def _view(self, place: Place, spec: Spec) -> np.ndarray:
        if place.region != ARENA:
            return self.constants[place.region - 1].reshape(spec.shape)
        stored = self.memory[place.offset : place.offset + spec.nbytes].view(spec.dtype.storage)
        return stored.reshape(spec.shape)

    @cached_property
    def addresses(self) -> list[int]:
        """The address of every region."""
        return [self.memory.ctypes.data, *(c.ctypes.data for c in self.constants)]

    def write(self, name: str, array: np.ndarray) -> None:
        """Set an input. Raises DeviceError, InputError if its name or shape is not the plan's."""
        if name not in self.plan.net.inputs:
            raise DeviceError(
                f"{self.plan.net.name} has no input {name!r}; it has {', '.join(self.plan.net.inputs)}"
            )
        spec = self.plan.tensors[name][1]
        array = as_input(name, spec, array)
        if array.shape != spec.shape:
            raise DeviceError(
                f"input {name!r} has shape {list(array.shape)}, but this plan is for {spec}: "
                f"call prepare with the new shape, or compile another plan"
            )
        self.views[name][...] = array
        self.unset.discard(name)

    def check_inputs(self) -> None:
        """Raises DeviceError if an input was never set, so that nobody computes with what lay in memory."""
        if self.unset:
            names = ", ".join(sorted(self.unset))
            raise DeviceError(f"{self.plan.net.name}: nobody has set {names}: call set_tensor before forward")

    def read(self, name: str) -> np.ndarray:
        """A copy of an input or output. Raises DeviceError if the plan does not keep that tensor."""
        net = self.plan.net
        if name not in net.outputs and name not in net.inputs:
            raise DeviceError(f"{net.name} has no output {name!r}; it has {', '.join(net.outputs)}")
        return self.views[name].copy()

    def peek(self, stored: Stored) -> np.ndarray:
        """A copy of what lies now where a tensor of the plan has its place, in the shape that the net gives it."""
        at = stored.place.offset
        array = self.memory[at : at + stored.nbytes].view(stored.spec.dtype.storage).reshape(stored.shape)
        return plain(array, stored.spec.shape, stored.layout).copy()

    def compute(self, layer_name: str) -> None:
        """Run one layer by its reference. Raises DeviceError if it fails or does not keep its promised shapes."""
        layer = self.plan.net[layer_name]
        inputs = [self.views[i] if i else None for i in layer.inputs]
        try:
            results = layer.compute(inputs)
        except (ValueError, IndexError, TypeError, ArithmeticError) as error:
            raise DeviceError(f"{layer}: its reference failed: {error}") from error
        for name, result in zip(layer.outputs, results, strict=True):
            view = self.views[name]
            if view.shape != result.shape:
                raise DeviceError(
                    f"{layer}: its reference made {list(result.shape)}, but infer said {list(view.shape)}"
                )
            view[...] = result
