"""A race: our engine and its peers on one net, the same weights and inputs, round by round in one process.

Machines are shared and clocks wander, so only ratios inside one race mean anything: every round runs every engine
once, each round begins with another one, and what counts are medians.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..engine.errors import ConversionError, InputError
from ..engine.format import write
from ..engine.net import Net
from .export import fixed
from .numbers import random_inputs, relative_error
from .peers import Model, Run, load, peers

AGREE = 1e-3  # relative to the largest number of an output
WARM = 2  # runs before anything is timed: some engines choose their algorithms in the first
CROWDED = 0.95  # of a processor: an engine with one thread that gets less shared it
PAUSE = 0.03  # seconds before an engine's turn, when others' threads may still be spinning


@dataclass
class Lane:
    """One engine in a race: how far its outputs are from ours, and its times in seconds.

    cpu_s  processor time of the whole process in its rounds: more of it than `threads` times the wall's shows an engine
           that takes more threads than it was given, less of it that other work was on the machine
    """

    name: str
    version: str = ""
    error: float = 0.0
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def cores(self) -> float:
        """How many processors it had, on average."""
        return sum(self.cpu_s) / sum(self.seconds)

    @property
    def median_ms(self) -> float:
        return 1e3 * median(self.seconds)

    @property
    def least_ms(self) -> float:
        return 1e3 * min(self.seconds)

    @property
    def agrees(self) -> bool:
        return self.error <= AGREE


@dataclass
class Race:
    """What came out: our lane, the peers' lanes, and why some peers did not run."""

    net: str
    shapes: Mapping[str, tuple[int, ...]]
    threads: int
    ours: Lane
    peers: list[Lane]
    missing: dict[str, str]

    @property
    def ratio(self) -> float | None:
        """The best agreeing peer's median over ours: above 1, we are faster. None without such a peer."""
        times = [lane.median_ms for lane in self.peers if lane.agrees]
        return min(times) / self.ours.median_ms if times else None

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "net": self.net, "shapes": dict(self.shapes), "threads": self.threads, "ratio": self.ratio,
            "engines": [
                {
                    "name": lane.name, "version": lane.version, "median_ms": lane.median_ms,
                    "min_ms": lane.least_ms, "rounds": len(lane.seconds), "cores": lane.cores,
                    "error": lane.error, "agrees": lane.agrees,
                }
                for lane in (self.ours, *self.peers)
            ],
            "missing": self.missing,
        }  # fmt: skip


def race(
    net: Net,
    names: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    threads: int = 1,
    rounds: int = 30,
    budget_s: float = 60.0,
    version: str = "",
    advance: Callable[..., None] = lambda amount=1, note="": None,
) -> Race:
    """Load every engine, compare outputs, run `rounds` rounds, or as many as `budget_s` allows (3 at least).

    Raises RegistryError for a peer that nobody knows, and what exporting or compiling the net raises.
    """
    for name in names:
        peers[name]
    shaped = fixed(net, dict(shapes))
    inputs = random_inputs(shaped.inputs)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbnet-bench-")))
        plan = shaped.compile(threads=threads)
        session = stack.enter_context(plan.session())
        wanted = session.run(inputs)
        ours, engines = Lane("fbnet", version), {"fbnet": session.run}
        others, missing = [], {}
        model = (
            model_for_peers(net, shaped, {name: array.shape for name, array in wanted.items()}, folder)
            if names
            else None
        )
        for name in names:
            advance(0, f"loading {name}")
            place = folder / name
            place.mkdir()
            try:
                assert model is not None
                lane_version, run = load(name, model, threads, place)
                others.append(_checked(Lane(name, lane_version), run, inputs, wanted))
                engines[name] = run
            except ConversionError as error:
                missing[name] = str(error)
        times = interleaved(engines, inputs, rounds, budget_s, crowded=threads > 1, advance=advance)
    for lane in (ours, *others):
        lane.seconds = [wall for wall, _ in times[lane.name]]
        lane.cpu_s = [cpu for _, cpu in times[lane.name]]
    return Race(
        net.name, {n: tuple(map(int, a.shape)) for n, a in inputs.items()}, threads, ours, others, missing
    )


def model_for_peers(net: Net, shaped: Net, outputs: Mapping[str, tuple[int, ...]], folder: Path) -> Model:
    """The net as ONNX files, of these shapes and for one image."""
    path = folder / "fixed.onnx"
    write(shaped, path)
    inputs = {name: tuple(map(int, spec.shape)) for name, spec in shaped.inputs.items()}
    single = path
    if any(shape and shape[0] != 1 for shape in inputs.values()):
        single = folder / "single.onnx"
        write(fixed(net, {name: (1, *shape[1:]) for name, shape in inputs.items()}), single)
    return Model(path, single, inputs, outputs)


def _checked(
    lane: Lane, run: Run, inputs: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
) -> Lane:
    """The lane with the error of its first run. Raises ConversionError if it cannot run."""
    try:
        got = run(inputs)
    except Exception as error:  # whatever another engine throws
        raise ConversionError(
            f"{lane.name} {lane.version} cannot run it: {' '.join(str(error).split())[:300]}"
        ) from None
    lane.error = max(relative_error(got[name], array) for name, array in wanted.items())
    return lane


def interleaved(
    engines: Mapping[str, Run],
    inputs: Mapping[str, np.ndarray],
    rounds: int,
    budget_s: float,
    crowded: bool = False,
    advance: Callable[..., None] = lambda amount=1, note="": None,
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each engine in each round, on the wall's clock and of processors.

    crowded  threads of the engine before may disturb: let them fall asleep, and wake one's own before the clock starts
    """
    if rounds < 1:
        raise InputError(f"a race needs at least one round, but got {rounds}")
    for _ in range(WARM):
        for run in engines.values():
            run(inputs)
    order = list(engines)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in order}
    end = time.perf_counter() + budget_s
    for done in range(rounds):
        if done >= 3 and time.perf_counter() > end:
            break
        for name in order:
            if crowded:
                time.sleep(PAUSE)
                engines[name](inputs)  # wakes its own threads
            start, start_cpu = time.perf_counter(), time.process_time()
            engines[name](inputs)
            times[name].append((time.perf_counter() - start, time.process_time() - start_cpu))
        order.append(order.pop(0))
        advance(1, "")
    return times


def crowded_by_others(races: Sequence[Race]) -> float | None:
    """The share of its threads that an engine got on average, if that is so little that other work must have run."""
    wall = sum(sum(race.ours.seconds) for race in races if race.threads == 1)
    cpu = sum(sum(race.ours.cpu_s) for race in races if race.threads == 1)
    return cpu / wall if wall and cpu < CROWDED * wall else None


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean of ratios."""
    return exp(sum(map(log, ratios)) / len(ratios))
