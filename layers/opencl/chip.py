"""chip: the OpenCL device that plans run on: its context, its limits, its compiler. Only this file imports pyopencl.

The first GPU that there is, else the first accelerator, else a processor; FBNET_OPENCL, a part of a platform's or a
device's name, chooses another: FBNET_OPENCL=mali. Oclgrind, a simulator that watches every access to memory, is slow
and only for tests: it has to be asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

from ...engine.errors import CompileError, DeviceError
from ...engine.settings import setting

GROUP = 64  # work-items of a group, if nobody says: no GPU takes fewer as its most
PROGRAMS = 512  # loaded ones that are kept for the next plan
SIMULATORS = ("oclgrind",)


def chip() -> Chip:
    """The device that FBNET_OPENCL names, or the best one. Raises DeviceError that says what is missing."""
    return _chip(setting("OPENCL", "").lower())


@lru_cache
def _chip(wanted: str) -> Chip:
    cl = pyopencl()
    try:
        found = [Chip(cl, d) for platform in cl.get_platforms() for d in _devices(cl, platform)]
    except cl.Error as error:
        raise DeviceError(
            f"opencl finds no platform ({error}): install your GPU's driver, or for this processor PoCL:"
            " pip install pocl-binary-distribution, or apt-get install pocl-opencl-icd"
        ) from None
    fitting = [c for c in found if wanted in c.target.lower() and (wanted or not c.simulated)]
    if not fitting:
        there = ", ".join(c.target for c in found) or "none at all"
        raise DeviceError(
            f"opencl finds no device{f' called like {wanted!r}' * bool(wanted)}: there is {there}; see FBNET_OPENCL"
        )
    return _working(sorted(fitting, key=lambda c: c.rank))


def _working(chips: Sequence[Chip]) -> Chip:
    """The first that can compile at all: a PoCL that is older than the processor cannot. Raises DeviceError."""
    failure: CompileError | None = None
    for here in chips:
        try:
            here.compile("__kernel void run(__global int *y) { y[0] = 0; }", here.options, "of nothing")
            return here
        except CompileError as error:
            failure = failure or error
    raise DeviceError(f"opencl: {failure}: its driver does not work here, take another") from failure


def pyopencl() -> Any:
    """The library. Raises DeviceError if it is not installed."""
    try:
        import pyopencl
    except ImportError as error:
        raise DeviceError(
            f"opencl needs pyopencl, which cannot be imported ({error}): pip install 'fbnet[opencl]'"
        ) from None
    return pyopencl


def _devices(cl: Any, platform: Any) -> list[Any]:
    try:
        return [d for d in platform.get_devices() if d.compiler_available]
    except cl.Error:  # a platform without devices says so by an error
        return []


class Chip:
    """One OpenCL device and a context of it alone."""

    def __init__(self, cl: Any, device: Any):
        self.cl, self.device = cl, device
        self.name = device.name.strip()
        self.largest_bytes = device.max_mem_alloc_size  # in one piece
        self.most_items = device.max_work_group_size  # of a group: 64 on a small Mali
        self.axis_items = tuple(device.max_work_item_sizes)  # of a group along each axis
        self.local_bytes = device.local_mem_size
        self.load = lru_cache(PROGRAMS)(self._load)

    @cached_property
    def context(self) -> Any:
        """Made when something is asked for: a device may be there that nobody uses."""
        with self.asked("a context"):
            return self.cl.Context([self.device])

    @property
    def rank(self) -> int:
        """The smaller, the sooner it is taken. A simulator says that it is all kinds at once."""
        kinds = self.cl.device_type.GPU, self.cl.device_type.ACCELERATOR
        return next((i for i, kind in enumerate(kinds) if self.device.type & kind), len(kinds))

    @property
    def simulated(self) -> bool:
        return any(name in self.target.lower() for name in SIMULATORS)

    @property
    def target(self) -> str:
        """What a compiled program is for: it runs on this device with this driver only."""
        return f"{self.device.platform.name.strip()} {self.name} {self.device.driver_version.strip()}"

    @property
    def group(self) -> int:
        """Work-items of a group of a kernel that does not care."""
        return min(GROUP, self.most_items, self.axis_items[0])

    @cached_property
    def exact_division(self) -> bool:
        """Whether the compiler can be asked for divisions that round as IEEE 754 says."""
        config = self.cl.device_fp_config
        return bool(self.device.single_fp_config & config.CORRECTLY_ROUNDED_DIVIDE_SQRT)

    @property
    def options(self) -> list[str]:
        """What every program is compiled with: never one of the options that make arithmetic loose."""
        exact = ["-cl-fp32-correctly-rounded-divide-sqrt"] if self.exact_division else []
        return [*exact, f"-DEXACT_DIVISION={int(self.exact_division)}"]

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Errors of the driver in this block are DeviceErrors."""
        try:
            yield
        except self.cl.MemoryError:
            raise DeviceError(f"{self.name} has no memory for {what}: give it a smaller batch") from None
        except self.cl.Error as error:
            raise DeviceError(f"opencl: {self.name} failed at {what}: {error}") from error

    def buffer(self, nbytes: int, what: str, data: Any = None) -> Any:
        """Memory of the device, with what is in an array. Raises DeviceError if there is not so much."""
        flags = self.cl.mem_flags
        if nbytes > self.largest_bytes:
            raise DeviceError(
                f"{self.name} has no memory for {what}: {nbytes:,} bytes, but it gives {self.largest_bytes:,}"
                " in one piece: give it a smaller batch"
            )
        with self.asked(what):
            if data is None or not nbytes:
                return self.cl.Buffer(self.context, flags.READ_WRITE, max(1, nbytes))
            return self.cl.Buffer(self.context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=data)

    def queue(self, timed: bool = False) -> Any:
        """A queue that does one thing after another, in the order in which they are asked."""
        properties = self.cl.command_queue_properties.PROFILING_ENABLE if timed else 0
        with self.asked("a queue"):
            return self.cl.CommandQueue(self.context, properties=properties)

    def compile(self, text: str, options: Sequence[str], what: str) -> bytes:
        """The program as this device's own code. Raises CompileError with the first line of the compiler's log."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a compiler that has something to say, but no error
                program = self.cl.Program(self.context, text).build(list(options), cache_dir=False)
            return program.get_info(self.cl.program_info.BINARIES)[0]
        except self.cl.Error as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = next((line for line in lines if "error:" in line.lower()), lines[0] if lines else "")
            raise CompileError(f"kernel {what} does not compile for {self.name}: {reason}") from None

    def _load(self, binary: bytes) -> Any:
        """The program that `compile` made."""
        with self.asked("a program"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.cl.Program(self.context, [self.device], [binary]).build()
