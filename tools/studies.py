"""fbnet bench --algorithms, --batches, --accuracy: more parts of bench/RESULTS.md, each from the standing nets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..engine.errors import FbnetError
from ..engine.lower import HostFallback
from ..engine.net import Net
from .algorithms import ALGORITHMS, Layers3x3, algorithm_rates, best
from .numbers import random_inputs, relative_error
from .race import Race, geometric_mean, race
from .results import grid, where_from
from .standing import FOLDER, Entry

Advance = Callable[..., None]
NETS_3X3 = ("resnet50", "vgg16")


def opened(entries: Sequence[Entry], missing: dict[str, str]) -> Iterator[tuple[Entry, Net]]:
    """The nets that can be had; why not of the others goes to `missing`."""
    for entry in entries:
        try:
            yield entry, entry.open(FOLDER)
        except FbnetError as error:
            missing[entry.name] = str(error)


# -- algorithms --------------------------------------------------------------------------------------------


def algorithms(
    entries: Sequence[Entry], threads: int, rounds: int, machine: Mapping[str, Any], advance: Advance
) -> tuple[list[dict[str, Any]], str]:
    """The 3×3 layers of ResNet-50 and VGG-16 by each algorithm: for JSON, and as a part of the page."""
    peak = machine["peak_gflops"][threads]
    missing: dict[str, str] = {}
    lines = [
        "# 3×3 convolutions by algorithm", "", where_from(machine), "",
        f"Written by `fbnet bench --algorithms`. {threads} thread{'s' * (threads != 1)}, measured fma peak {peak:.0f} "
        "GFLOP/s; the median of a layer's runs by itself, its",
        "numbers in the caches that hold them. GFLOP/s count the convolution's own multiply-adds; in brackets what "
        "is truly multiplied, in",
        "per cent of the peak. Winograd's transforms take time and are counted as nothing.",
    ]  # fmt: skip
    told = []
    for entry, net in opened([e for e in entries if e.name in NETS_3X3], missing):
        advance(0, entry.name)
        rows = []
        for row in algorithm_rates(net, threads, rounds):
            rows.append(row)
            advance(1, f"{entry.name} {row.layer}")
        told.append({"net": entry.name, "peak_gflops": peak, "layers": [row.described() for row in rows]})
        cells = [
            [
                row.layer, f"{row.count}", "×".join(map(str, row.x[1:])), str(row.filters[0]), str(row.stride),
                *(_rate(row, name, peak) for name in ALGORITHMS),
            ]
            for row in rows
        ]  # fmt: skip
        whole = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in best(rows).items())
        lines += ["", f"## {entry.name}", ""]
        lines += grid(["layer", "like it", "x", "filters", "stride", *ALGORITHMS], cells)
        lines += ["", f"Over the layers that it serves: {whole}."]
    return told, "\n".join([*lines, *_not_measured(missing)]) + "\n"


def _rate(row: Layers3x3, algorithm: str, peak: float) -> str:
    if algorithm not in row.seconds:
        return "–"
    effective, true = row.rates(algorithm)
    return f"{1e3 * row.seconds[algorithm]:.2f} ms, {effective:.0f} ({100 * true / peak:.0f} %)"


# -- batches -----------------------------------------------------------------------------------------------


def batches(
    entries: Sequence[Entry], names: Sequence[str], sizes: Sequence[int], threads: int, rounds: int, budget: float,
    machine: Mapping[str, Any], advance: Advance,
) -> tuple[list[dict[str, Any]], str]:  # fmt: skip
    """Every net at these batch sizes beside the peers: for JSON, and as a part of the page."""
    missing: dict[str, str] = {}
    races: list[tuple[int, Race]] = []
    for entry, net in opened(entries, missing):
        for size in sizes:
            shapes = {n: tuple(map(int, entry.shape.get(n, spec.shape))) for n, spec in net.inputs.items()}
            shapes = {n: (size, *shape[1:]) for n, shape in shapes.items()}
            advance(0, f"{entry.name} × {size}")
            try:
                found = race(
                    net, names, shapes, threads, rounds, budget, machine["versions"].get("fbnet", "")
                )
                races.append((size, found))
            except FbnetError as error:
                missing[f"{entry.name} × {size}"] = str(error)
            advance(1, "")
    engines = list(dict.fromkeys(lane.name for _, r in races for lane in (r.ours, *r.peers)))
    cells = []
    for size, r in races:
        lanes = {lane.name: lane for lane in (r.ours, *r.peers)}
        times = [f"{lanes[e].median_ms / size:.2f}" if e in lanes else "–" for e in engines]
        cells.append([r.net, str(size), *times, f"{r.ratio:.2f}" if r.ratio else "–"])
        missing |= {f"{r.net} × {size}, {name}": why for name, why in r.missing.items()}
    means = {
        size: geometric_mean(ratios)
        for size in sizes
        if (ratios := [r.ratio for n, r in races if n == size and r.ratio])
    }
    told = ", ".join(f"{mean:.2f} at {size}" for size, mean in means.items())
    lines = [
        "# Batches", "", where_from(machine), "",
        f"Written by `fbnet bench --batches {','.join(map(str, sizes))}`. Milliseconds an image, medians, {threads} "
        f"thread{'s' * (threads != 1)}; ncnn and MNN as in the",
        "standing table. *ratio* is the best peer's median over fbnet's.", "",
        *grid(["net", "batch", *engines, "ratio"], cells), "", f"Geometric means of the ratios: {told or 'none'}.",
    ]  # fmt: skip
    described = [{"batch": size} | r.described() for size, r in races]
    return described, "\n".join([*lines, *_not_measured(missing)]) + "\n"


# -- accuracy ----------------------------------------------------------------------------------------------


def accuracy(
    entries: Sequence[Entry], machine: Mapping[str, Any], advance: Advance
) -> tuple[list[dict[str, Any]], str]:
    """Every net's error against `reference` by the kernels that are chosen: for JSON, and as a part of the page."""
    missing: dict[str, str] = {}
    told: list[dict[str, Any]] = []
    for entry, net in opened(entries, missing):
        advance(0, entry.name)
        shapes = {n: tuple(map(int, entry.shape.get(n, s.shape))) for n, s in net.inputs.items()}
        inputs = random_inputs({n: s.replace(shape=shapes[n]) for n, s in net.inputs.items()})
        wanted = net.forward(**inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HostFallback)
            plan = net.compile(threads=1, shapes=shapes)
        with plan.session() as session:
            got = session.run(inputs)
        kernels = [step.kernel.rsplit("/", 1)[-1] for step in plan.steps]
        told.append(
            {
                "net": entry.name, "error": max(relative_error(got[name], y) for name, y in wanted.items()),
                "winograd": [kernels.count(f"winograd{m}") for m in (4, 6)],
                "on_host": kernels.count("reference"),
            }
        )  # fmt: skip
        advance(1, "")
    cells = [[row["net"], f"{row['error']:.1e}", *map(str, row["winograd"])] for row in told]
    lines = [
        "# Accuracy", "", where_from(machine), "",
        "Written by `fbnet bench --accuracy`. The largest difference to the numpy reference's output, in terms of its",
        "largest number, in fp32 with the kernels that are chosen, and how many layers Winograd computes.", "",
        *grid(["net", "error", "F(4×4) layers", "F(6×6) layers"], cells),
    ]  # fmt: skip
    return told, "\n".join([*lines, *_not_measured(missing)]) + "\n"


def _not_measured(missing: Mapping[str, str]) -> list[str]:
    return (
        ["", "## Not measured", "", *(f"- {what}: {why}" for what, why in missing.items())] if missing else []
    )
