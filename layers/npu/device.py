"""The device npu: an accelerator for int8 that runs compiled programs and nothing else; here its simulator.

    net.compile(device="npu")        a net of integer layers is assembled; real numbers at its ends are the cpu's
    net.compile(device="npu,cpu")    what the npu cannot run is cut out, and runs on the cpu
    net.compile(device="npu:m.npu")  the program that `fbnet compile --target npu` wrote

A program is for one image; a batch is run one image after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ...engine.arguments import as_input
from ...engine.compile import compile_net
from ...engine.device import Device, device, device_of
from ...engine.errors import CompileError, DeviceError
from ...engine.layer import Layer
from ...engine.net import Net
from ...engine.plan import ARENA, Place, Plan, Step
from ...engine.tensor import Spec
from .assemble import assemble, one_image, refusal
from .execute import Memory, execute
from .machine import CHIP
from .program import End, Program
from .timing import timing


class Handle:
    """One session: a program, the chip's memories, and inputs and outputs of the whole batch."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.program = Program.read(bytes(plan.objects[0]), where=plan.net.name)
        self.memory: Memory | None = None
        self.arrays: dict[str, np.ndarray] = {}


@device("npu")
class Npu(Device):
    """The chip; `of` gives the one that a program in a file was loaded into."""

    has_kernels = False
    compiled = True
    host_threads = False
    border = (
        5e-6,
        8e9,
    )  # a command queue is rung, and answers by an interrupt; half of a PCIe 3.0 ×16's rate

    def __init__(self, path: str = ""):
        self.path = path  # of a program
        if path:
            self.name = f"npu:{path}"  # type: ignore[misc]

    def of(self, what: str) -> Device:
        return Npu(what)

    @property
    def target(self) -> str:
        """The chip; and which file, if the program is in one."""
        chip = f"{CHIP.activations >> 10}+{CHIP.weights >> 10} KiB, {CHIP.columns}×{CHIP.products}"
        return f"{chip}, {Path(self.path).stat().st_mtime_ns}" if self.path and self.program else chip

    @cached_property
    def program(self) -> Program:
        """The program in the file. Raises DeviceError, FileError."""
        path = Path(self.path)
        if not path.is_file():
            raise DeviceError(f"{path}: there is no such program")
        return Program.read(path.read_bytes(), where=self.path)

    def refuses(self, layer: Layer, net: Net, specs: Mapping[str, Spec]) -> str:
        images = {name: spec for name, spec in specs.items() if name not in net.constants}
        if len({spec.shape[:1] for spec in images.values()}) == 1:
            images = {name: spec.replace(shape=(1, *spec.shape[1:])) for name, spec in images.items()}
        return refusal(layer, net, {**specs, **images})

    def cost(self, net: Net, shapes: Mapping[str, Sequence[int]], threads: int) -> float:
        return timing(assemble(net, shapes)).seconds * next(iter(shapes.values()))[0]

    def whole_plan(self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec]) -> Plan:
        """One step, which is the program. If there are real numbers at the net's ends: a plan of this and the cpu."""
        shapes = {name: specs[name].concrete.shape for name in net.inputs}
        refused = {layer: why for layer in net.layers if (why := self.refuses(layer, net, _concrete(specs)))}
        if refused:
            return self._with_ends(net, dtype, threads, specs, refused)
        program = self.program if self.path else assemble(net, shapes)
        self._compare(net, program, one_image(net, shapes))
        tensors = {
            name: (Place(ARENA, 0), specs[name].concrete)
            for name in dict.fromkeys([*net.inputs, *net.outputs])
        }
        step = Step(net.name, f"npu/{dtype}/program", 0)
        notes = {net.name: f"{len(program.commands)} commands, {len(program.image):,} bytes of weights"}
        return Plan(
            net, self.name, dtype, self.target, threads, tensors, [], [program.write()], [step], program.dram, notes
        )  # fmt: skip

    def _with_ends(
        self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec], refused: Mapping[Layer, str]
    ) -> Plan:
        """The plan of npu and cpu, if the npu's layers are one piece. Raises CompileError with what is refused."""
        both = device_of(f"{self.name}+cpu")
        plan = both.whole_plan(net, dtype, threads, specs)
        mine = [s for s in both.cut(net, plan.shapes(), threads).segments if s.device.name == self.name]
        if len(mine) == 1 and not any(_integers(layer, specs) for layer in refused):
            return plan
        reasons = "; ".join(f"{layer}: {why}" for layer, why in refused.items())
        raise CompileError(
            f"{net.name}: the npu refuses {len(refused)} of {len(net.layers)} layers: {reasons}. Quantize it first "
            "(net.quantize), or let another device run them (device='npu,cpu')"
        )

    def _compare(self, net: Net, program: Program, specs: Mapping[str, Spec]) -> None:
        """Raises DeviceError if the program is not for this net."""
        wanted = [
            _typed(name, specs[name].dtype.name, specs[name].shape) for name in (*net.inputs, *net.outputs)
        ]
        has = [_typed(end.name, end.dtype, end.shape) for end in (*program.inputs, *program.outputs)]
        if sorted(has) != sorted(wanted):
            raise DeviceError(
                f"{self.name} was not compiled from {net.name}, which has {', '.join(wanted)}: it has {', '.join(has)}"
            )

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        return Handle(plan)

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        if {k: tuple(v) for k, v in shapes.items()} != handle.plan.shapes():
            plan = compile_net(handle.plan.net, self, handle.plan.dtype, handle.plan.threads, shapes)
            handle.__init__(plan)  # type: ignore[misc]
        program = handle.program
        handle.memory = Memory(program.machine, program.dram, program.image)
        handle.arrays = {}

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        _prepared(handle)
        net = handle.plan.net
        if name not in net.inputs:
            raise DeviceError(f"{net.name} has no input {name!r}; it has {', '.join(net.inputs)}")
        spec = handle.plan.tensors[name][1]
        array = as_input(name, spec, array)
        if array.shape != spec.shape:
            raise DeviceError(f"input {name!r} has shape {list(array.shape)}, but this plan is for {spec}")
        handle.arrays[name] = array.copy()

    def forward(self, handle: Handle) -> None:
        memory, plan, program = _prepared(handle), handle.plan, handle.program
        if missing := [name for name in plan.net.inputs if name not in handle.arrays]:
            raise DeviceError(
                f"{plan.net.name}: nobody has set {', '.join(missing)}: call set_tensor before forward"
            )
        specs = {end.name: plan.tensors[end.name][1] for end in program.outputs}
        results = {name: np.empty(spec.shape, spec.dtype.storage) for name, spec in specs.items()}
        for image in range(handle.arrays[program.inputs[0].name].shape[0]):
            for end in program.inputs:
                _bytes(memory, end)[...] = handle.arrays[end.name][image].reshape(-1).view(np.int8)
            execute(program.commands, memory)
            for end in program.outputs:
                results[end.name][image].reshape(-1).view(np.int8)[...] = _bytes(memory, end)
        handle.arrays |= results

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        _prepared(handle)
        net = handle.plan.net
        if name not in handle.arrays:
            raise DeviceError(f"{net.name} has no output {name!r} yet; it has {', '.join(net.outputs)}")
        return handle.arrays[name].copy()

    def destroy(self, handle: Handle) -> None:
        handle.memory = None
        handle.arrays = {}


def _bytes(memory: Memory, end: End) -> np.ndarray:
    return memory.dram[end.dram : end.dram + end.nbytes]


def _typed(name: str, dtype: str, shape: Sequence[int]) -> str:
    return f"{name} {dtype}[{','.join(map(str, shape))}]"


def _integers(layer: Layer, specs: Mapping[str, Spec]) -> bool:
    """Whether a layer makes int8 of int8: what a program would have to compute."""
    kinds = [{specs[name].dtype.name for name in names if name} for names in (layer.inputs, layer.outputs)]
    return "int8" in kinds[0] and "int8" in kinds[1]


def _concrete(specs: Mapping[str, Spec]) -> dict[str, Spec]:
    return {name: spec.concrete for name, spec in specs.items()}


def _prepared(handle: Handle) -> Memory:
    if handle.memory is None:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.memory
