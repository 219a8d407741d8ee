"""library: a net -> a library for a platform: plans, tables, C compiler, linker, and what its users need beside."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.compile import compile_net
from ....engine.device import Device, LibraryMaker, devices
from ....engine.errors import CompileError, FileError, InputError
from ....engine.lower import HostFallback
from ....engine.net import Net
from ....engine.plan import Plan
from ..device import Cpu
from ..target import Target
from . import beside
from .platforms import Compiler, Platform, compiler_for, platform_named
from .tables import Tables, tables

HERE = Path(__file__).parent
SOURCES = ("nn.h", "model.h", "processor.h", "team.h", "weights.h", "runtime.c")
CALLS = (
    "Init", "Prepare", "SetTensor", "Forward", "GetTensor", "Destroy", "ErrorText", "TensorCount", "TensorInfo",
    "SetThreads",
)  # fmt: skip
THREADS = 4  # that a library's plans are for, if nobody says: the program chooses how many of them to use

KINDS = ("shared", "static")
WEIGHTS = ("inside", "file")


@dataclass(frozen=True)
class Wishes:
    """How a library is to be.

    kind      'shared' or 'static'
    weights   'inside' the library, or in a 'file' beside it, which is mapped
    compact   smaller and slower: no weights are kept transformed
    prefix    of the calls' names, for several nets in one program: 'face_' makes face_NN_Init
    compiler  the command that compiles C for the platform, with its options; '' for the one that is found
    """

    name: str
    kind: str = "shared"
    weights: str = "inside"
    prefix: str = ""
    compiler: str = ""
    compact: bool = False


@dataclass(frozen=True)
class Library:
    """What was written.

    files  every file, the library first
    parts  what the library is made of -> bytes: kernels, runtime and tables, weights
    """

    platform: Platform
    files: list[Path]
    parts: dict[str, int]
    plans: Sequence[Plan]
    compiler: Compiler


def compile_library(
    net: Net,
    out: Path,
    wishes: Wishes,
    target: str = "native",
    dtype: str = "fp32",
    threads: int = THREADS,
    shapes: Sequence[Mapping[str, Sequence[int]]] = ({},),
    tune: bool | None = None,
) -> Library:
    """Compile a net for a target and write the library, and what belongs to it, into the folder `out`.

    shapes   input shapes to be ready for, each a plan; the first is the usual one
    threads  how many a session may use, at most

    Nothing is written unless all of it can be. Raises InputError, CompileError, ShapeError, FileError.
    """
    _check(wishes)
    platform = platform_named(target)
    compiler = compiler_for(platform, wishes.compiler)
    plans = compiled(net, platform.processor, dtype, threads, shapes, tune, wishes.compact)
    made = tables(plans)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written, parts = _built(folder, made, plans, platform, compiler, wishes)
        try:
            out.mkdir(parents=True, exist_ok=True)
            files = [_placed(folder / file, out / file) for file in written]
        except OSError as error:
            raise FileError(f"{out}: it cannot be written: {error.strerror or error}") from None
    return Library(platform, files, parts, plans, compiler)


def maker() -> LibraryMaker:
    """What makes a net a library for this machine. Raises CompileError if there is no C compiler, InputError."""
    compiler_for(platform_named("native"))

    def make(net: Net, shapes: Mapping[str, Sequence[int]], threads: int, folder: Path) -> tuple[Path, Plan]:
        made = compile_library(net, folder, Wishes("net"), threads=threads, shapes=[shapes])
        return made.files[0], made.plans[0]

    return make


def _placed(source: Path, place: Path) -> Path:
    """Put a file in its place at once: whoever has the one before loaded keeps that."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.copy(source, beside)
    os.replace(beside, place)
    return place


def compiled(
    net: Net,
    processor: Target,
    dtype: str,
    threads: int,
    shapes: Sequence[Mapping[str, Sequence[int]]],
    tune: bool | None,
    compact: bool = False,
) -> list[Plan]:
    """The plans of a net for a processor. Raises CompileError naming every layer that has no kernel."""
    device: Device = devices["cpu"]
    if device.target != processor.name:
        device = Cpu(processor)
    plans = []
    for some in shapes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HostFallback)  # here it is an error, and names all of them
            plan = compile_net(net, device, dtype, threads, some, tune=tune, compact=compact)
        if missing := [f"{plan.net[s.layer]}: {plan.notes[s.layer]}" for s in plan.steps if s.entry < 0]:
            raise CompileError(
                f"{net.name} cannot run without Python: no kernel for {'; '.join(missing)}; "
                "give these layers kernels, or cut them off"
            )
        plans.append(plan)
    return plans


def _check(wishes: Wishes) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*", wishes.name):
        raise InputError(
            f"a library cannot be called {wishes.name!r}: letters, digits and _.+- after a letter"
        )
    if wishes.prefix and not re.fullmatch(r"[A-Za-z_]\w*", wishes.prefix, re.ASCII):
        raise InputError(f"prefix {wishes.prefix!r} is no beginning of a name in C")
    for value, known in ((wishes.kind, KINDS), (wishes.weights, WEIGHTS)):
        if value not in known:
            raise InputError(f"{value!r} is none of {', '.join(known)}")


