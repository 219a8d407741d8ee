"""fbnet bench: how fast a net runs, layer by layer, beside other engines, and from a cold start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import click

from ..engine.errors import CheckError, FbnetError, InputError
from ..engine.net import Net
from ..formats.ends import without_image_input
from .cold import cold
from .layer_times import LayerTime, layer_times
from .machine import machine, version
from .model import convert_with, open_model
from .options import Counts, Shape, tune_option
from .race import AGREE, Race, crowded_by_others, geometric_mean, race
from .results import put
from .show import compiling, json_option, print_json, progress_bar, say, table, warn, working
from .standing import FOLDER, entries, markdown
from .throughput import throughput

WEIGHTS = (".caffemodel", ".bin")  # files that belong to the one named before them
ALL = "onnxruntime,openvino,ncnn,mnn"


@click.command()
@click.argument("model", nargs=-1, metavar="MODEL...", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True, help="Whose time, layer by layer: cpu or cuda.")
@click.option("--threads", type=click.IntRange(1), help="Of every engine.  [default: 1]")
@click.option("--batch", type=click.IntRange(1), help="Images at once.  [default: as in the model]")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Timed runs, at most.")
@click.option(
    "--budget", type=click.FloatRange(0), default=60, show_default=True, help="Seconds for a model's rounds."
)
@click.option("--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape.")
@click.option("--vs", metavar="ENGINES", help=f"Race against these: {ALL}, or `all`.")
@click.option(
    "--cold", "from_cold", is_flag=True, help="Time whole processes: import, load, first result; and memory."
)
@click.option(
    "--sessions", type=Counts(), metavar="1,2,16", help="Runs a second of so many sessions at once."
)
@click.option(
    "--random-weights", type=int, metavar="SEED", help="Make up the weights that a prototxt or param lacks."
)
@click.option(
    "--standing", is_flag=True, help="Race the repository's own list of nets, and write bench/RESULTS.md."
)
@click.option(
    "--algorithms",
    is_flag=True,
    help="ResNet-50's and VGG-16's 3×3 layers by each algorithm, for RESULTS.md.",
)
@click.option(
    "--batches", type=Counts(), metavar="1,4,16", help="The standing nets in batches, for RESULTS.md."
)
@click.option("--accuracy", is_flag=True, help="The standing nets' errors against reference, for RESULTS.md.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="What to write in RESULTS.md's place.")
@tune_option
@json_option
def bench(
    model: tuple[Path, ...],
    device: str,
    threads: int | None,
    batch: int | None,
    rounds: int,
    budget: float,
    shape: tuple,
    vs: str | None,
    from_cold: bool,
    sessions: list[int] | None,
    random_weights: int | None,
    standing: bool,
    algorithms: bool,
    batches: list[int] | None,
    accuracy: bool,
    output: Path | None,
    as_json: bool,
) -> int | None:
    """Show how fast a model runs: layer by layer, or beside other engines.

    \b
    fbnet bench net.fbnet
    fbnet bench net.fbnet --vs all --threads 2
    fbnet bench deploy.prototxt --random-weights 1 --vs onnxruntime,ncnn
    fbnet bench net.fbnet --cold
    fbnet bench net.fbnet --sessions 1,2,16
    fbnet bench --standing; fbnet bench --algorithms; fbnet bench --batches 1,4,16; fbnet bench --accuracy
    """
    parts = {"--standing": standing, "--algorithms": algorithms, "--batches": batches, "--accuracy": accuracy}
    asked = [option for option, given in parts.items() if given]
    names = [n.strip() for n in (ALL if vs in (None, "all") else vs or "").split(",") if n.strip()]
    if asked:
        if len(asked) > 1 or model or from_cold or shape or batch:
            raise InputError(f"{asked[0]} has its own models and shapes, and goes with no other benchmark")
        page = output or FOLDER / "RESULTS.md"
        if standing:
            return _standing(names, [threads] if threads else [1, 2], rounds, budget, page, as_json)
        return _study(asked[0], names, batches or [], threads or 1, rounds, budget, page, as_json)
    if not model:
        raise InputError("bench needs a model, or --standing")
    if bool(from_cold) + bool(vs) + bool(sessions) > 1:
        raise InputError("--cold, --vs and --sessions are different benchmarks: ask for one")
    if device != "cpu" and (from_cold or vs or sessions):
        raise InputError(
            f"--cold, --vs and --sessions are for the cpu, not for {device}: there is bench/gpu.py"
        )
    opened = list(_opened(model, random_weights, dict(shape), batch, bare=bool(vs)))
    if from_cold:
        _cold(opened, threads or 1, min(rounds, 10), as_json)
    elif sessions:
        _sessions(opened, sessions, as_json)
    elif vs:
        return _race(opened, names, threads or 1, rounds, budget, as_json)
    else:
        _layers(opened, device, threads or 1, rounds, as_json)
    return None


def _opened(
    paths: Sequence[Path],
    seed: int | None,
    shapes: dict[str, tuple[int, ...]],
    batch: int | None,
    bare: bool = False,
) -> Iterator[tuple[Net, dict[str, tuple[int, ...]]]]:
    """Each model with the shapes to run it in; `bare`: without the layers that prepare images, as others have none.

    Raises InputError, FileError, ConversionError.
    """
    groups: list[list[Path]] = []
    for path in paths:
        if path.suffix.lower() in WEIGHTS and groups and len(groups[-1]) == 1:
            groups[-1].append(path)
        else:
            groups.append([path])
    used: set[str] = set()
    for group in groups:
        with working("reading"):
            plain = seed is None or group[0].suffix.lower() == ".fbnet"
            net = open_model(group) if plain else convert_with(group, random_weights=seed)
        net = (without_image_input(net) if bare else net).replace(name=group[0].stem)
        here = {name: tuple(map(int, spec.shape)) for name, spec in net.inputs.items()}
        here |= {name: sizes for name, sizes in shapes.items() if name in here}
        used |= here.keys()
        yield net, {name: (batch or sizes[0], *sizes[1:]) if sizes else sizes for name, sizes in here.items()}
    for name in shapes.keys() - used:
        raise InputError(f"--shape {name}: no model has such an input; there are {', '.join(sorted(used))}")


# -- layer by layer ----------------------------------------------------------------------------------------


def _layers(
    opened: Sequence[tuple[Net, dict]], device: str, threads: int, rounds: int, as_json: bool
) -> None:
    from ..layers.cpu.peak import measured

    peak = None
    if device == "cpu":
        with working("measuring the peak"):
            peak = measured(threads)
    found = []
    for net, shapes in opened:
        with compiling("compiling and timing"):
            rows = layer_times(net, shapes, threads, rounds, device)
        if as_json:
            described = [row.described(peak) for row in rows]
            found.append(
                {
                    "net": net.name,
                    "shapes": shapes,
                    "threads": threads,
                    "peak_gflops": peak,
                    "layers": described,
                }
            )
        else:
            _print_layers(net, shapes, threads, rows, peak)
    if as_json:
        print_json(found[0] if len(found) == 1 else found)


def _print_layers(
    net: Net, shapes: dict, threads: int, rows: Sequence[LayerTime], peak: float | None
) -> None:
    total = sum(row.seconds for row in rows) or 1e-9
    macs = sum(row.macs for row in rows)
    at = ", ".join(f"{name} {'x'.join(map(str, sizes))}" for name, sizes in shapes.items())
    say(
        f"{net.name}: {at}"
        + (f", {threads} thread{'s' * (threads != 1)}, peak {peak:.0f} GFLOP/s" if peak else "")
    )
    columns = ["layer", "type", "kernel", ">ms", ">%", ">GFLOP/s", ">% of peak", ">bytes out", "why"]
    cells = [
        [
            row.layer, row.type, row.kernel, f"{1e3 * row.seconds:.3f}", f"{100 * row.seconds / total:.0f}",
            f"{row.gflops:.1f}" if row.macs else "", f"{100 * row.gflops / peak:.0f}" if row.macs and peak else "",
            f"{row.bytes:,}", row.why,
        ]
        for row in rows
    ]  # fmt: skip
    table(columns, cells)
    rate = 2 * macs / total / 1e9
    say(
        f"all layers {1e3 * total:.3f} ms, {rate:.1f} GFLOP/s"
        + (f", {100 * rate / peak:.0f} % of peak" if peak else "")
    )


# -- beside others -----------------------------------------------------------------------------------------


def _race(
    opened: Sequence[tuple[Net, dict]],
    names: list[str],
    threads: int,
    rounds: int,
    budget: float,
    as_json: bool,
) -> int:
    races = []
    with progress_bar("racing", len(opened) * rounds) as advance:
        for net, shapes in opened:
            advance(0, net.name)
            races.append(
                race(net, names, shapes, threads, rounds, budget, version=version("fbnet"), advance=advance)
            )
    ratios = [r.ratio for r in races if r.ratio]
    mean = geometric_mean(ratios) if ratios else None
    if as_json:
        print_json(
            {"races": [r.described() for r in races], "geometric_mean": mean, "machine": machine(names, [])}
        )
    else:
        for r in races:
            _print_race(r)
        if share := crowded_by_others(races):
            warn(
                f"other work ran on this machine: one thread got {share:.2f} of a processor, so believe no figure"
            )
        if mean and len(races) > 1:
            say(f"geometric mean of {len(ratios)} ratios: {mean:.2f}")
    return 0 if all(lane.agrees for r in races for lane in r.peers) else 1


def _print_race(race: Race) -> None:
    at = ", ".join(f"{name} {'x'.join(map(str, sizes))}" for name, sizes in race.shapes.items())
    say(
        f"{race.net}: {at}, {race.threads} thread{'s' * (race.threads != 1)}, {len(race.ours.seconds)} rounds"
    )
    rows = [
        [
            lane.name, lane.version, f"{lane.median_ms:.3f}", f"{lane.least_ms:.3f}",
            f"{lane.median_ms / race.ours.median_ms:.2f}", f"{lane.cores:.2f}",
            "" if lane is race.ours else f"{lane.error:.1e}" + ("" if lane.agrees else f" > {AGREE:g}: DISAGREES"),
        ]
        for lane in (race.ours, *race.peers)
    ]  # fmt: skip
    table(["engine", "version", ">median ms", ">minimum", ">against fbnet", ">cores", ">error"], rows)
    for name, why in race.missing.items():
        say(f"without {name}: {why}")
    if race.ratio:
        say(f"best peer / fbnet: {race.ratio:.2f}")


# -- from a cold start -------------------------------------------------------------------------------------


def _cold(
    opened: Sequence[tuple[Net, dict[str, tuple[int, ...]]]], threads: int, rounds: int, as_json: bool
) -> None:
    found = [(net, shapes, cold(net, shapes, threads, rounds)) for net, shapes in opened]
    if as_json:
        described = [
            {"net": net.name, "engines": [entry.described() for entry in rows]} for net, _, rows in found
        ]
        print_json(described[0] if len(described) == 1 else described)
        return
    for net, shapes, rows in found:
        say(
            f"{net.name}: from the start of a process to the first result, {len(rows[0].seconds)} processes each"
        )
        least = min(median(entry.mib) for entry in rows)
        cells = [
            [
                entry.name, f"{entry.first_s:.2f}", f"{median(entry.seconds):.3f}", f"{median(entry.mib):.0f}",
                f"{median(entry.mib) - least:.0f}",
            ]
            for entry in rows
        ]  # fmt: skip
        table(["engine", ">first ever, s", ">median s", ">peak MiB", ">beyond the least"], cells)
        stated = net.compile(threads=threads, shapes=shapes).peak_bytes
        say(f"of which a run's tensors, working memory and weights, by its plan: {stated / 2**20:.0f} MiB")


def _sessions(
    opened: Sequence[tuple[Net, dict[str, tuple[int, ...]]]], counts: list[int], as_json: bool
) -> None:
    found = []
    with progress_bar("running", len(opened)) as advance:
        for net, shapes in opened:
            found.append((net.name, throughput(net, shapes, counts)))
            advance()
    if as_json:
        print_json([{"net": name, "runs_per_second": rates} for name, rates in found])
        return
    say("runs a second, all sessions together, one thread each")
    cells = [[name, *(f"{rates[count]:.1f}" for count in counts)] for name, rates in found]
    table(["net", *(f">{count} session{'s' * (count > 1)}" for count in counts)], cells)


# -- the standing table ------------------------------------------------------------------------------------


def _standing(
    names: list[str], threads: list[int], rounds: int, budget: float, output: Path, as_json: bool
) -> int:
    rows = entries()
    races: list[Race] = []
    missing: dict[str, str] = {}
    with progress_bar("racing", len(rows) * len(threads) * rounds) as advance:
        for entry in rows:
            try:
                advance(0, entry.name)
                net = entry.open(FOLDER)
                for count in threads:
                    races.append(
                        race(net, names, entry.shape, count, rounds, budget, version("fbnet"), advance)
                    )
            except FbnetError as error:  # one net less, and said so in the table
                missing[entry.name] = str(error)
                warn(f"{entry.name}: {error}")
    if not races:
        raise CheckError("no net of the standing table could be run")
    text = markdown(races, missing, machine(names, threads))
    put(output, text)
    if as_json:
        print_json({"races": [r.described() for r in races], "missing": missing, "output": str(output)})
    else:
        for line in text.splitlines():
            say(line)
    return 0 if all(lane.agrees for r in races for lane in r.peers) else 1


def _study(
    what: str, names: list[str], sizes: list[int], threads: int, rounds: int, budget: float, page: Path, as_json: bool
) -> int:  # fmt: skip
    """Another part of the page, from the standing nets."""
    from .studies import accuracy, algorithms, batches

    rows, about = entries(), machine(names if sizes else [], [threads])
    with progress_bar(
        "measuring", 20 if what == "--algorithms" else len(rows) * (len(sizes) or 1)
    ) as advance:
        if what == "--algorithms":
            found, text = algorithms(rows, threads, rounds, about, advance)
        elif what == "--batches":
            found, text = batches(rows, names, sizes, threads, rounds, budget, about, advance)
        else:
            found, text = accuracy(rows, about, advance)
    put(page, text)
    if as_json:
        print_json({"found": found, "output": str(page)})
    else:
        for line in text.splitlines():
            say(line)
    return 0
