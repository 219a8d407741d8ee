"""launch: how a step's words become the launch of a kernel: how many work-items, and what they are given.

A kernel says by its parameters how it is launched:

    items                    one work-item each, and the number itself is passed on: get_global_id(0) < items
    size_x, size_y, size_z   or so many work-items along each axis; a file's own code leaves out what is too much
    local_x, local_y, local_z  and so many of them a group
    shared                   bytes of memory that a group shares: a pointer to __local floats

An object is a line of JSON that holds a Code, and behind it the program.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...engine.errors import DeviceError
from ...engine.kernel import Parameter
from ...engine.plan import Step
from .chip import Chip

AXES = ("x", "y", "z")
LAUNCH = frozenset(f"{what}_{axis}" for what in ("size", "local") for axis in AXES)
MOST_ITEMS = (1 << 31) - 1 - (1 << 16)  # kernels count them in 32 bits, with a group to spare


@dataclass(frozen=True)
class Code:
    """What is known of an object besides its program: the kernel's name and its parameters, in order."""

    name: str
    parameters: tuple[Parameter, ...]

    def object(self, program: bytes) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n" + program

    @classmethod
    def read(cls, data: bytes) -> tuple[Code, bytes]:
        """(what is known, the program) of an object."""
        line, program = bytes(data).split(b"\n", 1)
        fields = json.loads(line)
        return cls(fields["name"], tuple(Parameter(**p) for p in fields["parameters"])), program


@dataclass(frozen=True)
class Launch:
    """How many work-items along each axis, how many of them a group, and the kernel's arguments."""

    size: tuple[int, ...]
    group: tuple[int, ...]
    values: list[Any]

    @property
    def empty(self) -> bool:
        """Nothing is to be done: a batch of no images."""
        return 0 in self.size


def launch_of(code: Code, step: Step, buffers: Mapping[int, Any], chip: Chip) -> Launch:
    """The launch of a step, given the regions' buffers. Raises DeviceError if the device has not enough for it."""
    regions = dict(step.relocations)
    values: list[Any] = []
    numbers: dict[str, int] = {}
    at = 0
    for p in code.parameters:
        word = step.words[at]
        if p.kind == "array":  # no region: an input that is left out, a null pointer
            values.append(buffers[regions[at]] if at in regions else None)
            values.append(np.uint64(word // np.dtype(p.dtype).itemsize))
        elif p.kind == "float":
            values.append(np.float32(struct.unpack("<d", struct.pack("<q", word))[0]))
        else:
            numbers[p.name] = word
            if p.name == "shared":
                values.append(chip.cl.LocalMemory(word))
            elif p.name not in LAUNCH:
                values.append(np.int32(word))
        at += p.words
    size, group = _extent(numbers, chip)
    if max(size) > MOST_ITEMS:
        raise DeviceError(
            f"{step.layer} has {max(size):,} results, too many for opencl: give it a smaller batch"
        )
    beyond = any(n > most for n, most in zip(group, chip.axis_items, strict=False))
    if beyond or np.prod(group) > chip.most_items or numbers.get("shared", 0) > chip.local_bytes:
        raise DeviceError(
            f"{step.kernel} wants groups of {list(group)} and {numbers.get('shared', 0)} bytes, but {chip.name} has"
            f" {chip.most_items} work-items a group and {chip.local_bytes} bytes: report it"
        )
    return Launch(size, group, values)


def _extent(numbers: Mapping[str, int], chip: Chip) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(work-items along each axis, filled up to whole groups, and a group's)."""
    if "items" in numbers:
        wanted, group = [numbers["items"]], [chip.group]
    else:
        wanted = [numbers[f"size_{axis}"] for axis in AXES if f"size_{axis}" in numbers]
        group = [numbers.get(f"local_{axis}", 1) for axis in AXES[: len(wanted)]]
    return tuple(-(-n // g) * g for n, g in zip(wanted, group, strict=True)), tuple(group)
