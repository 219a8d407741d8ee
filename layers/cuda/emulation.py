"""emulation: kernels in CUDA C++ on the processor, so that numba's simulator is joined by what numba does not simulate.

FBNET_CXX names the C++ compiler; without it, the simulator serves numba's kernels only. A kernel is compiled with
emulated.h in front of it, which says what CUDA is to it.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import CompileError, DeviceError
from ...engine.kernel import Parameter
from ...engine.settings import setting
from .launch import Launch

OPTIONS = (
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
    "-w",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
)
LETTERS = {
    "float32": "f",
    "float16": "h",
    "int32": "i",
    "int8": "b",
    "int": "I",
    "float": "F",
}  # in emulated.h


def compiler() -> str:
    """The C++ compiler that is to be used, '' if none."""
    return setting("CXX", "")


@lru_cache
def version(name: str) -> str:
    """What a compiler says of itself. Raises CompileError if there is none of that name."""
    try:
        return subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CompileError(
            f"FBNET_CXX is {name!r}, which does not run ({error}): name a C++ compiler"
        ) from None


def emit(
    text: bytes, entry: str, macros: Sequence[tuple[str, int]], parameters: Sequence[Parameter]
) -> bytes:
    """Compile a kernel's text to a shared library. Raises CompileError with the compiler's first error."""
    here = Path(__file__).parent / "emulated.h"
    last = f"""
extern "C" VISIBLE const char *run(const uint64_t *values, const int *grid, int threads, int shared) {{
    return run_grid<{entry}>(values, grid, threads, shared);
}}
extern "C" VISIBLE const char *letters() {{ return Call<{entry}>::letters(); }}
"""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        source.write_bytes(b"".join([here.read_bytes(), text, last.encode()]))
        command = [compiler(), *OPTIONS, *(f"-D{name}={value}" for name, value in macros)]
        done = subprocess.run([*command, str(source), "-o", str(library)], capture_output=True, text=True)
        if done.returncode:
            reason = next((s for s in done.stderr.splitlines() if "error" in s), done.stderr[:200])
            raise CompileError(f"kernel {entry} does not compile by {compiler()}: {reason}")
        image = library.read_bytes()
    found = Emulated(image).letters
    wanted = "".join(
        LETTERS[p.dtype if p.kind == "array" else p.kind] for p in parameters if p.kind != "share"
    )
    # an array that is absent is said to be of float32, whatever it would be
    same = len(found) == len(wanted) and all(
        f == w or (w == "f" and f in "bhi") for f, w in zip(found, wanted, strict=True)
    )
    if not same:
        raise CompileError(f"kernel {entry} takes {found}, but is given {wanted}: see LETTERS")
    return image


_count = count()


@lru_cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="fbnet")


class Emulated:
    """A kernel that `emit` compiled, in this process."""

    def __init__(self, image: bytes):
        # the file stays as long as the process: to the loader, another one in its place on the disk would be the same
        path = Path(_folder().name, f"{next(_count)}.so")
        path.write_bytes(image)
        self.library = ctypes.CDLL(str(path))
        self.library.run.restype = self.library.letters.restype = ctypes.c_char_p

    @property
    def letters(self) -> str:
        """The types of the kernel's parameters."""
        return self.library.letters().decode()

    def run(self, launch: Launch, what: str) -> None:
        """Run a grid of blocks, one after the other. Raises DeviceError with what a GPU would have done wrong."""
        grid = (ctypes.c_int * 3)(*launch.grid)
        values: Any = np.ascontiguousarray(launch.values)
        wrong = self.library.run(ctypes.c_void_p(values.ctypes.data), grid, launch.threads, launch.shared)
        if wrong:
            raise DeviceError(f"{what}: {wrong.decode()}")
