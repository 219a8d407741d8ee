"""accelerator: a device with a memory of its own, beside the host: what such devices have in common.

A session's arena is there; named tensors are copied to it and from it. A layer without a kernel runs on the host by its
reference, between the steps that run there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from .arena import Arena
from .compile import compile_net
from .device import Device
from .errors import DeviceError
from .plan import ARENA, Place, Plan
from .tensor import Spec


class Remote(Arena):
    """An arena that is elsewhere: on the host there are only arrays for the tensors that have names."""

    def _allocate(self) -> np.ndarray:
        return np.empty(0, np.uint8)  # nothing is computed on the host

    def _view(self, place: Place, spec: Spec) -> np.ndarray:
        return super()._view(place, spec) if place.region != ARENA else self._room(spec)

    def _room(self, spec: Spec) -> np.ndarray:
        """An array on the host for a tensor. Raises DeviceError."""
        try:
            return np.empty(spec.shape, spec.dtype.storage)
        except MemoryError:
            raise DeviceError(f"{self.plan.net.name}: the host has no memory for {spec}") from None

    def travelling(self, names: Iterable[str]) -> Iterable[tuple[int, np.ndarray]]:
        """(place in the arena, array on the host) of named tensors; those that are constants are there already."""
        for name in names:
            place, view = self.plan.tensors[name][0], self.views[name]
            if place.region == ARENA and view.nbytes:
                yield place.offset, view


class Loaded:
    """A plan's code and constants on a device, there once for all its sessions. `here` is where plans run."""

    _of: ClassVar[WeakKeyDictionary[Plan, Any]]
    _lock: ClassVar[threading.Lock]

    def __init_subclass__(cls) -> None:
        cls._of, cls._lock = WeakKeyDictionary(), threading.Lock()

    def __init__(self, plan: Plan, here: Any):
        raise NotImplementedError

    @classmethod
    def of(cls, plan: Plan, here: Any) -> Any:
        """The plan's, made if this is its first session."""
        with cls._lock:
            if plan not in cls._of:
                cls._of[plan] = cls(plan, here)
            return cls._of[plan]

    @staticmethod
    def regions(plan: Plan) -> list[int]:
        """The regions of a plan's constants that its steps read."""
        return sorted({region for step in plan.steps for _, region in step.relocations} - {ARENA})


class Handle:
    """One session: its plan, where it runs, and its arena once it is prepared."""

    arena: Any = None

    def __init__(self, plan: Plan, here: Any):
        self.plan, self.here = plan, here

    @property
    def prepared(self) -> Any:
        """The arena. Raises DeviceError if there is none yet, or none any more."""
        if self.arena is None:
            raise DeviceError("this session is not prepared, or is closed")
        return self.arena


class Accelerator(Device):
    """Every step a kernel over there; layers without one run by their reference on the host in between."""

    host_threads = False
    halves = True
    border = 2e-5, 1e10  # to ask the driver and to wait for it; about half of a PCIe 4.0 ×16's rate
    handle: ClassVar[type[Handle]]

    def here(self) -> Any:
        """Where plans run: it has a `target`. Raises DeviceError if there is nothing of the kind."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        return self.here().target

    def available(self) -> bool:
        try:
            return bool(self.target)
        except DeviceError:
            return False

    def init(self, plan: Plan) -> Any:
        here = self.here()
        if plan.target != here.target:
            raise DeviceError(f"this plan is for {plan.target}, but here is {here.target}: compile it here")
        return self.handle(plan, here)

    def plan_for(self, handle: Any, shapes: Mapping[str, Sequence[int]]) -> Plan:
        """The handle's plan; another one, of the same net, if it is in use or the shapes are others."""
        plan = handle.plan
        if handle.arena is None and {k: tuple(v) for k, v in shapes.items()} == plan.shapes():
            return plan
        return compile_net(plan.net, self.name, plan.dtype, plan.threads, shapes)

    def set_tensor(self, handle: Any, name: str, array: np.ndarray) -> None:
        handle.prepared.write(name, array)

    def get_tensor(self, handle: Any, name: str) -> np.ndarray:
        return handle.prepared.read(name)


def given_to(plan: Plan, layer_name: str) -> list[str]:
    """The tensors that must come to the host before a layer's reference runs there: inputs of the net are there."""
    return [name for name in plan.net[layer_name].inputs if name and name not in plan.net.inputs]
