"""record: lowered layers -> Plan. Give every tensor its place, and write down every call as words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import prod

import numpy as np

from .device import Device
from .dtype import dtypes
from .errors import CompileError
from .kernel import SHARE, Packed, Parameter, Scratch, Stage, View
from .layer import ABSENT
from .lower import Lowered, LoweredNet
from .net import Net
from .places import Places
from .plan import Place, Plan, Step
from .tensor import Spec


def record(
    net: Net, device: Device, dtype: str, threads: int, specs: Mapping[str, Spec], lowered: LoweredNet
) -> Plan:
    """The plan that runs the lowered layers one after the other. Raises CompileError."""
    places = Places(net, device, lowered)
    writer = _Writer(device, places)
    end, count = lowered.rounds
    steps: list[Step] = []
    for number in range(count):
        steps += [s for at in range(end) for s in writer.steps(at, lowered.items[at], number)]
    round_steps = len(steps) // count
    steps += [s for at in range(end, len(lowered.items)) for s in writer.steps(at, lowered.items[at])]
    # a reference step needs the tensors by name; so does a caller, for inputs and outputs
    named = {*net.inputs, *net.outputs}
    for item in lowered.items:
        if item.kernel is None and not item.alias:
            named |= {*item.layer.inputs, *item.layer.outputs} - {ABSENT}
    return Plan(
        net=net,
        device=device.name,
        dtype=dtype,
        target=device.target,
        threads=threads,
        tensors={name: (places.place(name), specs[name].concrete) for name in sorted(named)},
        constants=places.constants,
        objects=[*writer.objects, *device.runtime_objects()],
        steps=steps,
        arena_bytes=places.arena_bytes,
        notes={item.layer.name: item.why for item in lowered.items},
        stored=places.stored(),
        rounds=count,
        round_steps=round_steps,
    )


class _Writer:
    """Writes steps: compiles each stage's function once, and turns its parameters into words."""

    def __init__(self, device: Device, places: Places):
        self.device, self.places = device, places
        self.objects: list[bytes] = []
        self._entries: dict[str, int] = {}

    def steps(self, time: int, item: Lowered, number: int = 0) -> list[Step]:
        if item.alias:
            return []
        if item.kernel is None:
            return [Step(item.layer.name, "reference")]
        given = dict(zip(item.layer.input_names(), item.layer.inputs, strict=True))
        given |= dict(zip(item.layer.output_names(), item.layer.outputs, strict=True))
        return [
            self._step(time, part, stage, item, given, number)
            for part, stage in enumerate(item.stages)
            if (time, part) not in self.places.left_out
        ]

    def _step(
        self, time: int, part: int, stage: Stage, item: Lowered, given: Mapping[str, str], number: int
    ) -> Step:
        """The call of one stage, in one round."""
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
            place, dtype, shape = self._array(time, part, name, value, item, given, number)
            if place is not None:
                relocations.append((len(words), place.region))
            words += [place.offset if place else 0, *shape]
            split = name in (stage.split or ())
            same = seen.setdefault((place, dtype, shape, split), name) if place else name
            parameters.append(
                Parameter(name, "array", dtype, len(shape), split, same if same != name else "")
            )
        try:
            entry = self._entry(stage, parameters)
        except CompileError as error:
            raise CompileError(f"{item.layer}: {error}") from error
        numbers, places = tuple(map(int, words)), tuple(relocations)
        return Step(item.layer.name, item.kernel.name, entry, numbers, places, item.threads)

    def _array(
        self,
        time: int,
        part: int,
        name: str,
        value: View | Scratch | Packed,
        item: Lowered,
        given: Mapping[str, str],
        number: int,
    ) -> tuple[Place | None, str, tuple[int, ...]]:
        """(place, numpy dtype, shape) of an array parameter; no place if it is an absent input."""
        if isinstance(value, Packed):
            return Place(self.places.region(value.data), 0), str(value.data.dtype), value.data.shape
        if isinstance(value, Scratch):
            return self.places.scratch(time, part, name), str(dtypes[value.dtype].storage), value.shape
        tensor = given.get(value.tensor, ABSENT)
        if tensor == ABSENT:
            return None, "float32", value.shape
        spec, whole = self.places.specs[tensor].concrete, self.places.stored_shape(tensor)
        if value.offset < 0 or value.offset + prod(value.shape) > prod(whole):
            assert item.kernel is not None
            raise CompileError(
                f"kernel {item.kernel.name}: {item.layer}: {name!r} views {list(value.shape)} "
                f"from element {value.offset} of {spec}, which is past its end"
            )
        place = self.places.place(tensor)
        offset = place.offset + value.offset * spec.dtype.itemsize + number * self.places.stride(tensor)
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
