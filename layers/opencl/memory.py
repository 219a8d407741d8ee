"""memory: what a plan has on the device for all its sessions, and what each session has for itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...engine import accelerator
from ...engine.layout import plain
from ...engine.memory import ALIGN
from ...engine.plan import Plan, Stored
from .chip import Chip
from .launch import Code


class Loaded(accelerator.Loaded):
    """Programs, and a buffer for each constant."""

    def __init__(self, plan: Plan, here: Chip):
        objects = [Code.read(bytes(data)) for data in plan.objects]
        self.codes = [code for code, _ in objects]
        self.programs = [here.load(program) for _, program in objects]
        self.buffers: dict[int, Any] = {}
        for region in self.regions(plan):
            array = np.ascontiguousarray(plan.constant(region - 1))
            self.buffers[region] = here.buffer(array.nbytes, f"constants of {array.nbytes:,} bytes", array)


class QueueArena(accelerator.Remote):
    """A session's memory on the device, its queue, and arrays on the host for the tensors that have names."""

    def __init__(self, plan: Plan, chip: Chip):
        self.chip = chip
        super().__init__(plan)
        self.buffer = chip.buffer(plan.arena_bytes + ALIGN, f"an arena of {plan.arena_bytes:,} bytes")
        self.queue = chip.queue()

    def upload(self, names: Iterable[str]) -> None:
        """Ask for named tensors to be copied to the device."""
        for place, array in self.travelling(names):
            self._copy(self.buffer, array, dst_offset=place)

    def download(self, names: Iterable[str]) -> None:
        """Ask for named tensors to be copied from the device."""
        for place, array in self.travelling(names):
            self._copy(array, self.buffer, src_offset=place)

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
