"""What the commands need of a model: opened from any format, and run on one device with sessions kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.errors import InputError
from ..engine.net import Net
from ..engine.session import Session
from ..formats import load
from .convert import convert_with
from .show import working


def open_model(paths: Sequence[Path]) -> Net:
    """A .fbnet file, or another framework's model. Raises InputError, FileError, ConversionError."""
    if len(paths) == 1 and paths[0].suffix.lower() == ".fbnet":
        if not paths[0].is_file():
            raise InputError(f"{paths[0]}: there is no such file")
        return load(paths[0])
    return convert_with(paths)


class Runner:
    """Runs a net that has one input on one device, with a session that follows the shapes that come."""

    def __init__(self, net: Net, device: str = "cpu", threads: int | None = None):
        self.net, self.device, self.threads = net, device, threads
        self._session: Session | None = None
        self._shape: tuple[int, ...] = ()

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Be ready for an array of this shape; compiles if that is new. Raises FbnetError."""
        if self._session is None or self._shape != shape:
            self.close()
            (name,) = self.net.inputs
            with working("compiling"):
                plan = self.net.compile(device=self.device, threads=self.threads, shapes={name: shape})
                self._session, self._shape = plan.session(), shape

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs, by name. Raises FbnetError."""
        self.prepare(x.shape)
        assert self._session is not None
        (name,) = self.net.inputs
        return self._session.run({name: x})

    def close(self) -> None:
        """Give the session's memory and threads back."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
