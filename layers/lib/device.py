"""The device 'lib:./libnet.so': one model, compiled elsewhere, behind the six calls of a shared library.

A vendor's compiler makes a library of a model, or of a wrapper around its SDK; so does `fbnet compile`. The net that
is run here says what its inputs and outputs are; the library computes all that is in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from ...engine.compile import compile_net
from ...engine.device import Device, device
from ...engine.errors import DeviceError
from ...engine.net import Net, as_input
from ...engine.plan import ARENA, Place, Plan, Step
from ...engine.tensor import Spec
from .calls import Calls
from .calls import Handle as Number


class Handle:
    """A plan, and the library's session for it."""

    def __init__(self, plan: Plan, number: Number):
        self.plan, self.number, self.open = plan, number, True


@device("lib")
class Lib(Device):
    """One library; `of` gives the one in a file."""

    has_kernels = False
    compiled = True
    host_threads = False

    def __init__(self, path: str = ""):
        self.path = path
        if path:
            self.name = f"lib:{path}"  # type: ignore[misc]

    def of(self, what: str) -> Device:
        return Lib(what)

    def available(self) -> bool:
        return bool(self.path)

    @cached_property
    def calls(self) -> Calls:
        """The library, loaded. Raises DeviceError."""
        if not self.path:
            raise DeviceError("say which library is the device: lib:./libnet.so")
        return Calls(self.path)

    @property
    def target(self) -> str:
        """Which file it is: a library that is made anew is another device."""
        self.calls  # noqa: B018 (raises if there is none)
        return f"file of {datetime.fromtimestamp(Path(self.path).stat().st_mtime).isoformat(' ')}"

    def reads(self, net: Net) -> Sequence[str]:
        """The library's inputs. If it cannot say, it is taken for the whole net."""
        number = self.calls.init(1, self._weights())
        try:
            tensors = self.calls.tensors(number)
        finally:
            self.calls.destroy(number)
        return tuple(net.inputs if tensors is None else (t.name.decode() for t in tensors if not t.output))

    def _weights(self) -> Path | None:
        """The file of weights that lies beside the library, if there is one: libnet.so's is net.weights."""
        path = Path(self.path)
        beside = path.with_name(path.stem.removeprefix("lib") + ".weights")
        return beside if beside.is_file() else None

    def whole_plan(self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec]) -> Plan:
        """All layers are one step, which is the library's."""
        tensors = {
            name: (Place(ARENA, 0), specs[name].concrete)
            for name in dict.fromkeys([*net.inputs, *net.outputs])
        }
        step = Step(net.name, f"lib/{dtype}/{Path(self.path).name}/forward", 0)
        return Plan(net, self.name, dtype, self.target, threads, tensors, [], [], [step], 0)

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        return Handle(plan, self.calls.init(plan.threads, self._weights()))

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        if {k: tuple(v) for k, v in shapes.items()} != plan.shapes():
            plan = compile_net(plan.net, self, plan.dtype, plan.threads, shapes)
        self.calls.prepare(_open(handle), plan.shapes())
        self._compare(handle, plan)
        handle.plan = plan

    def _compare(self, handle: Handle, plan: Plan) -> None:
        """Raises DeviceError if the library is not for this net: if its tensors are others."""
        tensors = self.calls.tensors(handle.number)
        if tensors is None:
            return
        has = {
            t.name.decode(): f"{t.dtype.decode()}{list(t.shape[: t.axes])}".replace(" ", "") for t in tensors
        }
        for name, (_, spec) in plan.tensors.items():
            wanted = f"{spec.dtype}{list(map(int, spec.shape))}".replace(" ", "")
            if has.get(name) != wanted:
                known = ", ".join(f"{n} {s}" for n, s in has.items())
                raise DeviceError(
                    f"{self.path} was not compiled from {plan.net.name}, whose {name} is {wanted}: it has {known}"
                )

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        number, net = _open(handle), handle.plan.net
        if name not in net.inputs:
            raise DeviceError(f"{net.name} has no input {name!r}; it has {', '.join(net.inputs)}")
        spec = handle.plan.tensors[name][1]
        array = np.ascontiguousarray(as_input(name, spec, array), spec.dtype.storage)
        if array.shape != spec.shape:
            raise DeviceError(f"input {name!r} has shape {list(array.shape)}, but this plan is for {spec}")
        self.calls.set_tensor(number, name, array)

    def forward(self, handle: Handle) -> None:
        self.calls.forward(_open(handle))

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        number, tensors = _open(handle), handle.plan.tensors
        if name not in tensors:
            raise DeviceError(f"{handle.plan.net.name} has no output {name!r}; it has {', '.join(tensors)}")
        spec = tensors[name][1]
        array = np.empty(spec.shape, spec.dtype.storage)
        self.calls.get_tensor(number, name, array)
        return array

    def destroy(self, handle: Handle) -> None:
        if handle.open:
            handle.open = False
            self.calls.destroy(handle.number)


def _open(handle: Handle) -> Number:
    if not handle.open:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.number
