"""memory: what a plan has on the card for all its sessions, and what each session has for itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from ...engine.arena import Arena
from ...engine.memory import ALIGN, aligned
from ...engine.plan import ARENA, Place, Plan
from ...engine.tensor import Spec
from .launch import Code


class Loaded:
    """A plan's code and constants on a card, once for all its sessions."""

    _of: ClassVar[WeakKeyDictionary[Plan, Loaded]] = WeakKeyDictionary()
    _lock = threading.Lock()

    def __init__(self, plan: Plan, card: Any):
        self.card = card
        self.modules: list[Any] = []
        self.codes: list[Code] = []
        self.functions: list[Any] = []
        self.memory = 0
        card.enter()
        for data in plan.objects:
            self._load(bytes(data))
        used = sorted({region for step in plan.steps for _, region in step.relocations} - {ARENA})
        self.addresses = {}
        sizes = [aligned(plan.constant(region - 1).nbytes) for region in used]
        self.memory = card.allocate(sum(sizes))
        at = self.memory
        stream = card.stream()
        for region, size in zip(used, sizes, strict=True):
            self.addresses[region] = at
            array = np.ascontiguousarray(plan.constant(region - 1))
            card.upload(stream, at, array)
            card.wait(stream)  # the array may be a copy, which goes now
            at += size
        card.close(stream)

    def _load(self, data: bytes) -> None:
        code, image = Code.read(data)
        if code.language == "python":
            from .codegen import load_simulated

            self.functions.append(load_simulated(image.decode()))
        else:
            module, function = self.card.load(image, code.name)
            self.modules.append(module)
            self.functions.append(function)
        self.codes.append(code)

    @classmethod
    def of(cls, plan: Plan, card: Any) -> Loaded:
        """The plan's, made if this is its first session."""
        with cls._lock:
            if plan not in cls._of:
                cls._of[plan] = cls(plan, card)
            return cls._of[plan]

    def __del__(self) -> None:
        try:
            self.card.enter()
            if self.memory:
                self.card.free(self.memory)
            for module in self.modules:
                self.card.unload(module)
        except Exception:  # the process ends, and the driver with it
            return


class CardArena(Arena):
    """A session's memory on the card, and pinned memory on the host for the tensors that have names."""

    def __init__(self, plan: Plan, card: Any):
        self.card = card
        self.pins: list[np.ndarray] = []
        self.address = 0
        card.enter()
        super().__init__(plan)
        self.address = card.allocate(plan.arena_bytes + ALIGN)

    def _allocate(self) -> np.ndarray:
        return np.empty(0, np.uint8)  # nothing is computed on the host

    def _view(self, place: Place, spec: Spec) -> np.ndarray:
        if place.region != ARENA:
            return super()._view(place, spec)
        pinned = self.card.pinned(spec.nbytes)
        self.pins.append(pinned)
        return pinned[: spec.nbytes].view(spec.dtype.storage).reshape(spec.shape)

    def upload(self, stream: Any, names: Sequence[str]) -> None:
        """Copy named tensors to the card; those that are constants are there."""
        self._copy(self.card.upload, stream, names)

    def download(self, stream: Any, names: Sequence[str]) -> None:
        """Copy named tensors from the card."""
        self._copy(self.card.download, stream, names)

    def _copy(self, copy: Any, stream: Any, names: Sequence[str]) -> None:
        for name in names:
            place, view = self.plan.tensors[name][0], self.views[name]
            if place.region == ARENA and view.nbytes:
                copy(stream, self.address + place.offset, view)

    def close(self) -> None:
        self.card.enter()
        self.views = {}
        for pinned in self.pins:
            self.card.unpin(pinned)
        self.pins = []
        if self.address:
            self.card.free(self.address)
        self.address = 0
