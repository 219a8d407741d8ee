"""platforms: where a library is to run, and which C compiler makes it: the system's for that target, or zig's."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.errors import CompileError, DeviceError, InputError, did_you_mean
from ..target import Target, host, target


@dataclass(frozen=True)
class Platform:
    """A processor and an ABI.

    name       what people type: 'aarch64-linux-gnu'
    processor  what kernels are compiled for
    zig        what zig calls it
    package    Debian's package of its C compiler
    flags      of the C compiler
    """

    name: str
    processor: Target
    zig: str
    package: str = ""
    flags: tuple[str, ...] = ()

    @property
    def wasm(self) -> bool:
        return self.processor.triple.startswith("wasm")

    @property
    def here(self) -> bool:
        """Whether this machine is one, so that its own compiler serves."""
        try:
            return sys.platform == "linux" and host().triple == self.processor.triple
        except DeviceError:
            return False

    def __str__(self) -> str:
        return self.name


def _linux(name: str, processor: str, package: str, *flags: str) -> Platform:
    zig = {"armv7-linux-gnueabihf": "arm-linux-gnueabihf"}.get(
        name, name.partition("-v")[0].partition("+")[0]
    )
    return Platform(name, target(processor), zig, package, flags)


_X86 = "gcc-x86-64-linux-gnu"
_LEVELS = ("", "-v2", "-v3", "-v3+vnni", "-v4", "-v4+vnni")  # of x86-64; without one, the first
PLATFORMS = {
    p.name: p
    for p in (
        *(_linux(f"x86_64-linux-gnu{level}", f"x86-64{level or '-v2'}", _X86) for level in _LEVELS),
        _linux("aarch64-linux-gnu", "aarch64", "gcc-aarch64-linux-gnu"),
        _linux("aarch64-linux-gnu+dotprod", "aarch64+dotprod", "gcc-aarch64-linux-gnu"),
        _linux("armv7-linux-gnueabihf", "armv7", "gcc-arm-linux-gnueabihf", "-march=armv7-a+neon-vfpv4"),
        _linux("riscv64-linux-gnu", "riscv64", "gcc-riscv64-linux-gnu"),
        Platform("wasm32", target("wasm32"), "wasm32-wasi"),
    )
}


def platform_named(name: str) -> Platform:
    """The platform called `name`; 'native' is this machine. Raises InputError."""
    if name == "native":
        name = _native()
    if name not in PLATFORMS:
        raise InputError(
            f"target {name!r} is unknown.{did_you_mean(name, PLATFORMS)} There are: native, {', '.join(PLATFORMS)}"
        )
    return PLATFORMS[name]


def _native() -> str:
    """What this machine is called."""
    here = host()
    fits = [p.name for p in PLATFORMS.values() if p.processor == here and not p.wasm]
    if sys.platform != "linux" or not fits:
        raise InputError(
            f"libraries are for Linux and WebAssembly: say --target, since this machine is {here}"
        )
    return fits[-1]


@dataclass(frozen=True)
class Compiler:
    """A C compiler for a platform, which links too."""

    command: tuple[str, ...]

    def run(self, *arguments: str | Path, folder: Path) -> None:
        """Compile or link. Raises CompileError with what the compiler said."""
        _run([*self.command, *map(str, arguments)], folder)

    def archive(self, *arguments: str | Path, folder: Path) -> None:
        """Run the archiver that belongs to the compiler. Raises CompileError."""
        if self.command[1:3] == ("-m", "ziglang"):
            archiver = [*self.command[:3], "ar"]
        else:
            asked = [*self.command, "-print-prog-name=ar"]
            said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
            archiver = [shutil.which(said) or "ar"]
        _run([*archiver, *map(str, arguments)], folder)

    def __str__(self) -> str:
        return " ".join(self.command)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise CompileError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or [done.stderr[:300]]
        raise CompileError(
            f"{' '.join(command[:4])} failed: {said[0].strip() or f'exit code {done.returncode}'}"
        )


def compiler_for(platform: Platform, chosen: str = "") -> Compiler:
    """The C compiler for a platform: `chosen`, a command line; or the system's; or zig's. Raises CompileError."""
    if chosen:
        words = shlex.split(chosen)
        if not words or not shutil.which(words[0]):
            raise CompileError(
                f"there is no C compiler {chosen!r}: give the command that compiles for {platform}"
            )
        return Compiler(tuple(words))
    if not platform.wasm:
        triple = "arm-linux-gnueabihf" if platform.zig.startswith("arm-") else platform.zig
        names = [f"{triple}-gcc", *(("cc", "gcc", "clang") if platform.here else ())]
        for found in filter(None, map(shutil.which, names)):
            return Compiler((found,))
    if importlib.util.find_spec("ziglang") is not None:
        return Compiler((sys.executable, "-m", "ziglang", "cc", "-target", platform.zig))
    system = f"install {platform.package} (as Debian calls it), or " if platform.package else ""
    raise CompileError(
        f"there is no C compiler for {platform}: {system}pip install 'fbnet[native]' for zig's, "
        "or name one with --cc"
    )
