"""The zoo's networks as native libraries: on every processor the numbers of their definition, and what they cost here.

    python bench/native.py [--nets lenet squeezenet_v1.1 ...] [--targets aarch64-linux-gnu ...] [--costs]

Each net in fp32 and in int8 becomes a static library, which the program of the documentation (docs/deploy/classify.c)
runs: other processors under qemu's user emulator, WebAssembly under Node. Of an fp32 net its outputs are compared with
`reference`; of an int8 net every int8 tensor, bit for bit, each being an output of the library. Where layers in fp32
stand between integer ones, a rounding of theirs can move an int8 number by one step: what is compared then is each
integer layer on what the library itself gave it.

Prints the tables of docs/deploy-native.md. Needs Debian's qemu-user, its cross compilers, time, and ziglang and node
for wasm32; what is missing is left out, and said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fbnet
import numpy as np
from fbnet import Net
from fbnet.engine.errors import CompileError
from fbnet.formats.ends import without_image_input
from fbnet.layers.cpu.native.library import Library, Wishes, compile_library
from fbnet.layers.cpu.native.platforms import PLATFORMS, compiler_for
from fbnet.layers.cpu.target import host
from fbnet.tools.demo import LENET
from fbnet.tools.image import opened, pixels
from fbnet.tools.zoo import fetched, network
from quantization import mobilenet_v2

PROGRAM = Path(fbnet.__file__).parent / "docs" / "deploy" / "classify.c"
RUNNER = """
import { WASI } from "node:wasi"; import { readFileSync } from "node:fs";
const args = ["classify", ...process.argv.slice(3)];
const wasi = new WASI({ version: "preview1", args, preopens: { "/": "/" } });
wasi.start(new WebAssembly.Instance(new WebAssembly.Module(readFileSync(process.argv[2])), wasi.getImportObject()));
"""
# by a process of its own, in which nothing else is at work
TIMER = """
import statistics, subprocess, sys, time
took = []
for _ in range(int(sys.argv[1])):
    since = time.perf_counter()
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
    took.append(time.perf_counter() - since)
print(statistics.median(took), min(took))
"""
NETS = ("lenet", "squeezenet_v1.1", "mobilenet_v2", "res10_ssd")
EMULATORS = {
    "x86_64": [],
    "aarch64": ["qemu-aarch64", "-cpu", "max"],
    "armv7": ["qemu-arm", "-cpu", "max"],
    "riscv64": ["qemu-riscv64", "-cpu", "rv64,v=true"],
    "wasm32": ["node", "--no-warnings"],
}
ON_WASM = ("lenet", "squeezenet_v1.1")
LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni")


def nets(name: str) -> tuple[Net, np.ndarray]:
    """A net that reads pixels, and a photo for it: uint8 (1, H, W, C)."""
    if name == "lenet":
        digit = pixels(opened(LENET / "digit_7.png"), "GRAY")
        return fbnet.load(LENET / "lenet.fbnet"), digit
    photo = "astronaut" if name == "res10_ssd" else "chelsea"
    image = opened(fetched("photos") / f"{photo}.png").resize((320, 240))
    return (mobilenet_v2() if name == "mobilenet_v2" else network(name)), pixels(image)


def photos(name: str) -> list[np.ndarray]:
    """What to calibrate with."""
    if name == "lenet":
        return [pixels(opened(LENET / f"digit_{i}.png"), "GRAY") for i in range(10)]
    return [pixels(opened(p)) for p in sorted(fetched("imagenet_photos").glob("*.jpg"))[:6]]


def quantized(name: str, net: Net) -> Net:
    """In int8, by the quickest way: this is about equal bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.quantize(photos(name), "minmax", equalise=False, bias=False, adaptive=False)


def shown(net: Net) -> Net:
    """The net with every int8 tensor that a layer writes as an output, before those that it has."""
    specs = net.specs()
    written = [o for layer in net.layers for o in layer.outputs if specs[o].dtype.name == "int8"]
    return net.replace(outputs=tuple(dict.fromkeys([*written, *net.outputs])))


