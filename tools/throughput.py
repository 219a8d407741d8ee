"""How many runs a second several sessions of one plan make together, each in a Python thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import perf_counter

from ..engine.net import Net
from ..engine.plan import Plan
from .numbers import random_inputs


def throughput(
    net: Net,
    shapes: Mapping[str, tuple[int, ...]],
    sessions: Sequence[int],
    rounds: int = 3,
    seconds: float = 1.0,
) -> dict[int, float]:
    """Number of sessions -> runs a second, all together: the median of `rounds`, in turn, of `seconds` each.

    Each session has one thread, so that what is measured is whether they leave each other alone.
    """
    plan = net.compile(threads=1, shapes=shapes)
    found: dict[int, list[float]] = {count: [] for count in sessions}
    for _ in range(rounds):
        for count in sessions:
            found[count].append(_rate(plan, net, count, seconds))
    return {count: sorted(rates)[len(rates) // 2] for count, rates in found.items()}


def _rate(plan: Plan, net: Net, count: int, seconds: float) -> float:
    """Runs a second of `count` sessions at once."""
    ready, done = threading.Barrier(count + 1), threading.Event()
    runs = [0] * count

    def serve(number: int) -> None:
        with plan.session() as session:
            given = {name: spec.replace(shape=plan.shapes()[name]) for name, spec in net.inputs.items()}
            for name, array in random_inputs(given).items():
                session.set_tensor(name, array)
            session.forward()
            ready.wait()
            while not done.is_set():
                session.forward()
                runs[number] += 1

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    start, before = perf_counter(), sum(runs)
    done.wait(seconds)
    made, spent = sum(runs) - before, perf_counter() - start
    done.set()
    for thread in threads:
        thread.join()
    return made / spent
