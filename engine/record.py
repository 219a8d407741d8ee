"""record: lowered layers -> Plan. Give every tensor its place, and write down every call as words."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from .device import Device
from .dtype import dtypes
from .errors import CompileError
from .kernel import SHARE, Packed, Parameter, Scratch, Stage, View
from .layer import ABSENT
from .lower import Lowered
from .memory import Block, arrange
from .net import Net
from .plan import ARENA, Place, Plan, Step
from .tensor import Spec


def record(
    net: Net, device: Device, dtype: str, threads: int, specs: Mapping[str, Spec], lowered: Sequence[Lowered]
) -> Plan:
    """The plan that runs the lowered layers one after the other. Raises CompileError."""
    layout = _Layout(net, specs, lowered)
    writer = _Writer(device, layout)
    steps = [step for index, item in enumerate(lowered) for step in writer.steps(index, item)]
    # a reference step needs the tensors by name; so does a caller, for inputs and outputs
    named = {*net.inputs, *net.outputs}
    for item in lowered:
        if item.kernel is None:
            named |= {*item.layer.inputs, *item.layer.outputs} - {ABSENT}
    return Plan(
        net=net,
        device=device.name,
        dtype=dtype,
        target=device.target,
        threads=threads,
        tensors={name: (layout.place(name), specs[name].concrete) for name in sorted(named)},
        constants=layout.constants,
        objects=[*writer.objects, *device.runtime_objects()],
        steps=steps,
        arena_bytes=layout.arena_bytes,
        notes={item.layer.name: item.why for item in lowered},
    )


class _Layout:
    """Where every tensor and every stage's scratch lies.

    Time is the index of a lowered layer; inputs are written before time 0, and outputs are read after the end. Inputs
    stay whole to the end as well, so that a session may run again without setting them again.
    """

    def __init__(self, net: Net, specs: Mapping[str, Spec], lowered: Sequence[Lowered]):
        self.net, self.specs = net, specs
        self.constants: list[np.ndarray | str] = []
        self._regions: dict[str | int, int] = {}
        self._roots: dict[str, str] = {}  # tensor -> the tensor whose bytes it shares
        for layer in net.layers:
            if layer.alias:
                given, made = (specs[n].concrete for n in (layer.inputs[0], layer.outputs[0]))
                if given.nbytes != made.nbytes:
                    raise CompileError(f"{layer} is an alias, but makes {made} of {given}: bytes differ")
                self._roots[layer.outputs[0]] = self.root(layer.inputs[0])
        self._last_use = self._uses(lowered)
        self._blocks = self._tensor_blocks(lowered)
        self._scratch: dict[tuple[int, int, str], Block] = {}
        for time, item in enumerate(lowered):
            for number, stage in enumerate(item.stages):
                for name, value in stage.params.items():
                    if isinstance(value, Scratch):
                        nbytes = int(np.prod(value.shape)) * dtypes[value.dtype].itemsize
                        self._scratch[time, number, name] = Block(nbytes, time, time)
        self.arena_bytes = arrange([*self._blocks.values(), *self._scratch.values()])

    def root(self, name: str) -> str:
        return self._roots.get(name, name)

    def _uses(self, lowered: Sequence[Lowered]) -> dict[str, int]:
        """Root tensor -> the last time it is read."""
        last = {self.root(o): len(lowered) for o in (*self.net.outputs, *self.net.inputs)}
        for time, item in enumerate(lowered):
            for name in item.layer.inputs:
                last[self.root(name)] = max(last.get(self.root(name), -1), time)
        return last

    def _tensor_blocks(self, lowered: Sequence[Lowered]) -> dict[str, Block]:
        blocks = {name: Block(self.specs[name].concrete.nbytes, -1, len(lowered)) for name in self.net.inputs}
        for time, item in enumerate(lowered):
            for output in item.layer.outputs:
                host = self._overwritten(item, output, time, blocks)
                if host is not None:
                    self._share(output, host)
                    blocks[host].last = max(time, self._last_use.get(host, time))
                else:
                    last = self._last_use.get(self.root(output), time)
                    blocks[output] = Block(self.specs[output].concrete.nbytes, time, max(time, last))
        return blocks

    def _overwritten(self, item: Lowered, output: str, time: int, blocks: Mapping[str, Block]) -> str | None:
        """The root tensor that `output` may be written over: it dies here and its kernel can work in place."""
        if item.kernel is None or len(item.stages) != 1 or len(item.layer.outputs) != 1:
            return None
        for parameter, name in zip(item.layer.input_names(), item.layer.inputs, strict=True):
            host = self.root(name)
            if parameter not in item.kernel.inplace or host not in blocks:
                continue
            same_size = blocks[host].nbytes == self.specs[output].concrete.nbytes
            read_once = [self.root(i) for i in item.layer.inputs].count(host) == 1
            if self._last_use[host] == time and same_size and read_once:
                return host
        return None

    def _share(self, tensor: str, host: str) -> None:
        """`tensor`, and whatever shares its bytes, lies where `host` does."""
        self._last_use[host] = max(self._last_use[host], self._last_use.get(tensor, -1))
        self._roots[tensor] = host
        for name, root in self._roots.items():
            if root == tensor:
                self._roots[name] = host

    def place(self, name: str) -> Place:
        """Where a tensor lies."""
        root = self.root(name)
        if root in self.net.constants:
            return Place(self.region(root), 0)
        return Place(ARENA, self._blocks[root].offset)

    def scratch(self, time: int, stage: int, name: str) -> Place:
        return Place(ARENA, self._scratch[time, stage, name].offset)

    def region(self, constant: np.ndarray | str) -> int:
        """The region of a constant of the net, by name, or of a packed array."""
        key = constant if isinstance(constant, str) else id(constant)
        if key not in self._regions:
            self.constants.append(constant if isinstance(constant, str) else np.asarray(constant, order="C"))
            self._regions[key] = len(self.constants)
        return self._regions[key]


class _Writer:
    """Writes steps: compiles each stage's function once, and turns its parameters into words."""

    def __init__(self, device: Device, layout: _Layout):
        self.device, self.layout = device, layout
        self.objects: list[bytes] = []
        self._entries: dict[str, int] = {}

    def steps(self, time: int, item: Lowered) -> list[Step]:
        if item.kernel is None:
            return [Step(item.layer.name, "reference")]
        given = dict(zip(item.layer.input_names(), item.layer.inputs, strict=True))
        results = item.layer.results or tuple(f"y{i}" for i in range(len(item.layer.outputs)))
        given |= dict(zip(results, item.layer.outputs, strict=True))
        return [self._step(time, number, stage, item, given) for number, stage in enumerate(item.stages)]

    def _step(self, time: int, number: int, stage: Stage, item: Lowered, given: Mapping[str, str]) -> Step:
        assert item.kernel is not None and stage.function is not None
        parameters, words, relocations = [], [], []
        seen: dict[tuple, str] = {}
        for name in _parameter_names(stage):
            if name in SHARE:
                parameters.append(Parameter(name, "share"))
                continue
            value = stage.params[name]
            if isinstance(value, (bool, int, np.integer)):
                parameters.append(Parameter(name, "int"))
                words.append(int(value))
                continue
            if isinstance(value, (float, np.floating)):
                parameters.append(Parameter(name, "float"))
                words.append(struct.unpack("<q", struct.pack("<d", value))[0])
                continue
            if not isinstance(value, (View, Scratch, Packed)):
                raise CompileError(
                    f"kernel {item.kernel.name}: {item.layer}: parameter {name!r} is {value!r}, no number: bind it"
                )
            place, dtype, shape = self._array(time, number, name, value, item, given)
            if place is not None:
                relocations.append((len(words), place.region))
            words += [place.offset if place else 0, *shape]
            split = name in (stage.split or ())
            same = seen.setdefault((place, dtype, shape, split), name) if place else name
            parameters.append(
                Parameter(name, "array", dtype, len(shape), split, same if same != name else "")
            )
        entry = self._entry(stage, parameters)
        return Step(item.layer.name, item.kernel.name, entry, tuple(map(int, words)), tuple(relocations))

    def _array(
        self,
        time: int,
        number: int,
        name: str,
        value: View | Scratch | Packed,
        item: Lowered,
        given: Mapping[str, str],
    ) -> tuple[Place | None, str, tuple[int, ...]]:
        """(place, numpy dtype, shape) of an array parameter; no place if it is an absent input."""
        if isinstance(value, Packed):
            return Place(self.layout.region(value.data), 0), str(value.data.dtype), value.data.shape
        if isinstance(value, Scratch):
            return self.layout.scratch(time, number, name), str(dtypes[value.dtype].storage), value.shape
        tensor = given.get(value.tensor, ABSENT)
        if tensor == ABSENT:
            return None, "float32", value.shape
        spec = self.layout.specs[tensor].concrete
        size = int(np.prod(value.shape, dtype=np.int64))
        if value.offset < 0 or value.offset + size > spec.size:
            assert item.kernel is not None
            raise CompileError(
                f"kernel {item.kernel.name}: {item.layer}: {name!r} views {list(value.shape)} "
                f"from element {value.offset} of {spec}, which is past its end"
            )
        place = self.layout.place(tensor)
        offset = place.offset + value.offset * spec.dtype.itemsize
        return Place(place.region, offset), str(spec.dtype.storage), value.shape

    def _entry(self, stage: Stage, parameters: list[Parameter]) -> int:
        assert stage.function is not None
        key, code = self.device.compile_kernel(stage.function, parameters)
        if key not in self._entries:
            self._entries[key] = len(self.objects)
            self.objects.append(code)
        return self._entries[key]


def _parameter_names(stage: Stage) -> tuple[str, ...]:
    """The function's parameters in order."""
    code = stage.function.__code__  # type: ignore[union-attr]
    return code.co_varnames[: code.co_argcount]
