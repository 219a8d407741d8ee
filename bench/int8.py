"""fp16 and int8 beside fp32 and other engines' int8, round by round in one process: a part of bench/RESULTS.md.

    python bench/int8.py [net ...] [--threads 1 2] [--rounds 30]
    python bench/int8.py --target x86-64-v3     # fbnet alone, as on a processor without VNNI

Weights are random: this is about time alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from fbnet import FbnetError, Net
from fbnet.tools.export import fixed
from fbnet.tools.machine import machine
from fbnet.tools.numbers import random_inputs
from fbnet.tools.quantizers import load_quantized
from fbnet.tools.race import geometric_mean, interleaved, model_for_peers
from fbnet.tools.results import grid, put, where_from
from fbnet.tools.standing import Entry, entries

NETS = (
    "squeezenet_v1.1", "googlenet", "resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "mnasnet",
    "proxylessnasnet", "shufflenet_v2", "vgg16", "lenet",
)  # fmt: skip
SAMPLES = 4
ALONE = """Written by `python bench/int8.py --target {target}`. Milliseconds, medians; code for that level, on this
machine. Weights are random: this is about time alone."""
ABOUT = """Written by `python bench/int8.py`. Milliseconds, medians. Each engine runs what its own quantizer makes of
the net: net.quantize, onnxruntime's static quantizer (QDQ form, weights by channel, unsigned activations), NNCF for
OpenVINO, ncnn2table and ncnn2int8, mnnquant. A dash: it could not. *to fp32* is fbnet's fp32 over its int8, *ratio* the
best int8 peer over fbnet's int8. Weights are random: this is about time alone."""
PEERS = ("onnxruntime", "openvino", "ncnn", "mnn")
OURS = ("fbnet fp32", "fbnet fp16", "fbnet int8")


def images(shaped: Net) -> list[dict[str, np.ndarray]]:
    return [random_inputs(shaped.inputs, seed) for seed in range(SAMPLES)]


def times(
    entry: Entry, threads: int, rounds: int, budget: float, peers: Sequence[str] = PEERS
) -> dict[str, float]:
    """Engine -> median seconds."""
    net = entry.open(Path(__file__).parent)
    usual = {name: tuple(map(int, spec.shape)) for name, spec in net.inputs.items()}
    shaped = fixed(net, usual | dict(entry.shape))
    samples = images(shaped)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        small = shaped.quantize(samples, "minmax", equalise=False, bias=False, adaptive=False)
        plans = {
            "fbnet fp32": shaped.compile(threads=threads),
            "fbnet fp16": shaped.compile(dtype="fp16", threads=threads),
            "fbnet int8": small.compile(threads=threads),
        }
        sessions = {name: plan.session() for name, plan in plans.items()}
        engines = {name: session.run for name, session in sessions.items()}
        outputs = {name: array.shape for name, array in sessions["fbnet fp32"].run(samples[0]).items()}
        model = model_for_peers(net, shaped, outputs, Path(folder)) if peers else None
        for peer in peers if model else ():
            place = Path(folder) / peer
            place.mkdir()
            try:
                run = load_quantized(peer, model, samples, threads, place)[1]
                run(samples[0])
                engines[f"{peer} int8"] = run
            except Exception as error:  # whatever another engine throws: its column stays empty
                print(f"{net.name}: {' '.join(str(error).split())[:200]}", file=sys.stderr)
        taken = interleaved(engines, samples[0], rounds, budget, crowded=threads > 1)
        for session in sessions.values():
            session.close()
    return {name: median(wall for wall, _ in pairs) for name, pairs in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--budget", type=float, default=8.0, help="seconds of timed rounds a net")
    parser.add_argument("--target", help="a level of processor, as x86-64-v3; without other engines")
    given = parser.parse_args()
    if given.target:
        os.environ["FBNET_TARGET"] = given.target
    peers = () if given.target else PEERS
    about = machine(peers, given.threads)
    title = f"# fp16 and int8, {given.target}" if given.target else "# fp16 and int8"
    text = ALONE.format(target=given.target) if given.target else ABOUT
    lines = [title, "", where_from(about), "", *text.splitlines()]
    columns = [*OURS, *(f"{peer} int8" for peer in peers)]
    for threads in given.threads:
        cells, gains, ratios = [], [], []
        for entry in entries():
            if entry.name not in given.nets:
                continue
            try:
                found = times(entry, threads, given.rounds, given.budget, peers)
            except FbnetError as error:
                print(f"{entry.name}: {error}", file=sys.stderr)
                continue
            best = min((time for name, time in found.items() if name not in OURS), default=None)
            gains.append(found["fbnet fp32"] / found["fbnet int8"])
            ratios += [best / found["fbnet int8"]] if best else []
            shown = [f"{1e3 * found[name]:.3g}" if name in found else "–" for name in columns]
            last = [f"{ratios[-1]:.2f}" if best else "–"] if peers else []
            cells.append([entry.name, *shown, f"{gains[-1]:.2f}", *last])
            print(threads, *cells[-1], flush=True)
        lines += ["", f"## {threads} thread{'s' * (threads != 1)}", ""]
        lines += grid(["net", *columns, "to fp32", *(["ratio"] if peers else [])], cells)
        beside = f"; {geometric_mean(ratios):.2f} to peers" if ratios else ""
        lines += ["", f"Geometric means: {geometric_mean(gains):.2f} to fp32{beside}."]
    put(Path(__file__).with_name("RESULTS.md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
