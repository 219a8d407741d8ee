"""What the commands need of a model: opened from any format, and run on one device with sessions kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.device import Device, device_of
from ..engine.errors import DeviceError, InputError
from ..engine.format import format_of
from ..engine.net import Net
from ..engine.part import part, pieces
from ..engine.session import Session
from ..engine.several import Several
from ..formats import convert as read_model
from ..formats import is_module, load
from .show import compiling

Arrays = Mapping[str, np.ndarray]

_FLAGS = {
    "allow_custom": "allow-custom",
    "example": "example",
    "random_weights": "random-weights",
    "shapes": "shape",
    "weights": "weights",
}  # options of importers, as they are typed here


def open_model(paths: Sequence[Path], trust_plans: bool = False) -> Net:
    """A .fbnet file, or another framework's model. Raises InputError, FileError, ConversionError."""
    if len(paths) == 1 and paths[0].suffix.lower() == ".fbnet":
        if not paths[0].is_file():
            raise InputError(f"{paths[0]}: there is no such file")
        return load(paths[0], trust_plans=trust_plans)
    return convert_with(paths)


def convert_with(
    sources: Sequence[Path],
    *,
    labels: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Net:
    """The model in `sources`, with labels and other metadata of the caller's added to its own.

    options are the importer's. Raises InputError, FileError, ConversionError.
    """
    module = is_module(sources[0])
    for source in sources[1:] if module else sources:
        if not source.is_file():
            raise InputError(f"{source}: there is no such file")
    if module:
        from ..formats.torch import read
    else:
        read = format_of(sources[0]).read
    taken = signature(read).parameters
    if refused := [f"--{_FLAGS[name]}" for name in options if name not in taken]:
        raise InputError(f"{sources[0].name}: its importer does not take {', '.join(refused)}")
    net = read_model(*sources, **options)
    merged = dict(net.metadata) | dict(metadata or {})
    if labels:
        merged["labels"] = list(labels)
    return net.replace(metadata=merged)


class Runner:
    """Runs a net on one device, with sessions that follow the shapes that come.

    A net that prepares images itself is run in pieces: `first`, whose plan follows an image's size, and `rest`, whose
    plan does not; so images of many sizes can be one batch. (Unless its last layers follow the size again.)

    A device that has a compiled model is given the tensors which that reads; the layers before them run on the cpu.
    """

    def __init__(self, net: Net, device: str = "cpu", threads: int | None = None):
        self.net, self.device, self.threads = net, device, threads
        self._pieces, self._devices = placed(net, device_of(device))
        self._sessions: list[Session | None] = [None] * len(self._pieces)

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs, by name, for a net with one input. Raises FbnetError."""
        (name,) = self.net.inputs
        return self.rest(self.first({name: x}))

    def first(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """What `rest` reads: what the layers that prepare images make of the inputs, or inputs. Raises FbnetError."""
        tensors = dict(inputs)
        if len(self._pieces) > 1:
            tensors |= self._run(0, inputs)
        later = {name for piece in self._pieces[-len(self._pieces) + 1 :] for name in piece.inputs}
        return {name: array for name, array in tensors.items() if name in later or name in self.net.outputs}

    def rest(self, tensors: Arrays) -> dict[str, np.ndarray]:
        """The net's outputs of what `first` returned. Raises FbnetError."""
        tensors = dict(tensors)
        for index in range(min(1, len(self._pieces) - 1), len(self._pieces)):
            tensors |= self._run(index, tensors)
        return {name: tensors[name] for name in self.net.outputs}

    def prepare(self, inputs: Arrays) -> None:
        """Be ready for `first` of arrays of these shapes; compiles if they are new. Raises FbnetError."""
        if len(self._pieces) > 1:
            self._session(0, inputs)

    def prepare_rest(self, tensors: Arrays) -> None:
        """Be ready for `rest` of arrays of these shapes; compiles if they are new. Raises FbnetError."""
        self._session(min(1, len(self._pieces) - 1), tensors)

    def _run(self, index: int, arrays: Arrays) -> dict[str, np.ndarray]:
        given = {name: arrays[name] for name in self._pieces[index].inputs}
        return self._session(index, given).run(given)

    def _session(self, index: int, arrays: Arrays) -> Session:
        shapes = {name: arrays[name].shape for name in self._pieces[index].inputs}
        session = self._sessions[index]
        if session is None or session.plan.shapes() != shapes:
            if session is not None:
                session.close()
            with compiling():
                net = self._pieces[index]
                plan = net.compile(device=self._devices[index], threads=self.threads, shapes=shapes)
                session = self._sessions[index] = plan.session()
        return session

    def close(self) -> None:
        """Give the sessions' memory and threads back."""
        for session in self._sessions:
            if session is not None:
                session.close()
        self._sessions = [None] * len(self._pieces)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def placed(net: Net, device: Device) -> tuple[Sequence[Net], Sequence[str]]:
    """The pieces that a net is run in, and the device of each. Raises DeviceError if the device is for another net."""
    if not device.compiled or isinstance(device, Several):
        parts = pieces(net)
        return parts, (device.name,) * len(parts)
    names = device.reads(net)
    if set(names) == set(net.inputs):
        return (net,), (device.name,)
    try:
        return (part(net, tuple(net.inputs), names), part(net, names, net.outputs)), ("cpu", device.name)
    except InputError as error:
        raise DeviceError(f"{device.name} was not compiled from {net.name}: {error}") from None