def _built(
    folder: Path, made: Tables, plans: Sequence[Plan], platform: Platform, compiler: Compiler, wishes: Wishes
) -> tuple[list[str], dict[str, int]]:
    """Compile and link in a folder; returns the files in it that are the result, and the library's parts."""
    for source in SOURCES:
        shutil.copy(HERE / source, folder)
    inside = wishes.weights == "inside"
    symbol = f"fbnet_weights_{made.digest}"
    (folder / "model.c").write_text(_model(made, platform, wishes, symbol if inside else ""))
    with (folder / "weights.bin").open("wb") as file:
        file.writelines(made.weights if inside else [made.mark, *made.weights])
    flags = [*platform.flags, "-std=c99", "-O2", *([] if platform.wasm else ["-fPIC"])]
    if platform.wasm:
        flags += ["-DNN_NO_THREADS", "-DNN_NO_MMAP"]
    compiler.run(*flags, "-c", "model.c", "-o", "model.o", folder=folder)
    objects = ["model.o"]
    for name, code in made.objects.items():
        (folder / f"{name}.o").write_bytes(code)
        objects.append(f"{name}.o")
    if inside:
        (folder / "weights.S").write_text(_assembly(symbol, made.weight_bytes, platform))
        compiler.run(*platform.flags, "-c", "weights.S", "-o", "weights.o", folder=folder)
        objects.append("weights.o")
    library = _linked(folder, objects, platform, compiler, wishes)
    kernels = sum(map(len, made.objects.values()))
    size = (folder / library).stat().st_size
    weights = made.weight_bytes if inside else 0
    rest = size - weights - kernels
    parts = {"kernels": kernels, "weights": weights, "runtime and tables": rest}
    files = [library, *beside.write(folder, library, plans, platform, wishes, CALLS)]
    if not inside:
        (folder / "weights.bin").rename(folder / f"{wishes.name}.weights")
        files.append(f"{wishes.name}.weights")
    return files, parts


def _model(made: Tables, platform: Platform, wishes: Wishes, symbol: str) -> str:
    """model.c: the tables and the runtime as one file of C."""
    level = platform.processor.name.removeprefix("x86-64-v").partition("+")[0]
    renamed = "".join(f"#define NN_{call} {wishes.prefix}NN_{call}\n" for call in CALLS if wishes.prefix)
    return (
        "#define _GNU_SOURCE /* which processors a thread may use */\n"
        f'{renamed}#include "nn.h"\n#include "model.h"\n\n#define TARGET "{platform.processor}"\n'
        f"#define DOTS {platform.processor.dots}\n"
        + (f"#define LEVEL {level}\n" if level.isdigit() else "")
        + (f"#define WEIGHTS {symbol}\n" if symbol else "")
        + f'{made.text}\n#include "runtime.c"\n'
    )


def _assembly(symbol: str, nbytes: int, platform: Platform) -> str:
    """The weights as an object: the assembler reads the file itself, so that none is too large for a C compiler."""
    if platform.wasm:
        head, sort = f'.section .rodata.{symbol},"",@\n', "@object"
    else:
        sort = "%object"
        head = f'.section .note.GNU-stack,"",%progbits\n.section .rodata.{symbol},"a",%progbits\n.hidden {symbol}\n'
    return (
        f"{head}.globl {symbol}\n.type {symbol},{sort}\n.balign 64\n{symbol}:\n"
        f'.incbin "weights.bin"\n.size {symbol}, {nbytes}\n'
    )


def _linked(
    folder: Path, objects: Sequence[str], platform: Platform, compiler: Compiler, wishes: Wishes
) -> str:
    """Link, or archive; returns the library's file name."""
    calls = [f"{wishes.prefix}NN_{call}" for call in CALLS]
    if wishes.kind == "static":
        library = f"lib{wishes.name}.a"
        compiler.archive("rcsD", library, *objects, folder=folder)
        return library
    if platform.wasm:
        library = f"{wishes.name}.wasm"
        exports = [f"-Wl,--export={name}" for name in (*calls, "malloc", "free")]
        compiler.run("-mexec-model=reactor", "-s", *exports, "-o", library, *objects, folder=folder)
        return library
    library = f"lib{wishes.name}.so"
    (folder / "exports").write_text(f"{{ global: {' '.join(f'{name};' for name in calls)} local: *; }};\n")
    options = [
        "-Wl,--version-script=exports",
        "-Wl,--gc-sections",
        "-Wl,-z,noexecstack",
        f"-Wl,-soname,{library}",
    ]
    libraries = ["-lpthread", "-lm"]
    compiler.run(
        *platform.flags, "-shared", "-s", *options, "-o", library, *objects, *libraries, folder=folder
    )
    return library
