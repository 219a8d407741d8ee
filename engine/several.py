"""several: devices that run a net together, as one, like 'npu,cpu': segments in turn; the host hands tensors on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .arguments import as_input
from .compile import compile_net
from .device import Device
from .errors import DeviceError
from .net import Net
from .plan import ARENA, Place, Plan, Step
from .session import Session
from .split import Cut, Shapes, cut
from .tensor import Spec


class Handle:
    """A plan, a session for each segment, and the tensors between them."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.cut: Cut | None = None
        self.sessions: list[Session] = []
        self.tensors: dict[str, np.ndarray] = {}


class Several(Device):
    """Devices, the preferred ones first. It is no entry of the registry: `device_of` makes one for a list of names."""

    has_kernels = False
    compiled = True

    def __init__(self, parts: Sequence[Device], weigh: bool = True):
        """weigh: a segment that takes less time elsewhere goes there; else every layer is the first one's that can."""
        self.parts, self.weigh = tuple(parts), weigh
        self.name = ("," if weigh else "+").join(part.name for part in parts)  # type: ignore[misc]
        if len({part.name for part in parts}) < len(self.parts):
            raise DeviceError(f"{self.name}: a device is named twice")
        if any(isinstance(part, Several) for part in parts):
            raise DeviceError(
                f"{self.name}: put commas between devices to weigh their times, or + not to, not both"
            )

    @property
    def target(self) -> str:
        return "; ".join(part.target for part in self.parts)  # raises if one of them is not there

    def cut(self, net: Net, shapes: Shapes, threads: int) -> Cut:
        """How a net is cut for these devices; kept on the net, as the segments' plans are kept on them."""
        kept = vars(net).setdefault("_cuts", {})
        key = repr((self.name, self.target, sorted(shapes.items()), threads))
        if key not in kept:
            kept.clear()  # the last one is enough: shapes that change would pile up weights
            kept[key] = cut(net, self.parts, shapes, threads, self.weigh)
        return kept[key]

    def whole_plan(self, net: Net, dtype: str, threads: int, specs: Mapping[str, Spec]) -> Plan:
        """One step a segment. The notes say of every layer where it runs, and why not before."""
        shapes = {name: specs[name].concrete.shape for name in net.inputs}
        made = self.cut(net, shapes, threads)
        steps, notes = [], {}
        for number, segment in enumerate(made.segments):
            first, last = segment.net.layers[0].name, segment.net.layers[-1].name
            name = f"{number}: {first}" + (f" … {last}" if last != first else "")
            steps.append(Step(name, f"{segment.device.name}/{dtype}/segment"))
            notes[name] = f"{len(segment.net)} layers, {segment.seconds * 1e6:.0f} us"
            for layer in segment.net.layers:
                reasons = [f"{device}: {why}" for device, why in made.refusals[layer.name].items()]
                stay = made.stays.get(layer.name, "")
                notes[layer.name] = "; ".join(
                    [f"on {segment.device.name}", *reasons, *([stay] if stay else [])]
                )
        ends = dict.fromkeys([*net.inputs, *net.outputs])
        tensors = {name: (Place(ARENA, 0), specs[name].concrete) for name in ends}
        return Plan(net, self.name, dtype, self.target, threads, tensors, [], [], steps, 0, notes)

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        return Handle(plan)

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        if {name: tuple(shape) for name, shape in shapes.items()} != plan.shapes():
            plan = compile_net(plan.net, self, plan.dtype, plan.threads, shapes)
        self.destroy(handle)
        handle.plan, handle.cut = plan, self.cut(plan.net, plan.shapes(), plan.threads)
        for segment in handle.cut.segments:
            made = segment.net.compile(device=segment.device, threads=plan.threads, shapes=segment.shapes)
            handle.sessions.append(made.session())

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        net = _prepared(handle).net
        if name not in net.inputs:
            raise DeviceError(f"{net.name} has no input {name!r}; it has {', '.join(net.inputs)}")
        spec = handle.plan.tensors[name][1]
        given = as_input(name, spec, array)
        if given.shape != spec.shape:
            raise DeviceError(f"input {name!r} has shape {list(given.shape)}, but this plan is for {spec}")
        handle.tensors[name] = given.copy()

    def forward(self, handle: Handle) -> None:
        net = _prepared(handle).net
        if missing := sorted(net.inputs.keys() - handle.tensors.keys()):
            raise DeviceError(
                f"{net.name}: nobody has set {', '.join(missing)}: call set_tensor before forward"
            )
        for session in handle.sessions:
            inputs = {name: handle.tensors[name] for name in session.plan.net.inputs}
            handle.tensors |= session.run(inputs)

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        net = _prepared(handle).net
        if name not in net.outputs and name not in net.inputs:
            raise DeviceError(f"{net.name} has no output {name!r}; it has {', '.join(net.outputs)}")
        if name in net.constants:
            return np.array(net.computed.constants[name].data)
        if name not in handle.tensors:
            raise DeviceError(f"{net.name}: {name!r} was never computed: call forward before get_tensor")
        return handle.tensors[name].copy()

    def destroy(self, handle: Handle) -> None:
        for session in handle.sessions:
            session.close()
        handle.cut, handle.sessions, handle.tensors = None, [], {}


def _prepared(handle: Handle) -> Plan:
    if handle.cut is None:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.plan
