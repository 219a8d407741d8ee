"""One net on every device: outputs in fp32, with weights in fp16, and in int8, beside `reference`.

    python bench/devices.py [--time] [--devices cpu,lib,npu] [NAME ...]        # of bench/standing.json, or res10_ssd
    NUMBA_ENABLE_CUDASIM=1 FBNET_OPENCL=oclgrind python bench/devices.py --devices opencl,cuda lenet

In int8 every tensor of integers is compared, bit by bit; inputs are noise, as bits do not depend on what is accurate.
Prints the tables of docs/devices.md. --time: milliseconds of a forward too, for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter

import numpy as np
from fbnet.engine.device import device_of, devices
from fbnet.engine.lower import HostFallback
from fbnet.engine.net import Net
from fbnet.engine.steps import relative_error
from fbnet.tools.standing import FOLDER, Entry, entries

NAMES = ("lenet", "squeezenet_v1.1", "mobilenet_v2", "res10_ssd")
DEVICES = ("cpu", "lib", "opencl", "npu")
SAMPLES = 4
ROUNDS = 7


def body(name: str) -> Net:
    """A net of the standing list, without what prepares its images; or another of the zoo."""
    known = {entry.name: entry for entry in entries()}
    return known.get(name, Entry(name, (f"zoo:{name}",))).open(FOLDER)


def told(net: Net) -> Net:
    """The net, with what goes into its softmaxes as outputs, too: noise makes ones and zeros of it, which hide much."""
    scores = [layer.inputs[0] for layer in net.layers if layer.type == "Softmax"]
    return net.replace(outputs=list(dict.fromkeys([*net.outputs, *scores])))


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
    net: Net, device: str, given: dict[str, np.ndarray], dtype: str, rounds: int
) -> tuple[dict, int, float]:
    """(outputs, layers on the host, seconds of a forward) on a device."""
    stored = "fp16" if dtype == "fp16" else "fp32"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)
        plan = net.compile(device=device, dtype=stored, shapes=shapes_of(net))
    host = sum(step.entry < 0 for step in plan.steps) if device_of(device).has_kernels else 0
    with plan.session() as session:
        outputs, seconds = session.run(given), [0.0]
        for _ in range(rounds):
            start = perf_counter()
            session.forward()
            seconds.append(perf_counter() - start)
    return outputs, host, float(np.median(seconds[1:] or seconds))


def cell(
    net: Net,
    device: str,
    given: dict[str, np.ndarray],
    wanted: dict[str, np.ndarray],
    dtype: str,
    rounds: int,
) -> str:
    """What a device makes of a net, beside what is wanted."""
    if device == "npu":
        if dtype != "int8":
            return ""
        device = "npu+cpu"  # for the real numbers at its ends
    got, host, seconds = run(net, device, given, dtype, rounds)
    if dtype == "int8":
        differ = sum(int((got[o] != wanted[o]).sum()) for o in wanted)
        text = f"{differ} of {sum(w.size for w in wanted.values()):,}"
    else:
        text = f"{max(relative_error(got[o], wanted[o]) for o in wanted):.0e}"
    return text + f", {host} on the host" * bool(host) + f", {1e3 * seconds:.1f} ms" * bool(rounds)


def rows(name: str, chosen: list[str], rounds: int) -> list[str]:
    """The lines of a net."""
    found = {}
    for dtype in ("fp32", "fp16", "int8"):
        net = integers(body(name)) if dtype == "int8" else told(body(name))
        given = noise(net, 99)
        wanted = (net.stored_as("fp16") if dtype == "fp16" else net).forward(**given)
        found[dtype] = [cell(net, device, given, wanted, dtype, rounds) for device in chosen]
    real = [", ".join(filter(None, pair)) for pair in zip(found["fp32"], found["fp16"], strict=True)]
    return [f"| {name} | fp32, fp16 | {' | '.join(real)} |", f"| | int8 | {' | '.join(found['int8'])} |"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--devices", default=",".join(n for n in DEVICES if devices[n].available()))
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    chosen = options.devices.split(",")
    print(f"| net | dtype | {' | '.join(chosen)} |\n|{' --- |' * (2 + len(chosen))}", flush=True)
    for name in options.names:
        print(*rows(name, chosen, ROUNDS if options.time else 0), sep="\n", flush=True)
