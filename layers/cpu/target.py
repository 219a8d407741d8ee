"""Target: what code is generated for. A machine level, never one machine, so that objects can be shared.

x86-64 has published levels (x86-64-v2, v3, v4; System V psABI), and a host is the highest one whose flags it has;
"+vnni" adds the instruction that multiplies four bytes a lane, which no level has.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...engine.errors import DeviceError, did_you_mean
from ...engine.settings import setting


@dataclass(frozen=True)
class Target:
    """Where code will run.

    name       what people type: 'x86-64-v3'
    triple     LLVM's target triple
    cpu        LLVM's processor name
    features   LLVM feature string, '' for the processor's own
    width      bytes of a vector register
    registers  number of vector registers
    fma        whether it multiplies and adds in one instruction
    halves     whether it makes a vector of fp16 one of fp32 in an instruction
    dots       small integers that a lane multiplies and adds up in one instruction: 4 bytes, or 2 int16
    shift      what is to be added to each of four bytes first: 128 where the instruction reads them unsigned
    brings     functions that its processor has no instruction for, but every compiler and C library for it brings along
    """

    name: str
    triple: str
    cpu: str
    features: str
    width: int
    registers: int
    fma: bool = True
    dots: int = 2
    shift: int = 0
    halves: bool = False
    brings: tuple[str, ...] = ()

    @property
    def lanes(self) -> int:
        """fp32 numbers in one vector."""
        return self.width // 4

    def __str__(self) -> str:
        return self.name


def _x86(
    level: str, width: int, registers: int, features: str = "", fma: bool = True, dots: int = 2
) -> Target:
    cpu, halves, shift = level.split("+")[0], level != "x86-64-v2", 128 if dots == 4 else 0
    return Target(
        level, "x86_64-unknown-linux-gnu", cpu, features, width, registers, fma, dots, shift, halves
    )


# Whole numbers of 64 bits, and division, on a 32-bit ARM: "Run-time ABI for the Arm Architecture", chapter 5. And C's
# roundings, which are exact, so that it does not matter whose they are.
_ARM_BRINGS = (
    *("__aeabi_idiv", "__aeabi_uidiv", "__aeabi_idivmod", "__aeabi_uidivmod"),
    *("__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_lmul", "__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr"),
    *("__aeabi_l2f", "__aeabi_l2d", "__aeabi_ul2f", "__aeabi_ul2d"),
    *("__aeabi_f2lz", "__aeabi_f2ulz", "__aeabi_d2lz", "__aeabi_d2ulz"),
    *(f"__aeabi_mem{what}{n}" for what in ("cpy", "move", "set", "clr") for n in ("", "4", "8")),
    *(f"{name}{kind}" for name in ("floor", "ceil", "trunc", "rint") for kind in ("", "f")),
)

TARGETS = {
    t.name: t
    for t in (
        _x86("x86-64-v2", 16, 16, fma=False),
        _x86("x86-64-v3", 32, 16),
        _x86("x86-64-v3+vnni", 32, 16, "+avxvnni", dots=4),
        _x86("x86-64-v4", 64, 32, "-prefer-256-bit"),
        _x86("x86-64-v4+vnni", 64, 32, "-prefer-256-bit,+avx512vnni", dots=4),
        Target("aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32, halves=True),
        Target(
            "aarch64+dotprod",
            "aarch64-unknown-linux-gnu",
            "generic",
            "+neon,+dotprod",
            16,
            32,
            dots=4,
            halves=True,
        ),
        Target(
            "armv7", "armv7-unknown-linux-gnueabihf", "generic", "+neon,+vfp4", 16, 16, brings=_ARM_BRINGS
        ),
        Target("riscv64", "riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c,+v", 16, 32),
        Target("wasm32", "wasm32-unknown-unknown", "generic", "+simd128", 16, 16, fma=False),
    )
}

_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
_VNNI = {"x86-64-v3": {"avx_vnni"}, "x86-64-v4": {"avx512_vnni"}}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def target(name: str) -> Target:
    """The target called `name`. Raises DeviceError."""
    if name not in TARGETS:
        raise DeviceError(
            f"target {name!r} is unknown.{did_you_mean(name, TARGETS)} There are: {', '.join(TARGETS)}"
        )
    return TARGETS[name]


@lru_cache
def host() -> Target:
    """This machine's target, or the one that the environment variable FBNET_TARGET names."""
    wanted = setting("TARGET", "")
    if wanted:
        return target(wanted)
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        flags = _flags("flags")
        level = "x86-64-v4" if flags >= _V4 else "x86-64-v3" if flags >= _V3 else "x86-64-v2"
        return TARGETS[level + "+vnni" if flags & _VNNI.get(level, set()) else level]
    if machine in ("aarch64", "arm64"):
        return TARGETS["aarch64+dotprod" if "asimddp" in _flags("Features") else "aarch64"]
    raise DeviceError(f"the cpu device knows no target for {machine!r}; use device='reference'")


def _flags(title: str) -> set[str]:
    """The processor's flags as Linux names them; elsewhere as LLVM does, which costs loading it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        line = next(row for row in text.splitlines() if row.startswith(title))
        return set(line.split(":")[1].split())
    except (OSError, StopIteration):
        import llvmlite.binding as llvm

        known = {"bmi": "bmi1", "avxvnni": "avx_vnni", "avx512vnni": "avx512_vnni", "dotprod": "asimddp"}
        return {known.get(name, name) for name, there in llvm.get_host_cpu_features().items() if there}
