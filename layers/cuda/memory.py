"""memory: what a plan has on the card for all its sessions, and what each session has for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine import accelerator
from ...engine.memory import ALIGN, aligned
from ...engine.plan import Plan
from ...engine.tensor import Spec
from .launch import Code


class Loaded(accelerator.Loaded):
    """Modules of code, and one piece of memory with all constants."""

    def __init__(self, plan: Plan, here: Any):
        self.card = card = here
        self.modules: list[Any] = []
        self.codes: list[Code] = []
        self.functions: list[Any] = []
        self.memory = 0
        card.enter()
        for data in plan.objects:
            self._load(bytes(data))
        used = self.regions(plan)
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

    def __del__(self) -> None:
        try:
            self.card.enter()
            if self.memory:
                self.card.free(self.memory)
            for module in self.modules:
                self.card.unload(module)
        except Exception:  # the process ends, and the driver with it
            return


class CardArena(accelerator.Remote):
    """A session's memory on the card, and pinned memory on the host for the tensors that have names."""

    def __init__(self, plan: Plan, card: Any):
        self.card = card
        self.pins: list[np.ndarray] = []
        self.address = 0
        card.enter()
        super().__init__(plan)
        self.address = card.allocate(plan.arena_bytes + ALIGN)

    def _room(self, spec: Spec) -> np.ndarray:
        pinned = self.card.pinned(spec.nbytes)
        self.pins.append(pinned)
        return pinned[: spec.nbytes].view(spec.dtype.storage).reshape(spec.shape)

    def upload(self, stream: Any, names: Sequence[str]) -> None:
        """Copy named tensors to the card."""
        for place, array in self.travelling(names):
            self.card.upload(stream, self.address + place, array)

    def download(self, stream: Any, names: Sequence[str]) -> None:
        """Copy named tensors from the card."""
        for place, array in self.travelling(names):
            self.card.download(stream, self.address + place, array)

    def close(self) -> None:
        self.card.enter()
        self.views = {}
        for pinned in self.pins:
            self.card.unpin(pinned)
        self.pins = []
        if self.address:
            self.card.free(self.address)
        self.address = 0
