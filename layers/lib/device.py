"""The device lib: one model, compiled, behind the six calls of a shared library.

    net.compile(device="lib:./libnet.so")    a library that is there: a vendor's compiler made it of a model, or of a
                                             wrapper around its SDK; or `fbnet compile` did
    net.compile(device="lib")                one that is made of this net on the way, for this machine

The net that is run says what its inputs and outputs are; the library computes all that is in between.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from ...engine.arguments import as_input
from ...engine.compile import compile_net
from ...engine.device import Device, LibraryMaker, device, devices
from ...engine.errors import DeviceError, FbnetError
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.plan import ARENA, Place, Plan, Step
from ...engine.tensor import Spec
from .calls import MAX_AXES, Calls
from .calls import Handle as Number


class Handle:
    """A plan, its library, and the library's session for it."""

    def __init__(self, plan: Plan, calls: Calls, number: Number):
        self.plan, self.calls, self.number, self.open = plan, calls, number, True


@device("lib")
class Lib(Device):
    """One library; `of` gives the one in a file. Without a file, each net becomes a library of its own."""

    has_kernels = False
    compiled = True
    joins = True

    def __init__(self, path: str = ""):
        self.path = path
        if path:
            self.name = f"lib:{path}"  # type: ignore[misc]

    def of(self, what: str) -> Device:
        return Lib(what)

    def available(self) -> bool:
        """Whether there is a file, or what it takes to make libraries."""
        try:
            return bool(self.path or self.maker)
        except FbnetError:
            return False

    @property
    def maker(self) -> LibraryMaker:
        """What makes a library of a net. Raises CompileError."""
        return devices["cpu"].library_maker()

    @cached_property
    def calls(self) -> Calls:
        """The library in the file, loaded. Raises DeviceError."""
        return Calls(self.path)

    @property
    def target(self) -> str:
        """Which file it is: a library that is made anew is another device. Without one, what libraries are made for."""
        if not self.path:
            return self.maker and devices["cpu"].target
        self.calls  # noqa: B018 (raises if there is none)
        return f"file of {datetime.fromtimestamp(Path(self.path).stat().st_mtime).isoformat(' ')}"

    def reads(self, net: Net) -> Sequence[str]:
        """The library's inputs. If it cannot say, it is taken for the whole net."""
        if not self.path:
            return tuple(net.inputs)
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

    def refuses(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> str:
        if self.path:
            return super().refuses(layer, net, specs)
        for name in (*layer.inputs, *layer.outputs):
            if name and name not in net.constants and specs[name].ndim > MAX_AXES:
                return f"{name} has {specs[name].ndim} axes; a library's tensors have {MAX_AXES}"
        return devices["cpu"].refuses(layer, net, specs)

    def cost(self, net: Net, shapes: Mapping[str, Sequence[int]], threads: int) -> float:
        return devices["cpu"].cost(net, shapes, threads)

    def whole_plan(self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec]) -> Plan:
        """All layers are one step, which is the library's; if that is made here, it is known what is in it."""
        tensors = {
            name: (Place(ARENA, 0), specs[name].concrete)
            for name in dict.fromkeys([*net.inputs, *net.outputs])
        }
        step = Step(net.name, f"lib/{dtype}/{Path(self.path).name}/forward", 0)
        plan = Plan(net, self.name, dtype, self.target, threads, tensors, [], [], [step], 0)
        if self.path:
            return plan
        shapes = {name: tensors[name][1].shape for name in net.inputs}
        with tempfile.TemporaryDirectory() as folder:
            library, inside = self.maker(net, shapes, threads, Path(folder))
            code = library.read_bytes()
        steps = [
            Step(s.layer, f"lib/{s.kernel.split('/', 1)[1]}", 0, threads=s.threads) for s in inside.steps
        ]
        return replace(plan, objects=[code], steps=steps, arena_bytes=inside.arena_bytes, notes=inside.notes)

    def _calls_of(self, plan: Plan) -> Calls:
        """A plan's library, loaded. Once it is, its file need not be there."""
        if self.path:
            return self.calls
        kept = vars(plan)
        if "_calls" not in kept:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"lib{plan.net.name}.so"
                path.write_bytes(plan.objects[0])
                kept["_calls"] = Calls(path, f"{plan.net.name} as a library")
        return kept["_calls"]

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        calls = self._calls_of(plan)
        return Handle(plan, calls, calls.init(plan.threads, self._weights() if self.path else None))

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        if {k: tuple(v) for k, v in shapes.items()} != plan.shapes():
            plan = compile_net(plan.net, self, plan.dtype, plan.threads, shapes)
        number = _open(handle)
        if self._calls_of(plan) is not handle.calls:
            self.destroy(handle)
            vars(handle).update(vars(self.init(plan)))
            number = handle.number
        handle.calls.prepare(number, plan.shapes())
        self._compare(handle, plan)
        handle.plan = plan

    def _compare(self, handle: Handle, plan: Plan) -> None:
        """Raises DeviceError if the library is not for this net: if its tensors are others."""
        tensors = handle.calls.tensors(handle.number)
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
        array = as_input(name, spec, array)
        if array.shape != spec.shape:
            raise DeviceError(f"input {name!r} has shape {list(array.shape)}, but this plan is for {spec}")
        handle.calls.set_tensor(number, name, array)

    def forward(self, handle: Handle) -> None:
        handle.calls.forward(_open(handle))

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        number, tensors = _open(handle), handle.plan.tensors
        if name not in tensors:
            raise DeviceError(f"{handle.plan.net.name} has no output {name!r}; it has {', '.join(tensors)}")
        spec = tensors[name][1]
        array = np.empty(spec.shape, spec.dtype.storage)
        handle.calls.get_tensor(number, name, array)
        return array

    def destroy(self, handle: Handle) -> None:
        if handle.open:
            handle.open = False
            handle.calls.destroy(handle.number)


def _open(handle: Handle) -> Number:
    if not handle.open:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.number