@dataclass(frozen=True)
class Made:
    """A program for a target, and how to run it."""

    words: Sequence[str]
    library: Library
    program: Path

    def outputs(self, net: Net, given: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
        """All outputs of one run."""
        (folder / "given").write_bytes(given.tobytes())
        subprocess.run([*self.words, "-o", folder / "out", folder / "given"], check=True, capture_output=True)
        data, at, found = (folder / "out").read_bytes(), 0, {}
        for name in net.outputs:
            spec = self.library.plans[0].tensors[name][1]
            found[name] = np.frombuffer(data, spec.dtype.storage, spec.size, at).reshape(spec.shape)
            at += spec.nbytes
        assert at == len(data)
        return found


def made(net: Net, target: str, shapes: Mapping[str, Sequence[int]], folder: Path) -> Made:
    """Compile, link and strip. Raises CompileError if something that it takes is not installed."""
    platform = PLATFORMS[target]
    words = next(words for start, words in EMULATORS.items() if target.startswith(start))
    if words and not shutil.which(words[0]):
        raise CompileError(f"no {words[0]}")
    compiler = compiler_for(platform)
    library = compile_library(net, folder, Wishes("net", "static"), target, threads=2, shapes=[shapes])
    program, more = folder / "classify", ["-s"] if platform.wasm else ["-s", "-static", "-lpthread", "-lm"]
    compiler.run(
        *platform.flags, "-std=c99", "-O2", f"-I{folder}", PROGRAM, folder / "libnet.a", *more, "-o", program,
        folder=folder,
    )  # fmt: skip
    if platform.wasm:
        (folder / "run.mjs").write_text(RUNNER)
        words = [*words, str(folder / "run.mjs")]
    return Made([*words, str(program)], library, program)


def difference(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> float:
    """The largest of any output's error, by the output's largest number where that is above 1."""
    return max(
        float(np.abs(found[n].astype(np.float64) - y).max() / max(1.0, np.abs(y).max()))
        for n, y in wanted.items()
    )


def bits(net: Net, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """(int8 numbers that differ, of how many, how many differ where each layer is given the library's own numbers)."""
    whole = [n for n, y in wanted.items() if y.dtype == np.int8]
    different = sum(int((found[n] != wanted[n]).sum()) for n in whole)
    alone = 0
    for layer in net.layers if different else ():
        if any(o not in whole for o in layer.outputs):
            continue
        known = {**{n: c.data for n, c in net.computed.constants.items()}, **found, "": None}
        if all(i in known for i in layer.inputs):
            ys = layer.compute([known[i] for i in layer.inputs])
            alone += sum(int((y != found[o]).sum()) for o, y in zip(layer.outputs, ys, strict=True))
    return different, sum(wanted[n].size for n in whole), alone


def numbers(names: Sequence[str], targets: Sequence[str]) -> None:
    """The table of right numbers."""
    print("| net |", " | ".join(targets), "|\n| --- |", " --- |" * len(targets))
    for name in names:
        net, photo = nets(name)
        small = quantized(name, net)
        exact, whole = (without_image_input(n) for n in (net, small))
        (start,) = exact.inputs
        (source,) = net.inputs
        read = {start: photo} if start == source else net.forward(upto=start, **{source: photo})
        given = np.ascontiguousarray(read[start])
        for kind, one in (("fp32", exact), ("int8", shown(whole))):
            wanted, cells = one.forward(**{start: given}), []
            for target in targets:
                if target == "wasm32" and name not in ON_WASM:
                    cells.append("")
                    continue
                since = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        found = made(one, target, {start: given.shape}, Path(folder)).outputs(
                            one, given, Path(folder)
                        )
                    except (CompileError, subprocess.CalledProcessError) as error:
                        cells.append(
                            "fails" if isinstance(error, subprocess.CalledProcessError) else "not tried"
                        )
                        print(f"    {name} {kind} {target}: {error}", flush=True)
                        continue
                cells.append(cell(kind, one, found, wanted))
                print(
                    f"    {name} {kind} {target}: {cells[-1]} ({time.monotonic() - since:.0f} s)", flush=True
                )
            print(f"| {name} {kind} |", " | ".join(cells), "|", flush=True)


def cell(kind: str, net: Net, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str:
    if kind == "fp32":
        return f"{difference(found, wanted):.1e}"
    different, count, alone = bits(net, found, wanted)
    own = f" ({alone} by the layers alone)" if different else ""
    return f"{different} of {count:,}{own}"


def costs(names: Sequence[str], rounds: int = 15) -> None:
    """Sizes, memory, start to first label and speed beside Python's session, on this machine, one thread."""
    level = host().name
    target = f"x86_64-linux-gnu{level.removeprefix('x86-64')}"
    print(f"static programs for {level}, one thread, medians of {rounds}; load {os.getloadavg()[0]:.1f}")
    print(
        "| net | library | weights | kernels | program | peak memory | first label, least | run | Python | ratio |"
    )
    for name in names:
        net, photo = nets(name)
        for kind, one in (("fp32", net), ("int8", quantized(name, net))):
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                (source,) = one.inputs
                ready = made(one, target, {source: photo.shape}, folder)
                (folder / "given").write_bytes(photo.tobytes())
                row = [
                    ready.library.files[0].stat().st_size,
                    *(ready.library.parts[p] for p in ("weights", "kernels")),
                ]
                row.append(ready.program.stat().st_size)
                median, least, peak = starts(ready, folder / "given", rounds)
                ours, pythons = speeds(one, ready, photo, folder, rounds)
            cells = [f"{size:,}" for size in row] + [
                f"{peak / 1024:.1f} MiB",
                f"{1e3 * median:.1f} / {1e3 * least:.1f} ms",
            ]
            cells += [f"{1e3 * t:.3f} ms" for t in (ours, pythons)] + [f"{ours / pythons:.3f}"]
            print(f"| {name} {kind} |", " | ".join(cells), "|", flush=True)


def starts(ready: Made, given: Path, rounds: int) -> tuple[float, float, int]:
    """(median and least seconds of a whole process that prints a label, peak KiB of one)."""
    words = [*ready.words, "-t", "1", str(given)]
    timed = subprocess.run(
        [sys.executable, "-c", TIMER, str(rounds), *words], check=True, capture_output=True
    )
    median, least = map(float, timed.stdout.split())
    # by another program, as a process counts what it was before it became this one
    asked = ["time", "-f", "%M", *words]
    said = (
        subprocess.run(asked, check=True, capture_output=True, text=True).stderr
        if shutil.which("time")
        else "0"
    )
    return median, least, int(said.split()[-1])


def speeds(net: Net, ready: Made, photo: np.ndarray, folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a run in the library and in a Python session, in turn."""
    from fbnet.layers.lib.calls import Calls

    shapes = {next(iter(net.inputs)): photo.shape}
    target = ready.library.platform.name
    shared = compile_library(net, folder, Wishes("fast"), target, threads=1, shapes=[shapes])
    calls, (source,) = Calls(shared.files[0]), net.inputs
    handle = calls.init(threads=1)
    calls.prepare(handle, {source: photo.shape})
    calls.set_tensor(handle, source, np.ascontiguousarray(photo))
    with net.compile(shapes={source: photo.shape}, threads=1, tune=False).session() as session:
        session.set_tensor(source, photo)
        ours, pythons = [], []
        for _ in range(20 * rounds):
            for run, kept in ((lambda: calls.forward(handle), ours), (session.forward, pythons)):
                since = time.perf_counter()
                run()
                kept.append(time.perf_counter() - since)
    calls.destroy(handle)
    return statistics.median(ours), statistics.median(pythons)


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = LEVELS[: LEVELS.index(host().name) + 1] if host().name in LEVELS else ()
    known = [*(f"x86_64-linux-gnu{level.removeprefix('x86-64')}" for level in here)]
    known += ["aarch64-linux-gnu", "armv7-linux-gnueabihf", "riscv64-linux-gnu", "wasm32"]
    reader.add_argument("--nets", nargs="+", default=NETS, choices=NETS)
    reader.add_argument("--targets", nargs="+", default=known)
    reader.add_argument("--costs", action="store_true", help="sizes, memory and times instead")
    wishes = reader.parse_args()
    if wishes.costs:
        costs(wishes.nets)
    else:
        numbers(wishes.nets, wishes.targets)


if __name__ == "__main__":
    main()
