"""fp16 and int8 beside fp32 and other engines' int8, round by round in one process: a part of bench/RESULTS.md.

    python bench/int8.py [net ...] [--threads 1 2] [--rounds 30]
    python bench/int8.py --target x86-64-v3     # fbnet alone, as on a processor without VNNI

Weights are random: this is about time alone.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from fbnet import FbnetError, Net
from fbnet.engine.format import write
from fbnet.tools.bench import machine
from fbnet.tools.export import fixed
from fbnet.tools.numbers import random_inputs
from fbnet.tools.peers import Model, load
from fbnet.tools.race import geometric_mean, interleaved
from fbnet.tools.results import grid, put, where_from
from fbnet.tools.standing import Entry, entries

NETS = (
    "squeezenet_v1.1", "googlenet", "resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "mnasnet",
    "proxylessnasnet", "shufflenet_v2", "vgg16", "lenet",
)  # fmt: skip
SAMPLES = 4
ALONE = """Written by `python bench/int8.py --target {target}`. Milliseconds, medians; code for that level, on this
machine. Weights are random: this is about time alone."""
ABOUT = """Written by `python bench/int8.py`. Milliseconds, medians. fbnet's integer nets are net.quantize's; those of
onnxruntime and OpenVINO are what onnxruntime's own static quantizer makes of the exported net (QDQ form, weights by
channel, unsigned activations). *to fp32* is fbnet's fp32 over its int8, *ratio* the best int8 peer over fbnet's int8.
Weights are random: this is about time alone."""
LANES = ("fbnet fp32", "fbnet fp16", "fbnet int8", "onnxruntime int8", "openvino int8")


def images(shaped: Net) -> list[dict[str, np.ndarray]]:
    return [random_inputs(shaped.inputs, seed) for seed in range(SAMPLES)]


def quantized_by_onnxruntime(path: Path, samples: list[dict[str, np.ndarray]]) -> Path:
    """The file that onnxruntime's static quantizer makes of an fp32 model."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.left, None)

    logging.getLogger().setLevel(logging.ERROR)
    ready, out = path.with_name("ready.onnx"), path.with_name("quantized.onnx")
    quant_pre_process(
        str(path), str(ready), skip_symbolic_shape=True
    )  # folds normalisations, as its makers say
    quantize_static(
        str(ready), str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return out


def times(
    entry: Entry, threads: int, rounds: int, budget: float, peers: Sequence[str] = ("onnxruntime", "openvino")
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
        path = Path(folder) / "net.onnx"
        try:
            if peers:
                write(shaped, path)
            given = {name: tuple(map(int, spec.shape)) for name, spec in shaped.inputs.items()}
            quantized = quantized_by_onnxruntime(path, samples) if peers else path
            model = Model(quantized, quantized, given, outputs)
            for peer in peers:
                engines[f"{peer} int8"] = load(peer, model, threads, Path(folder))[1]
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
    peers = () if given.target else ("onnxruntime", "openvino")
    about = machine(peers, given.threads)
    title = f"# fp16 and int8, {given.target}" if given.target else "# fp16 and int8"
    text = ALONE.format(target=given.target) if given.target else ABOUT
    lines = [title, "", where_from(about), "", *text.splitlines()]
    columns = [name for name in LANES if peers or name.startswith("fbnet")]
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
            best = min((found[name] for name in LANES[3:] if name in found), default=None)
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
