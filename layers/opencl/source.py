"""source: kernels are written in OpenCL C, in the .cl files of this folder. What is declared here says which.

    @written_in("pool.cl", METHOD="max")
    def pool(x, y, h, w, ..., items): ...

The function has no body that counts: its name and parameters are those of a function in the file, which does what one
work-item has to do: pointers for arrays, 32-bit ints and floats for the rest. The `__kernel` around it is written here.

An array x comes as a buffer and a place in it, since a plan's tensors share one; the file may call its type `x_t`.
Parameters that only say how a kernel is launched (launch.py) are not passed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FunctionType

from ...engine.cache import Cache
from ...engine.errors import CompileError
from ...engine.kernel import Parameter
from .chip import Chip
from .launch import LAUNCH, Code

ENTRY = "run"  # every program's one kernel
TYPES = {
    "float32": "float", "float16": "half", "int8": "char", "uint8": "uchar", "bool": "uchar", "int16": "short",
    "uint16": "ushort", "int32": "int", "uint32": "uint", "int64": "long", "uint64": "ulong",
}  # fmt: skip

_programs = Cache("opencl", ".bin")


@dataclass(frozen=True)
class Source:
    """The files that a kernel's program is made of, in order, and their macros."""

    files: tuple[str, ...]
    macros: tuple[tuple[str, str | int], ...]


def written_in(*files: str, **macros: str | int) -> Callable[[FunctionType], FunctionType]:
    """Declare that a function is written in OpenCL C, in the last of `files`; those before it are what it uses."""

    def mark(function: FunctionType) -> FunctionType:
        function.opencl = Source(files, tuple(macros.items()))  # type: ignore[attr-defined]
        return function

    return mark


def variant(function: FunctionType, name: str = "", **macros: str | int) -> FunctionType:
    """The same function with other macros, under another name."""
    source = function.opencl  # type: ignore[attr-defined]
    copy = FunctionType(function.__code__, function.__globals__, name or function.__name__)
    copy.__module__, copy.__qualname__ = function.__module__, name or function.__qualname__
    copy.opencl = replace(source, macros=tuple((dict(source.macros) | macros).items()))  # type: ignore[attr-defined]
    return copy


def compile_object(function: Callable, parameters: Sequence[Parameter], chip: Chip) -> tuple[str, bytes]:
    """(key, object) of a kernel for a device, from the cache if it was compiled before. Raises CompileError."""
    source: Source | None = getattr(function, "opencl", None)
    if source is None:
        raise CompileError(
            f"kernel {function.__qualname__} is Python, and opencl's are OpenCL C: declare it with written_in"
        )
    return _compiled(source, function.__code__.co_name, function.__qualname__, tuple(parameters), chip)  # type: ignore[attr-defined]


@lru_cache(1024)
def _compiled(
    source: Source, entry: str, name: str, parameters: tuple[Parameter, ...], chip: Chip
) -> tuple[str, bytes]:
    text = program(source, entry, parameters)
    key = hashlib.sha256("\0".join([text, *chip.options, chip.target]).encode()).hexdigest()[:32]
    binary = _programs.get(key, lambda: chip.compile(text, chip.options, name))
    return f"{key}/{name}", Code(name, parameters).object(binary)


def program(source: Source, function: str, parameters: Sequence[Parameter]) -> str:
    """The whole text of the program whose work-items call `function`. Raises CompileError."""
    macros = [f"#define {name} {value}" for name, value in source.macros]
    types = [f"#define {p.name}_t {_type(p, function)}" for p in parameters if p.kind == "array"]
    taken, given = [], []
    for p in parameters:
        if p.name in LAUNCH:
            continue
        if p.kind == "array":
            taken += [f"__global {p.name}_t *{p.name}_buffer", f"const ulong {p.name}_at"]
            given.append(f"(__global void *)({p.name}_buffer + {p.name}_at)")  # an absent one's type is any
        else:
            taken.append(f"__local float *{p.name}" if p.name == "shared" else f"const {p.kind} {p.name}")
            given.append(p.name)
    entry = f"__kernel void {ENTRY}({', '.join(taken)}) {{\n    {function}({', '.join(given)});\n}}\n"
    return "\n".join([*macros, *types, *map(_text, source.files), entry])


def _type(p: Parameter, function: str) -> str:
    try:
        return TYPES[p.dtype]
    except KeyError:
        raise CompileError(f"kernel {function}: opencl has no {p.dtype} for {p.name}") from None


@lru_cache
def _text(file: str) -> str:
    return (Path(__file__).parent / file).read_text()
