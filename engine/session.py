"""Session: one running copy of a plan. It owns its arena and its threads; two sessions share nothing that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .device import Device, device_of
from .errors import DeviceError
from .net import Net
from .part import pieces
from .plan import Plan
from .settings import debug_level


class Session:
    """Set inputs, run, read outputs; for one thread at a time.

        with plan.session() as session:
            session.set_tensor("data", x)
            session.forward()
            y = session.get_tensor("prob")

    Also without `with`; then call close() when done, or leave it to the garbage collector.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self._device: Device = device_of(plan.device)
        self._handle: Any = self._device.init(plan)
        self._device.prepare(self._handle, plan.shapes())

    def prepare(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Be ready for inputs of these shapes: another plan is made (or found) if they are not this plan's."""
        self._device.prepare(self._open(), shapes)

    def set_tensor(self, name: str, array: np.ndarray) -> None:
        """Write an input. Raises DeviceError, InputError if its name, rank or shape is not the plan's."""
        self._device.set_tensor(self._open(), name, array)

    def forward(self) -> None:
        """Run every step."""
        self._device.forward(self._open())

    def get_tensor(self, name: str) -> np.ndarray:
        """A copy of an output (or input). Raises DeviceError for a tensor that the plan does not keep."""
        return self._device.get_tensor(self._open(), name)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Set every input, run, and read every output."""
        handle = self._open()
        for name, array in inputs.items():
            self._device.set_tensor(handle, name, array)
        self._device.forward(handle)
        return {name: self._device.get_tensor(handle, name) for name in self.plan.net.outputs}

    def close(self) -> None:
        """Give memory and threads back. Closing twice is nothing."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._device.destroy(handle)

    def _open(self) -> Any:
        if self._handle is None:
            raise DeviceError(
                f"this session of {self.plan.net.name} is closed: make another with plan.session()"
            )
        return self._handle

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


def run_once(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a net on the cpu, piece by piece, with idle sessions of the plans for these shapes, or new ones."""
    tensors = dict(inputs)
    for piece in pieces(net):
        tensors |= _run_piece(piece, {name: tensors[name] for name in piece.inputs})
    return {name: tensors[name] for name in net.outputs}


def _run_piece(net: Net, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    plan = net.compile(shapes={name: array.shape for name, array in inputs.items()})
    try:
        session = plan.idle.pop()  # a deque: safe from several threads
    except IndexError:
        session = Session(plan)
    outputs = session.run(inputs)
    plan.idle.append(session)
    if debug_level() >= 2:
        from .steps import tell

        tell(plan, inputs, debug_level())
    return outputs
