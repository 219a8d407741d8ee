"""The cuda device: replays plans on an NVIDIA GPU, each session on a stream of its own, as graphs.

A plan's steps are asked of the stream once, while it is captured; from then on a forward is one launch of a graph
that copies the inputs in, runs every kernel, and copies the outputs out. Layers without a kernel split it: the
tensors they touch come to the host, their reference runs there, and the next graph goes on with their results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from time import perf_counter
from typing import Any

import numpy as np

from ...engine import accelerator
from ...engine.device import device
from ...engine.kernel import Parameter
from ...engine.plan import Plan, Step
from .card import card
from .launch import launch_of
from .memory import CardArena, Loaded

REPEATS = 10  # of a step that is timed: one alone is shorter than what events can tell apart


class Handle(accelerator.Handle):
    """One session on a card, with a stream of its own."""

    arena: CardArena | None = None
    loaded: Loaded | None = None
    stream: Any = None

    def __init__(self, plan: Plan, here: Any):
        super().__init__(plan, here)
        self.work: list[Any] = []  # graphs, and names of layers computed by reference


@device("cuda")
class Cuda(accelerator.Accelerator):
    """Every step between two layers of the host is in one graph."""

    handle = Handle

    def here(self) -> Any:
        return card()

    def load_kernels(self) -> None:
        from . import kernels  # noqa: F401 (registers them)

    def compile_kernel(self, function: Callable, parameters: Sequence[Parameter]) -> tuple[str, bytes]:
        from .codegen import compile_object

        return compile_object(function, parameters, card())

    # -- the six calls -------------------------------------------------------------------------------------

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = self.plan_for(handle, shapes)
        self.destroy(handle)
        handle.here.enter()
        handle.plan, handle.loaded = plan, Loaded.of(plan, handle.here)
        handle.arena, handle.stream = CardArena(plan, handle.here), handle.here.stream()
        groups = [(native, list(steps)) for native, steps in groupby(plan.steps, key=lambda s: s.entry >= 0)]
        # the first graph copies the inputs in and the last one the outputs out, if they do nothing else
        if not groups or not groups[0][0]:
            groups.insert(0, (True, []))
        if not groups[-1][0]:
            groups.append((True, []))
        for index, (native, steps) in enumerate(groups):
            if native:
                last = index == len(groups) - 1
                work = partial(_ask, handle, steps, first=index == 0, last=last)
                handle.work.append(handle.here.capture(handle.stream, work))
            else:
                handle.work += [step.layer for step in steps]

    def forward(self, handle: Handle) -> None:
        arena = handle.prepared
        arena.check_inputs()
        handle.here.enter()
        for item in handle.work:
            if isinstance(item, str):
                self._compute(handle, item)
            else:
                handle.here.replay(handle.stream, item)
        handle.here.wait(handle.stream)

    def _compute(self, handle: Handle, layer_name: str) -> None:
        """Run one layer by its reference on the host."""
        arena, layer = handle.prepared, handle.plan.net[layer_name]
        handle.here.wait(handle.stream)
        arena.download(handle.stream, accelerator.given_to(handle.plan, layer_name))
        handle.here.wait(handle.stream)
        arena.compute(layer_name)
        arena.upload(handle.stream, layer.outputs)

    def time_steps(self, handle: Handle, rounds: int = 10) -> list[float]:
        """The median seconds of each step of the plan, alone: on the GPU, as one of REPEATS in a graph."""
        self.forward(handle)
        arena, seconds = handle.prepared, []
        for step in handle.plan.steps:
            if step.entry >= 0:
                repeat = partial(_ask, handle, [step] * REPEATS, first=False, last=False)
                graph = handle.here.capture(handle.stream, repeat)
                handle.here.replay(handle.stream, graph)
                times = handle.here.seconds(
                    handle.stream, [partial(handle.here.replay, handle.stream, graph)] * rounds
                )
                handle.here.discard(graph)
                seconds.append(float(np.median(times)) / REPEATS)
            else:
                start = perf_counter()
                arena.compute(step.layer)
                seconds.append(perf_counter() - start)
        return seconds

    def time_forward(self, handle: Handle, rounds: int = 10) -> float:
        """The median seconds of all of a plan's kernels on the GPU, as one graph, without copies to and from it."""
        self.forward(handle)
        steps = [step for step in handle.plan.steps if step.entry >= 0]
        graph = handle.here.capture(handle.stream, partial(_ask, handle, steps, first=False, last=False))
        try:
            replay = partial(handle.here.replay, handle.stream, graph)
            return float(np.median(handle.here.seconds(handle.stream, [replay] * rounds)))
        finally:
            handle.here.discard(graph)

    def destroy(self, handle: Handle) -> None:
        if sys.is_finalizing():
            return  # the driver takes everything back by itself
        if handle.stream is not None:
            handle.here.enter()
            for item in handle.work:
                if not isinstance(item, str):
                    handle.here.discard(item)
            handle.here.close(handle.stream)
        if handle.arena is not None:
            handle.arena.close()
        handle.stream, handle.arena, handle.loaded, handle.work = None, None, None, []


def _ask(handle: Handle, steps: Sequence[Step], first: bool, last: bool) -> None:
    """Ask a stream for steps, after the inputs are there; and then for the outputs."""
    arena = handle.prepared
    if first:
        arena.upload(handle.stream, list(handle.plan.net.inputs))
    for step in steps:
        _launch(handle, step)
    if last:
        arena.download(handle.stream, list(handle.plan.net.outputs))


def _launch(handle: Handle, step: Step) -> None:
    """Ask a stream for one step."""
    loaded, arena = handle.loaded, handle.prepared
    assert loaded is not None
    code = loaded.codes[step.entry]
    launch = launch_of(code, step, {0: arena.address} | loaded.addresses, handle.here)
    if not launch.empty:
        handle.here.launch(handle.stream, loaded.functions[step.entry], launch, step.layer)
