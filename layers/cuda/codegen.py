"""codegen: a kernel function -> an object that a GPU of some capability can run, or that the simulator can.

numba.cuda turns the function into PTX, which the driver of any later GPU compiles. A function that is declared in
CUDA C++ (see native.py) goes through NVIDIA's run-time compiler instead.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.cache import Cache
from ...engine.errors import CompileError, DeviceError
from ...engine.kernel import Parameter
from ...engine.source import fingerprint
from . import emulation, native
from .card import numba_cuda
from .launch import Code

_objects = Cache("cuda", ".fatbin")
_simulated: dict[str, Any] = {}  # functions that the simulator runs, by key
_lock = threading.RLock()


def compile_object(function: Callable, parameters: Sequence[Parameter], card: Any) -> tuple[str, bytes]:
    """(key, object) of a kernel function for a card. Raises CompileError."""
    source = native.source_of(function)
    parts = [
        fingerprint(function),
        repr(list(parameters)),
        str(card.capability),
        _own_sources(),
        repr(source),
    ]
    if source:
        parts.append(emulation.version(emulation.compiler()) if card.simulated else native.compiler())
    elif not card.simulated:
        parts.append(_versions())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    if card.simulated and not source:
        with _lock:
            _simulated[key] = simulated(function, tuple(parameters))
        code = Code(function.__name__, "python", tuple(parameters), function.__qualname__)
        return key, code.object(key.encode())
    if source:
        return key, _objects.get(key, lambda: native.emit(function, source, parameters, card.capability))
    return key, _objects.get(key, lambda: emit(function, parameters, card.capability))


def emit(function: Callable, parameters: Sequence[Parameter], capability: tuple[int, int]) -> bytes:
    """Compile a kernel function to PTX. Raises CompileError naming what is wrong with it."""
    cuda = numba_cuda()
    from numba import types
    from numba.core.errors import NumbaError

    signature = []
    for p in parameters:
        if p.kind == "array":
            signature.append(types.Array(getattr(types, str(np.dtype(p.dtype))), p.ndim, "C"))
        elif p.kind != "share":
            signature.append(types.float32 if p.kind == "float" else types.int64)
    try:
        with _lock:
            ptx, _ = cuda.compile(
                _entry(function, parameters), tuple(signature), device=False, abi="numba", cc=capability
            )
    except (NumbaError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise CompileError(f"kernel {function.__qualname__} does not compile for cuda: {reason}") from error
    except (
        AttributeError,
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # numba-cuda lacks a library, or knows another
        reason = " ".join(str(error).split())
        raise CompileError(
            f"{_versions()} cannot compile for cuda: {reason}: pip install 'fbnet[cuda]', and see its numpy"
        ) from error
    entry = re.search(r"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    expected = sum(5 + 2 * p.ndim if p.kind == "array" else p.kind != "share" for p in parameters)
    if entry is None or entry[2].count(".param") != expected:
        raise CompileError(f"kernel {function.__qualname__}: this numba-cuda passes arrays in another way")
    return Code(entry[1], "numba", tuple(parameters), function.__qualname__).object(ptx.encode() + b"\0")


def _entry(function: Callable, parameters: Sequence[Parameter], simulated: bool = False) -> Callable:
    """The kernel's entry point, written out as Python: it knows its share, and calls the function with it."""
    cuda = numba_cuda()
    scope: dict[str, Any] = {"cuda": cuda, "kernel": cuda.jit(device=True)(function), "np": np}
    # a kernel may call its parameters anything, so here each has a prefix
    names = {p.name: f"the_{p.name}" for p in parameters}
    given = [names[p.name] for p in parameters if p.kind != "share"]
    body = [
        f"    {names[p.name]} = cuda.grid{'size' * (p.name == 'nth')}(1)"
        for p in parameters
        if p.kind == "share"
    ]
    split = [p.name for p in parameters if p.split]
    if split:
        call = ", ".join(f"{n}[row:row + 1]" if p in split else n for p, n in names.items())
        body.append(f"    for row in range(cuda.grid(1), {names[split[0]]}.shape[0], cuda.gridsize(1)):")
        body.append(f"        kernel({call})")
    else:
        body.append(f"    kernel({', '.join(names.values())})")
    if simulated:  # numpy would warn where a GPU says nothing
        scope["numba_now"], scope["simulated"] = cuda.module, cuda
        body = [
            "    simulated.now = numba_now",
            "    with np.errstate(all='ignore'):",
            *[f"    {b}" for b in body],
        ]
    exec("\n".join([f"def entry({', '.join(given)}):", *body]), scope)
    return scope["entry"]


def simulated(function: Callable, parameters: Sequence[Parameter]) -> Any:
    """The kernel as numba's simulator runs it."""
    return numba_cuda().jit(_entry(function, parameters, simulated=True))


def load_simulated(key: str) -> Any:
    """The simulated kernel of an object. Raises DeviceError."""
    try:
        return _simulated[key]
    except KeyError:
        raise DeviceError("a simulated kernel was made in another process: compile the net again") from None


def _versions() -> str:
    """The versions of the compiler."""
    found = []
    for package in ("numba", "numba-cuda"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return " ".join(found)


@lru_cache
def _own_sources() -> str:
    """A digest of this target's files: kernels call functions in each other's."""
    files = sorted(file for kind in ("py", "cu", "h") for file in Path(__file__).parent.glob(f"*.{kind}"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
