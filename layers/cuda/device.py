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

from ...engine.compile import compile_net
from ...engine.device import Device, device
from ...engine.errors import DeviceError
from ...engine.kernel import Parameter
from ...engine.plan import Plan, Step
from .card import card
from .launch import launch_of
from .memory import CardArena, Loaded

REPEATS = 10  # of a step that is timed: one alone is shorter than what events can tell apart


class Handle:
    """One session on a card: its plan, code, arena, stream and graphs."""

    def __init__(self, plan: Plan, card: Any):
        self.plan, self.card = plan, card
        self.loaded: Loaded | None = None
        self.arena: CardArena | None = None
        self.stream: Any = None
        self.work: list[Any] = []  # graphs, and names of layers computed by reference


@device("cuda")
class Cuda(Device):
    """Every step a kernel on the GPU; layers without one run by their reference on the host in between."""

    host_threads = False
    halves = True

    @property
    def target(self) -> str:
        return card().target

    def available(self) -> bool:
        try:
            return bool(self.target)
        except DeviceError:
            return False

    def load_kernels(self) -> None:
        from . import kernels  # noqa: F401 (registers them)

    def compile_kernel(self, function: Callable, parameters: Sequence[Parameter]) -> tuple[str, bytes]:
        from .codegen import compile_object

        return compile_object(function, parameters, card())

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        here = card()
        if plan.target != here.target:
            raise DeviceError(f"this plan is for {plan.target}, but here is {here.target}: compile it here")
        return Handle(plan, here)

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        if handle.arena is not None or {k: tuple(v) for k, v in shapes.items()} != plan.shapes():
            plan = compile_net(plan.net, self.name, plan.dtype, plan.threads, shapes)
        self.destroy(handle)
        handle.card.enter()
        handle.plan, handle.loaded = plan, Loaded.of(plan, handle.card)
        handle.arena, handle.stream = CardArena(plan, handle.card), handle.card.stream()
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
                handle.work.append(handle.card.capture(handle.stream, work))
            else:
                handle.work += [step.layer for step in steps]

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        _prepared(handle).write(name, array)

    def forward(self, handle: Handle) -> None:
        arena = _prepared(handle)
        arena.check_inputs()
        handle.card.enter()
        for item in handle.work:
            if isinstance(item, str):
                self._compute(handle, item)
            else:
                handle.card.replay(handle.stream, item)
        handle.card.wait(handle.stream)

    def _compute(self, handle: Handle, layer_name: str) -> None:
        """Run one layer by its reference on the host."""
        arena, layer = _prepared(handle), handle.plan.net[layer_name]
        handle.card.wait(handle.stream)
        given = [name for name in layer.inputs if name and name not in handle.plan.net.inputs]
        arena.download(handle.stream, given)
        handle.card.wait(handle.stream)
        arena.compute(layer_name)
        arena.upload(handle.stream, layer.outputs)

    def time_steps(self, handle: Handle, rounds: int = 10) -> list[float]:
        """The median seconds of each step of the plan, alone: on the GPU, as one of REPEATS in a graph."""
        self.forward(handle)
        arena, seconds = _prepared(handle), []
        for step in handle.plan.steps:
            if step.entry >= 0:
                repeat = partial(_ask, handle, [step] * REPEATS, first=False, last=False)
                graph = handle.card.capture(handle.stream, repeat)
                handle.card.replay(handle.stream, graph)
                times = handle.card.seconds(
                    handle.stream, [partial(handle.card.replay, handle.stream, graph)] * rounds
                )
                handle.card.discard(graph)
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
        graph = handle.card.capture(handle.stream, partial(_ask, handle, steps, first=False, last=False))
        try:
            replay = partial(handle.card.replay, handle.stream, graph)
            return float(np.median(handle.card.seconds(handle.stream, [replay] * rounds)))
        finally:
            handle.card.discard(graph)

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        return _prepared(handle).read(name)

    def destroy(self, handle: Handle) -> None:
        if sys.is_finalizing():
            return  # the driver takes everything back by itself
        if handle.stream is not None:
            handle.card.enter()
            for item in handle.work:
                if not isinstance(item, str):
                    handle.card.discard(item)
            handle.card.close(handle.stream)
        if handle.arena is not None:
            handle.arena.close()
        handle.stream, handle.arena, handle.loaded, handle.work = None, None, None, []


def _ask(handle: Handle, steps: Sequence[Step], first: bool, last: bool) -> None:
    """Ask a stream for steps, after the inputs are there; and then for the outputs."""
    arena = _prepared(handle)
    if first:
        arena.upload(handle.stream, list(handle.plan.net.inputs))
    for step in steps:
        _launch(handle, step)
    if last:
        arena.download(handle.stream, list(handle.plan.net.outputs))


def _launch(handle: Handle, step: Step) -> None:
    """Ask a stream for one step."""
    loaded, arena = handle.loaded, _prepared(handle)
    assert loaded is not None
    code = loaded.codes[step.entry]
    launch = launch_of(code, step, {0: arena.address} | loaded.addresses, handle.card)
    if not launch.empty:
        handle.card.launch(handle.stream, loaded.functions[step.entry], launch, step.layer)


def _prepared(handle: Handle) -> CardArena:
    if handle.arena is None:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.arena
