"""What the npu's simulator makes of quantized nets: its bits beside `reference`'s and the cpu's, and how long it takes.

    python bench/npu.py lenet8.fbnet squeezenet8.fbnet --images photos     prints the table of docs/npu.md

Of each net the integer layers are run, on what the layers before them make of the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import fbnet
import numpy as np
from fbnet.engine.device import device_of
from fbnet.engine.part import part
from fbnet.tools.image import colors_of, opened, pixels


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
    parser.add_argument("nets", nargs="+", type=Path)
    parser.add_argument("--images", required=True, type=Path, help="a folder")
    options = parser.parse_args()
    files = sorted(p for p in options.images.iterdir() if p.suffix in (".png", ".jpg"))
    print("| net | images | numbers | other than reference's | than the cpu's | simulated in |")
    print("|---|--:|--:|--:|--:|--:|")
    for path in options.nets:
        print(row(path, files), flush=True)
