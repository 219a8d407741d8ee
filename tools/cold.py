"""Cold: a whole process, from its start over the import to the first result, and the memory it took at most.

Each engine runs in processes of its own, by a program that imports nothing but numpy and that engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..engine.errors import CheckError
from ..engine.format import write
from ..engine.net import Net
from .export import fixed
from .numbers import random_inputs

_START = """
import json, sys, time
start, model, inputs, threads = sys.argv[1:]
import numpy as np
x = dict(np.load(inputs))
"""
_FBNET = """
import fbnet
plan = fbnet.load(model).compile(threads=int(threads))
with plan.session() as session:
    session.run(x)
    done = time.time()
"""
_ONNXRUNTIME = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
session.run(None, x)
done = time.time()
"""
_NOTHING = "\ndone = time.time()\n"
# The most memory of this process; ru_maxrss would count the process that started it, too.
_END = """
try:
    peak = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(json.dumps([done - float(start), peak / 1024]))
"""
PROGRAMS = {"fbnet": _FBNET, "onnxruntime": _ONNXRUNTIME, "numpy alone": _NOTHING}


@dataclass
class Cold:
    """Whole processes of one engine: seconds to the first result, and MiB at most, of each."""

    name: str
    first_s: float = 0.0  # with an empty cache: everything is compiled
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "first_s": self.first_s,
            "median_s": median(self.seconds),
            "mib": median(self.mib),
        }


def cold(net: Net, shapes: Mapping[str, tuple[int, ...]], threads: int = 1, rounds: int = 5) -> list[Cold]:
    """Each engine's processes, in turn; the first of each, in which ours compiles, is told apart. Raises CheckError."""
    shaped = fixed(net, dict(shapes))
    with tempfile.TemporaryDirectory(prefix="fbnet-cold-") as name:
        folder = Path(name)
        models = {"fbnet": folder / "net.fbnet", "onnxruntime": folder / "net.onnx"}
        for path in models.values():
            write(shaped, path)
        arrays: dict[str, Any] = random_inputs(shaped.inputs)
        np.savez(folder / "inputs.npz", **arrays)
        here = [engine for engine in PROGRAMS if engine != "onnxruntime" or find_spec(engine)]
        found = [Cold(engine) for engine in here]
        for number in range(rounds + 1):
            for entry in found:
                words = [str(models.get(entry.name, "")), str(folder / "inputs.npz"), str(threads)]
                seconds, mib = _one(entry.name, words, folder)
                if number == 0:
                    entry.first_s = seconds
                else:
                    entry.seconds.append(seconds)
                    entry.mib.append(mib)
    return found


def _one(engine: str, words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and MiB of one process."""
    program = _START + PROGRAMS[engine] + _END
    done = subprocess.run(
        [sys.executable, "-c", program, repr(time.time()), *words],
        capture_output=True, text=True, cwd=folder, env=_environment(folder),
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [
            f"exit code {done.returncode}"
        ]
        raise CheckError(f"{engine} failed in a process of its own: {lines[-1]}")
    seconds, mib = json.loads(done.stdout.splitlines()[-1])
    return seconds, mib


def _environment(folder: Path) -> dict[str, str]:
    """This process's, with a cache of its own, and modules compiled once, as those of installed packages are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"FBNET_CACHE": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
