"""memory: what a plan has on the device for all its sessions, and what each session has for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from ...engine.arena import Arena
from ...engine.layout import plain
from ...engine.memory import ALIGN
from ...engine.plan import ARENA, Place, Plan, Stored
from ...engine.tensor import Spec
from .chip import Chip
from .launch import Code


class Loaded:
    """A plan's programs and constants on a device, once for all its sessions."""

    _of: ClassVar[WeakKeyDictionary[Plan, Loaded]] = WeakKeyDictionary()
    _lock = threading.Lock()

    def __init__(self, plan: Plan, chip: Chip):
        objects = [Code.read(bytes(data)) for data in plan.objects]
        self.codes = [code for code, _ in objects]
        self.programs = [chip.load(program) for _, program in objects]
        used = {region for step in plan.steps for _, region in step.relocations} - {ARENA}
        self.buffers: dict[int, Any] = {}
        for region in sorted(used):
            array = np.ascontiguousarray(plan.constant(region - 1))
            self.buffers[region] = chip.buffer(array.nbytes, f"constants of {array.nbytes:,} bytes", array)

    @classmethod
    def of(cls, plan: Plan, chip: Chip) -> Loaded:
        """The plan's, made if this is its first session."""
        with cls._lock:
            if plan not in cls._of:
                cls._of[plan] = cls(plan, chip)
            return cls._of[plan]


class QueueArena(Arena):
    """A session's memory on the device, its queue, and arrays on the host for the tensors that have names."""

    def __init__(self, plan: Plan, chip: Chip):
        self.chip = chip
        super().__init__(plan)
        self.buffer = chip.buffer(plan.arena_bytes + ALIGN, f"an arena of {plan.arena_bytes:,} bytes")
        self.queue = chip.queue()

    def _allocate(self) -> np.ndarray:
        return np.empty(0, np.uint8)  # nothing is computed on the host

    def _view(self, place: Place, spec: Spec) -> np.ndarray:
        if place.region != ARENA:
            return super()._view(place, spec)
        return np.empty(spec.shape, spec.dtype.storage)

    def upload(self, names: Iterable[str]) -> None:
        """Ask for named tensors to be copied to the device; those that are constants are there."""
        for name in names:
            place, view = self.plan.tensors[name][0], self.views[name]
            if place.region == ARENA and view.nbytes:
                self._copy(self.buffer, view, dst_offset=place.offset)

    def download(self, names: Iterable[str]) -> None:
        """Ask for named tensors to be copied from the device."""
        for name in names:
            place, view = self.plan.tensors[name][0], self.views[name]
            if place.region == ARENA and view.nbytes:
                self._copy(view, self.buffer, src_offset=place.offset)

    def peek(self, stored: Stored) -> np.ndarray:
        array = np.empty(stored.shape, stored.spec.dtype.storage)
        if array.nbytes:
            self._copy(array, self.buffer, src_offset=stored.place.offset)
        self.wait()
        return plain(array, stored.spec.shape, stored.layout)

    def _copy(self, to: Any, source: Any, **place: int) -> None:
        with self.chip.asked("a copy"):
            self.chip.cl.enqueue_copy(self.queue, to, source, is_blocking=False, **place)

    def wait(self) -> None:
        """Until all is done that the queue was asked for."""
        with self.chip.asked("a run"):
            self.queue.finish()

    def close(self) -> None:
        self.queue.finish()
        self.buffer.release()
        self.views = {}
