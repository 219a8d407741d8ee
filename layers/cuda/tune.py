"""tune: which tile, in how many parts, makes a matrix product fastest on this card.

Each choice that is not hopeless is run on the card, alone, ten times in a graph, when a problem is first met; the
best is kept in the cache folder by problem and card. The simulator, and whoever sets FBNET_TUNE=0, gets an estimate.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

from ...engine.cache import Cache
from ...engine.kernel import Call
from ...engine.settings import setting
from .card import card

if TYPE_CHECKING:
    from .gemm import Problem, Tile

SPLITS = (1, 2, 3, 4, 6, 8, 12, 16)
KEPT = 14  # of the choices, those with the best estimates are tried

_kept = Cache("tuned", ".json")
_forced: ContextVar[tuple[Tile, int] | None] = ContextVar("fbnet_tile", default=None)


def choose(call: Call, problem: Problem, tiles: Sequence[Tile]) -> tuple[Tile, int]:
    """(tile, number of parts) for a problem."""
    forced = _forced.get()
    if forced is not None:
        return forced
    here = card()
    choices = sorted(
        ((tile, splits) for tile in tiles for splits in SPLITS if sensible(problem, tile, splits)),
        key=lambda choice: estimate(problem, *choice),
    )
    if here.simulated:  # two parts wherever there can be, so that tests see both ways
        return choices[0][0], 2 if len(choices) > 1 and problem.m % 2 else 1
    if setting("TUNE", "1") == "0" or problem.pixels == 0:
        return choices[0]
    names = {f"{tile.name}/{splits}": (tile, splits) for tile, splits in choices}
    key = hashlib.sha256(repr((problem, here.name, here.target, sorted(names))).encode()).hexdigest()[:32]
    times = json.loads(_kept.get(key, lambda: json.dumps(measured(call, problem, choices[:KEPT])).encode()))
    return names[min(times, key=times.__getitem__)] if times else choices[0]


def sensible(problem: Problem, tile: Tile, splits: int) -> bool:
    """Whether so many parts can be of use: each has a step to do, and together they are not too many blocks."""
    steps = problem.depth(tile) // tile.bk
    return splits == 1 or (splits <= steps and problem.blocks(tile) * splits <= 4 * card().multiprocessors)


def estimate(problem: Problem, tile: Tile, splits: int) -> float:
    """Microseconds, roughly: rounds of blocks over the multiprocessors times what a block does, and the adding up."""
    here = card()
    steps = -(-problem.depth(tile) // tile.bk // splits)
    rounds = -(-problem.blocks(tile) * splits // here.multiprocessors)
    together = max(1, min(4, 512 // tile.threads))  # blocks that share a multiprocessor without slowing down
    work = tile.bm * tile.bn * tile.bk * steps / 500_000
    parts = problem.pixels * problem.m * 4 * splits / 2e6 if splits > 1 else 0.0
    return (rounds / together + 1) * work + steps * tile.bk / 16 * 0.15 + (2.0 + parts if splits > 1 else 0.0)


def measured(call: Call, problem: Problem, choices: Sequence[tuple[Tile, int]]) -> dict[str, float]:
    """Seconds of each choice."""
    return {f"{tile.name}/{splits}": _seconds(call, tile, splits) for tile, splits in choices}


def _seconds(call: Call, tile: Tile, splits: int) -> float:
    """How long the layer takes alone, by one tile."""
    from ...engine.compile import plan_as_written
    from ...engine.device import devices
    from ...engine.layer import layers
    from ...engine.net import Net

    layer, random = call.layer, np.random.default_rng(0)
    given: list[np.ndarray | str | None] = ["x", call.constants["w"]]
    given.append(random.standard_normal(call.shape("b"), np.float32) if call.shape("b") != (0,) else None)
    inputs = {"x": call.shape("x")}
    if call.shape("residual") != (0,):
        given.append("residual")
        inputs["residual"] = call.shape("residual")
    alone = layers[layer.type](*given, name="alone", **layer.attributes)
    net = Net([alone], inputs)
    with only(tile, splits), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "gemm_mma" if "mma" in tile.name else "gemm"
        plan = plan_as_written(net, devices["cuda"], "fp32", 1, inputs, f"cuda/fp32/{layer.type}/{name}")
    session = plan.session()
    for key, shape in inputs.items():
        session.set_tensor(key, random.standard_normal(shape, np.float32))
    try:
        device, handle = devices["cuda"], session._handle
        return sum(device.time_steps(handle, rounds=3))
    finally:
        session.close()


@contextmanager
def only(tile: Tile, splits: int) -> Iterator[None]:
    """Within, every matrix product that is compiled is of this tile, in so many parts."""
    token = _forced.set((tile, splits))
    try:
        yield
    finally:
        _forced.reset(token)
