"""What the npu's simulator makes of quantized nets: its bits beside `reference`'s and the cpu's, and how long it takes.

    python bench/npu.py lenet8.fbnet squeezenet8.fbnet --images photos     bits and the simulator's time, of docs/npu.md
    python bench/npu.py resnet18 [m8.fbnet ...]                            programs: the table of networks there

Of each net the integer layers are run, on what the layers before them make of the images. A net that is no file is one
of bench/standing.json, quantized on noise: what a program costs does not depend on numbers.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import fbnet
import numpy as np
from devices import body, noise, shapes_of
from fbnet.engine.device import device_of
from fbnet.engine.net import Net
from fbnet.engine.part import part
from fbnet.layers.npu.assemble import assemble
from fbnet.layers.npu.timing import timing
from fbnet.tools.compile_npu import Written, bounds, macs
from fbnet.tools.image import colors_of, opened, pixels


def opened_net(name: str) -> Net:
    """A quantized net in a file, or one of the list, quantized on noise."""
    if Path(name).is_file():
        return fbnet.load(name)
    net = body(name)
    return net.quantize([noise(net, 0)], "minmax", equalise=False, bias=False, adaptive=False)


def programs(name: str) -> str:
    """A line of the table of networks: how much of it the npu runs, and what that costs."""
    net = opened_net(name)
    cut = device_of("npu+cpu").cut(net, shapes_of(net), 1)
    specs, made = net.specs(), []
    whole = [
        layer
        for layer in net
        if layer.type != "Dequantize" and any(i and specs[i].dtype.name == "int8" for i in layer.inputs)
    ]
    for segment in cut.segments:
        if segment.device.name == "npu":
            program = assemble(segment.net, segment.shapes)
            made.append(Written(Path(), segment, program, timing(program)))
    layers = sum(layer.name in {x.name for w in made for x in w.segment.net} for layer in whole)
    cycles, peak = (sum(getattr(w.timing, what) for w in made) for what in ("cycles", "peak"))
    moved, least = sum(w.timing.dram_bytes for w in made), sum(bounds(w)[0] for w in made)
    done = sum(map(macs, made))
    return (
        f"| {net.name} | {layers} of {len(whole)} | {len(made)} | {done / 1e6:,.1f} M | {cycles:,} | "
        f"{100 * done / peak:.1f} % | {moved:,} | {least:,} | {moved / least:.2f} |"
    )


def row(path: Path, images: list[Path]) -> str:
    """A line of the table."""
    net = fbnet.load(path)
    (name,) = net.inputs
    differing, count, seconds = [0, 0], 0, []
    for image in images:
        x = pixels(opened(image), colors_of(net))
        made = device_of("npu+cpu").cut(net, {name: x.shape}, 1)
        (segment,) = [s for s in made.segments if s.device.name == "npu"]
        given = part(net, (name,), tuple(segment.net.inputs)).forward(**{name: x})
        wanted = segment.net.forward(**given)
        found = []
        for device in ("npu", "cpu"):
            with segment.net.compile(device=device, shapes=segment.shapes).session() as session:
                start = perf_counter()
                found.append(session.run(given))
                seconds.append(perf_counter() - start)
        for output, array in wanted.items():
            count += array.size
            differing[0] += int((found[0][output] != array).sum())
            differing[1] += int((found[0][output] != found[1][output]).sum())
    return (
        f"| {net.name} | {len(images)} | {count:,} | {differing[0]} | {differing[1]} | "
        f"{np.median(seconds[::2]):.2f} s |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--images", type=Path, help="a folder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # one sample is little to quantize on
    if options.images:
        files = sorted(p for p in options.images.iterdir() if p.suffix in (".png", ".jpg"))
        print("| net | images | numbers | other than reference's | than the cpu's | simulated in |")
        print("|---|--:|--:|--:|--:|--:|")
    else:
        columns = "programs", "multiply-adds", "cycles", "of the array", "DRAM", "least", "ratio"
        print(f"| net | integer layers on the npu | {' | '.join(columns)} |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for net in options.nets:
        print(row(Path(net), files) if options.images else programs(net), flush=True)
