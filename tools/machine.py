"""What a result has to say of where it came from: the processor, the system, the versions of what took part."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from ..engine.device import devices


def machine(names: Sequence[str], threads: Sequence[int]) -> dict[str, Any]:
    """What a result has to say of where it came from; with the measured peak of these numbers of threads."""
    from ..layers.cpu.peak import measured

    cpu = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"Python": platform.python_version()}
    versions |= {name: version(name) for name in ("fbnet", "numpy", "numba", "llvmlite", *names)}
    return {
        "cpu": cpu, "cores": cores, "target": devices["cpu"].target, "system": platform.platform(),
        "versions": {name: number for name, number in versions.items() if number},
        "peak_gflops": {count: measured(count) for count in threads},
    }  # fmt: skip


def version(package: str) -> str:
    """The installed version, '' if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
