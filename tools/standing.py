"""The standing table: the same nets, every time, against every peer; bench/standing.json says which.

    {"name": "resnet50", "source": ["nets/resnet50.prototxt"], "seed": 1, "shape": {"data": [1, 3, 224, 224]}}

source  files beside the list; "zoo:NAME" is a net of the zoo, "fbnet:PATH" a file of this package, "onnx:PATH" one of
        the package onnx
seed    for random weights, where the source has none
shape   input shapes, where the usual ones are not meant
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from ..engine.errors import InputError
from ..engine.net import Net
from ..formats.ends import without_image_input
from . import catalogue
from .fetch import fetch
from .model import convert_with, open_model
from .race import Race, crowded_by_others, geometric_mean
from .results import grid, where_from

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "bench"


@dataclass(frozen=True)
class Entry:
    """A net of the table."""

    name: str
    source: tuple[str, ...]
    seed: int | None = None
    shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def open(self, folder: Path) -> Net:
        """The net. Raises InputError, FetchError, and what its importer raises."""
        first = self.source[0]
        if first.startswith("zoo:"):
            entry = catalogue.entry(first.removeprefix("zoo:"))
            place = fetch(entry.name)
            net = convert_with([place / name for name in entry.model])
        else:
            options: dict[str, Any] = {} if self.seed is None else {"random_weights": self.seed}
            paths = [_located(source, folder) for source in self.source]
            net = convert_with(paths, **options) if options else open_model(paths)
        return without_image_input(net).replace(name=self.name)


def _located(source: str, folder: Path) -> Path:
    where, colon, path = source.rpartition(":")
    if not colon:
        return folder / path
    if where == "fbnet":
        return ROOT / path
    found = find_spec(where)
    if found is None or found.origin is None:
        raise InputError(f"{source}: the package {where} is not installed")
    return Path(found.origin).parent / path


def entries(folder: Path = FOLDER) -> list[Entry]:
    """The nets of the table. Raises InputError where there is no list, as in an installed package."""
    path = folder / "standing.json"
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: no list of nets: {error}; the standing table belongs to the repository"
        ) from None
    return [
        Entry(
            row["name"], tuple(row["source"]), row.get("seed"),
            {name: tuple(sizes) for name, sizes in row.get("shape", {}).items()},
        )
        for row in rows
    ]  # fmt: skip


def markdown(races: Sequence[Race], missing: Mapping[str, str], machine: Mapping[str, Any]) -> str:
    """RESULTS.md: when, where, with which versions, and one table a number of threads."""
    lines = [
        "# Benchmark", "",
        where_from(machine), "",
        "Written by `fbnet bench --standing`. Milliseconds (or µs), median (minimum), fp32; all engines interleaved",
        "round by round in one process, same weights and inputs, outputs compared first. *ratio* is the best peer's",
        "median over fbnet's: above 1, fbnet is faster. Only ratios inside one row mean anything; machines are shared.",
    ]  # fmt: skip
    if share := crowded_by_others(races):
        lines += ["", f"**Other work ran on this machine: one thread got {share:.2f} of a processor.**"]
    for threads in sorted({race.threads for race in races}):
        rows = [race for race in races if race.threads == threads]
        names = list(dict.fromkeys(lane.name for race in rows for lane in (race.ours, *race.peers)))
        peak = machine["peak_gflops"].get(threads)
        lines += ["", f"## {threads} thread{'s' * (threads != 1)}", ""]
        lines += [f"Measured fma peak: {peak:.0f} GFLOP/s.", ""] if peak else []
        cells = []
        for race in rows:
            lanes = {lane.name: lane for lane in (race.ours, *race.peers)}
            shapes = ", ".join("×".join(map(str, shape)) for shape in race.shapes.values())
            times = [_cell(lanes[name]) if name in lanes else "–" for name in names]
            cells.append([race.net, shapes, *times, f"{race.ratio:.2f}" if race.ratio else "–"])
        lines += grid(["net", "input", *names, "ratio"], cells)
        ratios = [race.ratio for race in rows if race.ratio]
        if ratios:
            lines += ["", f"Geometric mean of {len(ratios)} ratios: **{geometric_mean(ratios):.2f}**, "
                          f"median {median(ratios):.2f}, least {min(ratios):.2f}."]  # fmt: skip
    lines += _scaling(races)
    absent = {f"{race.net}, {name}": why for race in races for name, why in race.missing.items()} | dict(
        missing
    )
    if absent:
        lines += ["", "## Not measured", "", *(f"- {what}: {why}" for what, why in absent.items())]
    return "\n".join(lines) + "\n"


def _scaling(races: Sequence[Race]) -> list[str]:
    """How much faster each engine is on more threads than on the fewest: the geometric mean of its nets' minima."""
    threads = sorted({race.threads for race in races})
    least: dict[str, dict[int, dict[str, float]]] = {}  # by engine, threads and net
    for race in races:
        for lane in (race.ours, *race.peers):
            least.setdefault(lane.name, {}).setdefault(race.threads, {})[race.net] = lane.least_ms
    few, more = min(threads, default=0), threads[1:]
    if not more:
        return []
    cells = []
    for engine, found in least.items():
        alone = found.get(few, {})
        gains = [[alone[net] / ms for net, ms in found.get(t, {}).items() if net in alone] for t in more]
        cells.append([engine, *(f"{geometric_mean(g):.2f}" if g else "–" for g in gains)])
    title = f"## Scaling from {few} thread{'s' * (few != 1)}"
    what = (
        "Geometric means over the nets; of minima, since a busy machine disturbs two threads more than one."
    )
    return ["", title, "", what, "", *grid(["engine", *(f"to {t}" for t in more)], cells)]


def _cell(lane: Any) -> str:
    """A lane's times, to about three digits: what takes less than 0.2 ms in microseconds."""
    middle, least = lane.median_ms, lane.least_ms
    text = f"{middle:.2f} ({least:.2f})" if middle >= 0.2 else f"{1e3 * middle:.0f} µs ({1e3 * least:.0f})"
    return text if lane.agrees else f"{text}, error {lane.error:.0e}"
