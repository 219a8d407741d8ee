"""Device: the six calls behind which every target sits, and what a target adds so that plans can be made for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import CompileError, DeviceError
from .kernel import Parameter
from .layer import Layer
from .net import Net
from .plan import Plan, Stored
from .registry import Registry
from .settings import tuning
from .tensor import Spec


@dataclass(frozen=True)
class Span:
    """A thread's work on its share of a step: `start` and `end` in seconds since the run began."""

    step: int
    thread: int
    share: int
    start: float
    end: float


LibraryMaker = Callable[[Net, Mapping[str, Sequence[int]], int, Path], tuple[Path, Plan]]
"""(net, shapes, threads, folder to write into) -> the library, and the plan that it runs."""


class Device:
    """A place where plans run. One instance a process; what belongs to a run is in the handle.

    The six calls are the whole interface between a Session and a target:

        handle = init(plan)               everything that does not depend on a run: code, constants
        prepare(handle, shapes)           memory for inputs of these shapes; again, to change them
        set_tensor(handle, name, array)   write an input
        forward(handle)                   run
        get_tensor(handle, name)          read an output, as an array of its own
        destroy(handle)                   give everything back

    A handle belongs to one thread at a time; different handles share nothing that changes.
    """

    name: ClassVar[str] = ""
    has_kernels: ClassVar[bool] = True  # False: every layer runs by its reference
    lanes: int = (
        8  # fp32 numbers in a vector register, and how many of those: what kernels pack constants for
    )
    registers: int = 16
    halves: bool = False  # whether kernels may read constants in fp16
    dots: int = 2  # small integers that a lane multiplies and adds up in one instruction: 2 int16, or 4 bytes
    shift: int = (
        0  # what is to be added to each of four bytes first: 128 where the instruction reads them unsigned
    )
    host_threads: ClassVar[bool] = True  # False: a plan's number of threads changes nothing
    compiled: ClassVar[bool] = False  # True: it runs models that are compiled before, as a whole
    rounds: ClassVar[bool] = False  # True: a batch is computed a few images at a time, as they fit its caches
    joins: ClassVar[bool] = False  # True: compiling takes long; nets that share no tensor can be one model
    path: str = ""  # of the one model that it runs, if that was compiled elsewhere; else it runs any net
    can_time: ClassVar[bool] = False  # True: time_steps works, so that kernels can be chosen by measuring
    can_step: ClassVar[bool] = False  # True: step and peek work, so that one can look on while a net runs
    border: tuple[float, float] = (
        0.0,
        1e10,
    )  # what a copy to or from the host takes: seconds, and bytes a second
    reorder: ClassVar[str] = ""  # type of the layer that brings a tensor from one layout to another

    def available(self) -> bool:
        """Whether plans can run here and now. Where not, what is tried on every device leaves this one out."""
        return True

    def of(self, what: str) -> Device:
        """The device 'name:what' of a kind of which there are many. Raises DeviceError."""
        raise DeviceError(f"there is one device {self.name!r}: ask for it without {what!r}")

    # -- making plans --------------------------------------------------------------------------------------

    @property
    def target(self) -> str:
        """What code is generated for, '' if none is. Part of a plan's key."""
        return ""

    def reads(self, net: Net) -> Sequence[str]:
        """The tensors that a run of the net begins with; a compiled model may be of its last layers only."""
        return tuple(net.inputs)

    def whole_plan(self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec]) -> Plan:
        """The plan of a net for a device with a compiled model: specs are for the shapes at hand."""
        raise NotImplementedError

    def load_kernels(self) -> None:
        """Import the modules that register this device's kernels. Called when something must be compiled."""

    def compile_kernel(self, function: Callable, parameters: Sequence[Parameter]) -> tuple[str, bytes]:
        """A kernel function -> (key, object). Raises CompileError."""
        raise NotImplementedError

    def runtime_objects(self) -> list[bytes]:
        """Objects that every plan needs besides its kernels, like a replay loop; they come last in a plan."""
        return []

    def library_maker(self) -> LibraryMaker:
        """What makes a net a shared library of the six calls. Raises CompileError if there is nothing here that can."""
        raise CompileError(f"device {self.name!r} makes no libraries: cpu does")

    def refuses(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> str:
        """Why this device does not compute a layer, '' if it does. Asked when a net is split; specs are concrete."""
        if self.path:
            return f"{self.name} runs one model, whole"
        if not self.has_kernels or layer.alias:
            return ""
        from .kernel import candidates
        from .lower import call_of

        self.load_kernels()
        call, reasons = call_of(layer, net, specs, 1, self), []
        for kernel in candidates(layer, self.name, "fp32"):
            why = kernel.refuses(call)
            if not why:
                return ""
            reasons.append(f"{kernel.name.split('/')[-1]}: {why}")
        return "; ".join(reasons) or f"no kernel for {layer.type}"

    def cost(self, net: Net, shapes: Mapping[str, Sequence[int]], threads: int) -> float:
        """Seconds of one run of a net, to split it by: measured, if kernels are chosen so, else estimated."""
        if self.can_time and tuning():
            plan = net.compile(device=self, threads=threads, shapes=shapes)
            with plan.session() as session:
                for name in net.inputs:
                    spec = plan.tensors[name][1]
                    session.set_tensor(name, np.zeros(spec.shape, spec.dtype.storage))
                return sum(self.time_steps(session._handle, 3))
        specs = {name: spec.concrete for name, spec in net.specs(shapes).items()}
        total = 0.0
        for layer in net.layers:
            given = [specs.get(name) for name in layer.inputs]
            touched = sum(spec.nbytes for spec in (*given, *(specs[name] for name in layer.outputs)) if spec)
            total += 0.0 if layer.alias else self.seconds(layer.macs(*given), touched)
        return total

    def seconds(self, macs: int, nbytes: int) -> float:
        """About how long one thread takes for so many multiply-adds on so many bytes, to share work out by."""
        return macs / 1e10 + nbytes / 1e10

    def time_steps(self, handle: Any, rounds: int) -> list[float]:
        """The median seconds of each step of the handle's plan over `rounds` whole runs."""
        raise NotImplementedError

    # -- looking on ----------------------------------------------------------------------------------------

    def step(self, handle: Any, index: int) -> None:
        """Run one step of the handle's plan; those before it have run."""
        raise NotImplementedError

    def peek(self, handle: Any, stored: Stored) -> np.ndarray:
        """A copy of what lies at a tensor's place now, in the shape that the net gives it."""
        raise NotImplementedError

    def timeline(self, handle: Any) -> list[Span]:
        """Run every step once, and say which thread was at which share of which step, and when."""
        raise DeviceError(f"device {self.name!r} does not write down what its threads do: cpu does")

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Any:
        raise NotImplementedError

    def prepare(self, handle: Any, shapes: Mapping[str, Sequence[int]]) -> None:
        raise NotImplementedError

    def set_tensor(self, handle: Any, name: str, array: np.ndarray) -> None:
        raise NotImplementedError

    def forward(self, handle: Any) -> None:
        raise NotImplementedError

    def get_tensor(self, handle: Any, name: str) -> np.ndarray:
        raise NotImplementedError

    def destroy(self, handle: Any) -> None:
        raise NotImplementedError


devices: Registry[Device] = Registry("device")


def device_of(device: str | Device) -> Device:
    """The device that is called so, or the very one that is given. Raises RegistryError, DeviceError.

    'kind:what' is one of many devices of a kind: 'lib:./libnet.so' is the one that `what` is in. 'npu,cpu' are devices
    that run a net together: each layer is the first one's that does not refuse it, unless it takes less time on
    another; 'npu+cpu' is the same whatever time it takes. See split.
    """
    if isinstance(device, Device):
        return device
    if not all(re.split("[,+]", device)) or device.endswith(":"):
        raise DeviceError(
            f"device {device!r} lacks a name: there are {', '.join(devices)}; lib: and npu: take a file"
        )
    for mark in ",+":
        names = _listed(device, mark)
        if len(names) > 1:
            from .several import Several

            return Several([device_of(name) for name in names], weigh=mark == ",")
    kind, colon, what = device.partition(":")
    return devices[kind].of(what) if colon else devices[kind]


def _listed(text: str, mark: str) -> list[str]:
    """The devices of a list. What is in a path may hold marks, too: there a mark is one before a device's name."""
    if ":" not in text:
        return text.split(mark)
    return re.split(rf"{re.escape(mark)}(?=(?:{'|'.join(map(re.escape, devices))})(?:[:,+]|$))", text)


def device(name: str) -> Callable[[type[Device]], type[Device]]:
    """Register a Device class: `@device("cpu") class Cpu(Device): ...`. One instance is made, here."""

    def register(cls: type[Device]) -> type[Device]:
        cls.name = name
        devices.add(name, cls(), cls.__module__)
        return cls

    return register
