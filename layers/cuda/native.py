"""native: kernels written in CUDA C++, for what numba cannot say: matrix instructions and copies past the registers.

    @declare("finish.cu", "gemm.cu", BM=128, BN=128)
    def gemm(x, w, y, count, threads, blocks_x): ...

The function has no body that counts: its parameters are those of the `extern "C" __global__` function of its name in
the last file, pointers for arrays, 32-bit ints and floats for the rest. The numbers become macros.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

from ...engine.errors import CompileError
from ...engine.kernel import Call, Parameter
from . import emulation
from .card import card
from .launch import Code

LIBRARIES = tuple(f"libnvrtc.so{suffix}" for suffix in (".13", ".12", ""))


Source = tuple[tuple[str, ...], tuple[tuple[str, int], ...]]  # files, in order, and macros


def declare(*files: str, **macros: int) -> Callable[[Callable], Callable]:
    """Declare that a function is written in CUDA C++ in the last of `files`; those before it are what it uses."""

    def mark(function: Callable) -> Callable:
        function.native = (files, tuple(sorted(macros.items())))  # type: ignore[attr-defined]
        return function

    return mark


def variant(function: FunctionType, name: str, **macros: int) -> Callable:
    """The same function with other macros, under another name."""
    files, before = function.native  # type: ignore[attr-defined]
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__ = name
    copy.native = (files, tuple(sorted((dict(before) | macros).items())))  # type: ignore[attr-defined]
    return copy


def source_of(function: Callable) -> Source | None:
    """Where a function declared here is written; None for others."""
    return getattr(function, "native", None)


@lru_cache
def library() -> Any:
    """NVIDIA's run-time compiler, None if it is not installed."""
    found = []
    try:
        import nvidia  # where its packages put their libraries

        for root in nvidia.__path__:
            found += [str(path) for name in LIBRARIES[:2] for path in Path(root).glob(f"*/lib/{name}")]
    except ImportError:
        pass
    for name in [*found, *LIBRARIES]:
        try:
            for part in Path(name).parent.glob("libnvrtc-builtins.so*") if name in found else ():
                ctypes.CDLL(str(part))  # the compiler asks for it by its name, and finds what is loaded
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def serves(predicate: Callable[[Call], bool | str], capability: tuple[int, int] = (0, 0)) -> Callable:
    """The predicate of a kernel in CUDA C++: for GPUs from a capability on, and for the simulator with a compiler."""

    def native_too(call: Call) -> bool | str:
        if card().simulated:
            return predicate(call) if emulation.compiler() else "the simulator knows numba's kernels only"
        if card().capability < capability:
            return f"{card().name} has capability {card().capability}, not yet {capability}"
        if library() is None:
            return "NVRTC is not installed: pip install 'fbnet[cuda]'"
        return predicate(call)

    return native_too


def compiler() -> str:
    """Its name and version."""
    major, minor = c_int(), c_int()
    if library() is None:
        return "no NVRTC"
    library().nvrtcVersion(byref(major), byref(minor))
    return f"NVRTC {major.value}.{minor.value}"


def text_of(files: Sequence[str]) -> bytes:
    """What is compiled: files of this folder, one after the other."""
    return b"".join((Path(__file__).parent / name).read_bytes() for name in files)


def emit(
    function: Callable, source: Source, parameters: Sequence[Parameter], capability: tuple[int, int]
) -> bytes:
    """The object of a function for a GPU, or for the simulator (0, 0). Raises CompileError."""
    files, macros = source
    entry = function.__code__.co_name  # type: ignore[attr-defined]
    if capability == (0, 0):
        image = emulation.emit(text_of(files), entry, macros, parameters)
    else:
        image = compiled(entry, text_of(("instructions.cu", *files)), macros, capability)
    return Code(entry, "cuda", tuple(parameters), function.__qualname__).object(image)


def compiled(
    entry: str, text: bytes, macros: Sequence[tuple[str, int]], capability: tuple[int, int]
) -> bytes:
    """Compile a text for a GPU. Raises CompileError with the compiler's own words."""
    nvrtc = library()
    if nvrtc is None:
        raise CompileError(f"kernel {entry} needs NVIDIA's run-time compiler: pip install 'fbnet[cuda]'")
    program, size = c_void_p(), c_size_t()
    nvrtc.nvrtcCreateProgram(byref(program), c_char_p(text), c_char_p(entry.encode()), 0, None, None)
    options = ["-arch=sm_{}{}".format(*capability), "-default-device", "-std=c++17"]
    options += [f"-D{name}={value}" for name, value in macros]
    given = (c_char_p * len(options))(*[o.encode() for o in options])
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), given):
            nvrtc.nvrtcGetProgramLogSize(program, byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            raise CompileError(f"kernel {entry} does not compile: {log.value.decode()}")
        nvrtc.nvrtcGetCUBINSize(program, byref(size))
        image = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, image)
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))
    return image.raw
