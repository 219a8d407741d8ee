"""The cpu device: replays plans of compiled kernels on the threads of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from time import perf_counter
from typing import Any

import numpy as np

from ...engine.arena import Arena
from ...engine.compile import compile_net
from ...engine.device import Device, LibraryMaker, Span, device
from ...engine.errors import DeviceError
from ...engine.kernel import Parameter
from ...engine.plan import Plan, Step, Stored
from .loader import load
from .replay import CONTROL_WORDS
from .target import Target, host
from .threads import Team


class Segment:
    """Steps in a row that run natively: their table, and the control block that replay reads.

    table    (entry address, argument block address, threads) of each step
    control  COUNT, STEPS, SYNC, WAIT: see replay.py
    """

    def __init__(self, steps: Sequence[Step], arena: Arena, entries: Sequence[int]):
        self.blocks = [_argument_block(step, arena) for step in steps]
        self.table = np.array(
            [[entries[s.entry], b.ctypes.data, s.threads] for s, b in zip(steps, self.blocks, strict=True)],
            np.int64,
        )
        self.control = np.zeros(CONTROL_WORDS, np.int64)
        self.control[:2] = len(steps), self.table.ctypes.data

    def alone(self, index: int) -> np.ndarray:
        """A control block that runs one step of the table."""
        control = self.control.copy()
        control[:2] = 1, self.table[index].ctypes.data
        return control


def _argument_block(step: Step, arena: Arena) -> np.ndarray:
    """The step's words with every address filled in."""
    words = np.array(step.words or (0,), np.int64)
    for index, region in step.relocations:
        words[index] += arena.addresses[region]
    return words


class Handle:
    """One session on the cpu: its plan, code, arena and team of threads."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.code: Any = None
        self.arena: Arena | None = None
        self.work: list[Segment | str] = []  # native segments, and names of layers computed by reference
        self.team: Team | None = None
        self.calls: list[Callable[[], None]] | None = None  # one step each, made when asked for


@device("cpu")
class Cpu(Device):
    """Every step a native kernel; layers without one run by their reference in between."""

    reorder = "Reorder"
    can_time = True
    can_step = True
    rounds = True

    def __init__(self, processor: Target | None = None) -> None:
        """For this machine's processor, or for another, whose plans nobody can time or run here."""
        self._processor = processor
        self._compiled: dict[tuple, tuple[str, bytes]] = {}
        if processor is not None:
            self.can_time = False  # type: ignore[misc]

    @property
    def processor(self) -> Target:
        return self._processor or host()

    @property
    def target(self) -> str:
        return self.processor.name

    @property
    def lanes(self) -> int:  # type: ignore[override]
        return self.processor.lanes

    @property
    def registers(self) -> int:  # type: ignore[override]
        return self.processor.registers

    @property
    def dots(self) -> int:  # type: ignore[override]
        return self.processor.dots

    @property
    def shift(self) -> int:  # type: ignore[override]
        return self.processor.shift

    @property
    def halves(self) -> bool:  # type: ignore[override]
        return self.processor.halves

    def load_kernels(self) -> None:
        from . import kernels  # noqa: F401 (registers them)

    def compile_kernel(self, function: Callable, parameters: Sequence[Parameter]) -> tuple[str, bytes]:
        from .codegen import compile_object

        known = (function, tuple(parameters), self.processor)
        if known not in self._compiled:
            self._compiled[known] = compile_object(function, parameters, self.processor)
        return self._compiled[known]

    def runtime_objects(self) -> list[bytes]:
        """The replay loop and the workers' loop; every plan of this device carries them."""
        from . import replay

        control = [Parameter("control", "block"), Parameter("ith", "share"), Parameter("nth", "share")]
        sync = [Parameter("sync", "block"), *control[1:]]
        return [self.compile_kernel(replay.run, control)[1], self.compile_kernel(replay.work, sync)[1]]

    def library_maker(self) -> LibraryMaker:
        from .native.library import maker

        return maker()

    def seconds(self, macs: int, nbytes: int) -> float:
        """At two thirds of what two multiply-adds a cycle would give, and from a cache beyond the nearest."""
        return macs / (4e9 * self.lanes) + nbytes / 2e10

    # -- the six calls -------------------------------------------------------------------------------------

    def init(self, plan: Plan) -> Handle:
        if plan.target != host().name:
            raise DeviceError(
                f"this plan is for {plan.target}, but this machine is {host()}: compile it here"
            )
        return Handle(plan)

    def prepare(self, handle: Handle, shapes: Mapping[str, Sequence[int]]) -> None:
        plan = handle.plan
        if handle.arena is not None or {k: tuple(v) for k, v in shapes.items()} != plan.shapes():
            plan = compile_net(plan.net, self.name, plan.dtype, plan.threads, shapes)
        self.destroy(handle)
        entries, handle.code = load(plan.objects)
        handle.plan, handle.arena = plan, Arena(plan)
        handle.work = []
        for native, steps in groupby(plan.steps, key=lambda s: s.entry >= 0):
            group = list(steps)
            handle.work += [Segment(group, handle.arena, entries)] if native else [s.layer for s in group]
        widest = max((step.threads for step in plan.steps), default=1)
        handle.team = Team(widest, run=entries[-2], work=entries[-1])

    def set_tensor(self, handle: Handle, name: str, array: np.ndarray) -> None:
        _prepared(handle).write(name, array)

    def forward(self, handle: Handle) -> None:
        arena = _prepared(handle)
        arena.check_inputs()
        for item in handle.work:
            if isinstance(item, Segment):
                handle.team.replay(item.control)
            else:
                arena.compute(item)

    def time_steps(self, handle: Handle, rounds: int = 10) -> list[float]:
        """The median seconds of each step of the plan, one native call each, over `rounds` whole runs.

        The steps run in their order, so each finds its inputs where the step before has left them.
        """
        _prepared(handle).check_inputs()
        calls = self._calls(handle)
        seconds = np.empty((rounds, len(calls)))
        for row in seconds:
            for index, call in enumerate(calls):
                start = perf_counter()
                call()
                row[index] = perf_counter() - start
        return np.median(seconds, axis=0).tolist()

    def _calls(self, handle: Handle) -> list[Callable[[], None]]:
        """A function for each step of the plan that runs it alone."""
        if handle.calls is None:
            arena, handle.calls = _prepared(handle), []
            for item in handle.work:
                if isinstance(item, Segment):
                    blocks = [item.alone(index) for index in range(len(item.table))]
                    handle.calls += [partial(handle.team.replay, block) for block in blocks]  # type: ignore[union-attr]
                else:
                    handle.calls.append(partial(arena.compute, item))
        return handle.calls

    def step(self, handle: Handle, index: int) -> None:
        self._calls(handle)[index]()

    def peek(self, handle: Handle, stored: Stored) -> np.ndarray:
        return _prepared(handle).peek(stored)

    def timeline(self, handle: Handle) -> list[Span]:
        from .timeline import recorded

        _prepared(handle).check_inputs()
        return recorded(self, handle)

    def get_tensor(self, handle: Handle, name: str) -> np.ndarray:
        return _prepared(handle).read(name)

    def destroy(self, handle: Handle) -> None:
        if handle.team is not None:
            handle.team.close()
        handle.team, handle.work, handle.arena, handle.code, handle.calls = None, [], None, None, None


def _prepared(handle: Handle) -> Arena:
    if handle.arena is None:
        raise DeviceError("this session is not prepared, or is closed")
    return handle.arena
