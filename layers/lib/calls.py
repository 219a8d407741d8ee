"""calls: a shared library's NN_ functions for Python, as nn.h (in layers/cpu/native) declares them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...engine.errors import DeviceError

VERSION = 1
MAX_AXES = 8
WANTED = ("NN_Init", "NN_Prepare", "NN_SetTensor", "NN_Forward", "NN_GetTensor", "NN_Destroy")

Handle = ctypes.c_uint64
ALLOCATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Options(ctypes.Structure):
    """NN_Options"""

    _fields_ = (
        ("version", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("weights", ctypes.c_char_p),
        ("allocate", ALLOCATE),
        ("release", RELEASE),
        ("context", ctypes.c_void_p),
    )


class Shape(ctypes.Structure):
    """NN_Shape"""

    _fields_ = (("name", ctypes.c_char_p), ("axes", ctypes.c_int), ("shape", ctypes.c_int64 * MAX_AXES))


class Tensor(ctypes.Structure):
    """NN_Tensor"""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("scale", ctypes.c_float),
        ("zero", ctypes.c_int32),
        ("output", ctypes.c_int),
        ("axes", ctypes.c_int),
        ("shape", ctypes.c_int64 * MAX_AXES),
        ("bytes", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
    )


class Calls:
    """A library and its calls. Each raises DeviceError with the library's own words if its status is an error."""

    def __init__(self, path: str | Path, name: str = ""):
        """Load it. Raises DeviceError if it is no library for this machine, or lacks one of the six calls.

        name  what errors of its calls begin with; default: the path
        """
        self.path, self.name = Path(path), name or str(path)
        if not self.path.is_file():
            raise DeviceError(f"{path}: there is no such library")
        try:
            self._library = ctypes.CDLL(str(self.path.resolve()))
        except OSError as error:
            raise DeviceError(f"{path} is no library that this machine can load: {error}") from None
        if missing := [name for name in WANTED if not hasattr(self._library, name)]:
            raise DeviceError(
                f"{path} lacks {', '.join(missing)}: a device is a library with {', '.join(WANTED)}, "
                "as nn.h declares them"
            )
        if hasattr(self._library, "NN_ErrorText"):
            self._library.NN_ErrorText.argtypes = (Handle, ctypes.c_int)
            self._library.NN_ErrorText.restype = ctypes.c_char_p

    def init(self, threads: int = 0, weights: Path | None = None, version: int = VERSION) -> Handle:
        """A session."""
        handle = Handle()
        where = str(weights).encode() if weights else None
        options = Options(version=version, threads=threads, weights=where)
        self._call("NN_Init", handle, ctypes.byref(options), ctypes.byref(handle))
        return handle

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        """Make ready for inputs of these shapes."""
        for name, shape in shapes.items():
            if len(shape) > MAX_AXES:
                raise DeviceError(
                    f"{self.name}: input {name!r} has {len(shape)} axes; a library's have {MAX_AXES}"
                )
        wanted = [Shape(name.encode(), len(shape), tuple(shape)) for name, shape in shapes.items()]
        self._call("NN_Prepare", handle, handle, (Shape * len(wanted))(*wanted), len(wanted))

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        """Copy a C-contiguous array in."""
        self._move("NN_SetTensor", handle, name, array)

    def forward(self, handle: Handle) -> None:
        """Run."""
        self._call("NN_Forward", handle, handle)

    def get_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        """Copy an output into a C-contiguous array."""
        self._move("NN_GetTensor", handle, name, array)

    def destroy(self, handle: Handle) -> None:
        """Give everything back."""
        self._call("NN_Destroy", handle, handle)

    def set_threads(self, handle: Handle, threads: int) -> None:
        """Use so many threads from now on."""
        self._call("NN_SetThreads", handle, handle, threads)

    def tensors(self, handle: Handle) -> list[Tensor] | None:
        """Inputs and outputs; None if the library cannot say: those calls need not be there."""
        if not hasattr(self._library, "NN_TensorCount") or not hasattr(self._library, "NN_TensorInfo"):
            return None
        count = self._call("NN_TensorCount", handle, handle)
        found = [Tensor() for _ in range(count)]
        for index, tensor in enumerate(found):
            self._call("NN_TensorInfo", handle, handle, index, ctypes.byref(tensor))
        return found

    def _move(self, call: str, handle: Handle, name: str, array: np.ndarray) -> None:
        data = array.ctypes.data_as(ctypes.c_void_p)
        self._call(call, handle, handle, name.encode(), data, ctypes.c_size_t(array.nbytes))

    def _call(self, call: str, handle: Handle, *arguments: object) -> int:
        """The status of a call, 0 or more. Raises DeviceError."""
        status = int(getattr(self._library, call)(*arguments))
        if status < 0:
            said = b""
            if hasattr(self._library, "NN_ErrorText"):
                said = self._library.NN_ErrorText(handle, status) or b""
            text = said.decode("utf-8", "replace") or "it does not say why"
            raise DeviceError(f"{self.name}: {call} returned {status}: {text}")
        return status
