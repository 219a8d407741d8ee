"""One net on every device: outputs in fp32, with weights in fp16, and in int8, beside `reference`.

    python bench/devices.py [--time] [NAME ...]        # of bench/standing.json, or res10_ssd

In int8 every tensor of integers is compared, bit by bit; inputs are noise, as bits do not depend on what is accurate.
Prints the tables of docs/devices.md. --time: milliseconds of a forward too, for a machine that does nothing else.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import fbnet
import numpy as np
from fbnet.engine.device import device_of
from fbnet.engine.lower import HostFallback
from fbnet.engine.net import Net
from fbnet.engine.steps import relative_error
from fbnet.layers.cpu.native.library import Wishes, compile_library
from fbnet.tools.standing import FOLDER, Entry, entries

NAMES = ("lenet", "squeezenet_v1.1", "mobilenet_v2", "res10_ssd")
SAMPLES = 4
ROUNDS = 7


def body(name: str) -> Net:
    """A net of the standing list, without what prepares its images; or another of the zoo."""
    known = {entry.name: entry for entry in entries()}
    return known.get(name, Entry(name, (f"zoo:{name}",))).open(FOLDER)


def shapes_of(net: Net) -> dict[str, tuple[int, ...]]:
    return {name: tuple(map(int, spec.shape)) for name, spec in net.inputs.items()}


def noise(net: Net, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) * 50 for name, shape in shapes_of(net).items()}


def integers(net: Net) -> Net:
    """The net in int8, whose outputs are all of its tensors of integers."""
    warnings.simplefilter("ignore")  # few samples, as bits do not depend on them
    small = net.quantize(
        [noise(net, i) for i in range(SAMPLES)], "minmax", equalise=False, bias=False, adaptive=False
    )
    specs, reals = small.specs(), set()
    whole = []
    for layer in small.layers:  # behind a layer in fp32 that lies in between, bits may differ
        if specs[layer.outputs[0]].dtype.name == "fp32" and layer.type != "Dequantize":
            reals |= set(layer.outputs) if reals & set(layer.inputs) else set()
        if any(i in reals for i in layer.inputs) or layer.type == "Dequantize":
            reals |= set(layer.outputs)
        elif specs[layer.outputs[0]].dtype.name == "int8":
            whole += layer.outputs
    return small.replace(outputs=whole)


def run(
    net: Net, device: str, given: dict[str, np.ndarray], dtype: str, folder: Path
) -> tuple[dict, int, float]:
    """(outputs, layers on the host, seconds of a forward) on a device; 'lib' is a library made for it."""
    shapes = shapes_of(net)
    if device == "lib":
        stored = net.stored_as("fp16") if dtype == "fp16" else net
        built = compile_library(stored, folder / f"{net.name}{dtype}", Wishes("net"), shapes=[shapes])
        device, dtype = f"lib:{built.files[0]}", "fp32"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)
        plan = net.compile(device=device, dtype="fp16" if dtype == "fp16" else "fp32", shapes=shapes)
    host = sum(step.entry < 0 for step in plan.steps) if device_of(device).has_kernels else 0
    with plan.session() as session:
        outputs, seconds = session.run(given), []
        for _ in range(ROUNDS):
            start = perf_counter()
            session.forward()
            seconds.append(perf_counter() - start)
    return outputs, host, float(np.median(seconds))


def row(name: str, dtype: str, devices: list[str], timed: bool, folder: Path) -> str:
    """A line of the table."""
    net = body(name)
    net = integers(net) if dtype == "int8" else net
    given = noise(net, 99)
    wanted = (net.stored_as("fp16") if dtype == "fp16" else net).forward(**given)
    cells = []
    for device in devices:
        got, host, seconds = run(net, device, given, dtype, folder)
        if dtype == "int8":
            differ = sum(int((got[o] != wanted[o]).sum()) for o in wanted)
            cell = f"{differ} of {sum(w.size for w in wanted.values()):,} differ"
        else:
            cell = f"{max(relative_error(got[o], wanted[o]) for o in wanted):.0e}"
        cells.append(cell + f", {host} on the host" * bool(host) + f", {1e3 * seconds:.1f} ms" * timed)
    return f"| {name} | {dtype} | {' | '.join(cells)} |"


def main() -> None:
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or NAMES
    devices = ["cpu", "lib", *["opencl"] * fbnet.engine.device.devices["opencl"].available()]
    print(f"| net | dtype | {' | '.join(devices)} |\n|{'---|' * (2 + len(devices))}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for dtype in ("fp32", "fp16", "int8"):
                print(row(name, dtype, devices, "--time" in sys.argv, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
