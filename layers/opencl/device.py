"""The opencl device: replays plans through OpenCL, each session on a queue of its own.

A session's kernels have their arguments from the start: a forward asks the queue for copies of the inputs, for every
kernel in order, and for copies of the outputs, and waits once. Layers without a kernel split it: the tensors that they
touch come to the host, their reference runs there, and the queue goes on with their results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from ...engine import accelerator
from ...engine.device import device
from ...engine.kernel import Parameter
from ...engine.plan import Plan, Step, Stored
from .chip import Chip, chip
from .launch import launch_of
from .memory import Loaded, QueueArena


class Handle(accelerator.Handle):
    """One session on a chip: its arena has the queue; and a function for each step, which asks for it."""

    arena: QueueArena | None = None

    def __init__(self, plan: Plan, here: Chip):
        super().__init__(plan, here)
        self.steps: list[Callable[[Any], Any]] = []  # queue -> event, None if the host computes


@device("opencl")
class OpenCL(accelerator.Accelerator):
    """Fp16 is read by every device; arithmetic in it is not needed."""

    can_time = True
    can_step = True
    handle = Handle

    def here(self) -> Chip:
        return chip()

    def load_kernels(self) -> None:
        from . import kernels  # noqa: F401 (registers them)

    def compile_kernel(self, function: Callable, parameters: Sequence[Parameter]) -> tuple[str, bytes]:
        from .source import compile_object

        return compile_object(function, parameters, chip())

    # -- the six calls -------------------------------------------------------------------------------------

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = self.plan_for(handle, shapes)
        self.destroy(handle)
        loaded = Loaded.of(plan, handle.here)
        handle.plan, handle.arena = plan, QueueArena(plan, handle.here)
        buffers = {0: handle.arena.buffer} | loaded.buffers
        handle.steps = [_asking(handle, loaded, buffers, step) for step in plan.steps]

    def forward(self, handle: Handle) -> None:
        arena = handle.prepared
        arena.check_inputs()
        arena.upload(handle.plan.net.inputs)
        for ask in handle.steps:
            ask(arena.queue)
        arena.download(handle.plan.net.outputs)
        arena.wait()

    def destroy(self, handle: Handle) -> None:
        if handle.arena is not None:
            handle.arena.close()
        handle.arena, handle.steps = None, []

    # -- looking on ----------------------------------------------------------------------------------------

    def step(self, handle: Handle, index: int) -> None:
        arena = handle.prepared
        handle.steps[index](arena.queue)
        arena.wait()

    def peek(self, handle: Handle, stored: Stored) -> np.ndarray:
        return handle.prepared.peek(stored)

    def time_steps(self, handle: Handle, rounds: int = 10) -> list[float]:
        """The median seconds of each step over whole runs: the device's own clock, or the host's for a reference."""
        self.forward(handle)  # whatever a driver does when a kernel first runs is done
        queue = handle.here.queue(timed=True)
        seconds = np.empty((rounds, len(handle.steps)))
        for row in seconds:
            for index, ask in enumerate(handle.steps):
                start = perf_counter()
                event = ask(queue)
                queue.finish()
                row[index] = perf_counter() - start
                if event is not None:
                    row[index] = 1e-9 * (event.profile.end - event.profile.start)
        return np.median(seconds, axis=0).tolist()


def _asking(handle: Handle, loaded: Loaded, buffers: Mapping[int, Any], step: Step) -> Callable[[Any], Any]:
    """The function that asks a queue for a step."""
    if step.entry < 0:
        return partial(_compute, handle, step.layer)
    chip = handle.here
    launch = launch_of(loaded.codes[step.entry], step, buffers, chip)
    if launch.empty:
        return lambda queue: None
    with chip.asked(f"{step.layer} ({step.kernel})"):
        kernel = chip.cl.Kernel(loaded.programs[step.entry], "run")
        kernel.set_args(*launch.values)

    def ask(queue: Any) -> Any:
        with chip.asked(f"{step.layer} ({step.kernel})"):
            return chip.cl.enqueue_nd_range_kernel(queue, kernel, launch.size, launch.group)

    return ask


def _compute(handle: Handle, layer_name: str, queue: Any) -> None:
    """Run one layer by its reference on the host."""
    arena, layer = handle.prepared, handle.plan.net[layer_name]
    queue.finish()
    arena.download(accelerator.given_to(handle.plan, layer_name))
    arena.wait()
    arena.compute(layer_name)
    arena.upload(layer.outputs)
    arena.wait()  # another queue, as one that measures, may go on
