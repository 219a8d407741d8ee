"""The reference device: every layer by its numpy definition. Slow, plain, and what every other device is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...engine.arena import Arena
from ...engine.compile import compile_net
from ...engine.device import Device, device
from ...engine.errors import DeviceError
from ...engine.plan import Plan, Stored


class Handle:
    """A plan and, once prepared, its arena."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.arena: Arena | None = None


@device("reference")
class Reference(Device):
    """Runs `layer.reference` for each layer in turn."""

    has_kernels = False
    can_step = True

    def seconds(self, macs: int, nbytes: int) -> float:
        """numpy's calls, and a tenth of what its product could do: most definitions are loops around it."""
        return 2e-5 + macs / 1e9 + nbytes / 1e9

    def init(self, plan: Plan) -> Handle:
        return Handle(plan)

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        handle.plan = compile_net(plan.net, self.name, plan.dtype, plan.threads, shapes)
        handle.arena = Arena(handle.plan)

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        _prepared(handle).write(name, array)

    def forward(self, handle: Handle) -> None:
        arena = _prepared(handle)
        arena.check_inputs()
        for step in handle.plan.steps:
            arena.compute(step.layer)

    def step(self, handle: Handle, index: int) -> None:
        _prepared(handle).compute(handle.plan.steps[index].layer)

    def peek(self, handle: Handle, stored: Stored) -> np.ndarray:
        return _prepared(handle).peek(stored)

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        return _prepared(handle).read(name)

    def destroy(self, handle: Handle) -> None:
        handle.arena = None


def _prepared(handle: Handle) -> Arena:
    if handle.arena is None:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.arena
