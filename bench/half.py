"""The zoo's networks with weights in fp16: their size in the file and in memory, and what that does to their results.

    python bench/half.py [NAME ...]

Judged on the zoo's photos where a network reads images, else on noise. Prints a table of docs/quantization.md.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.compile import MAX_WORKSPACE
from fbnet.engine.net import Net
from fbnet.engine.part import pieces
from fbnet.engine.quantize.quality import answers, judged_outputs, quality
from fbnet.engine.quantize.samples import body_index, body_samples
from fbnet.formats.ends import reads_pixels
from fbnet.tools.catalogue import ENTRIES
from fbnet.tools.demo import LENET
from fbnet.tools.image import colors_of, opened, pixels
from fbnet.tools.zoo import fetched, network

PHOTOS = 40
NOISE = 16
LITTLE = (
    1 << 16
)  # bytes of working memory, with which Winograd's kernels are not taken: their weights stay fp32


def samples_of(net: Net) -> list[dict[str, np.ndarray]]:
    """Photos for the net's piece that computes, or noise of its usual shape."""
    name = reads_pixels(net)
    if name:
        found = [*sorted(fetched("imagenet_photos").glob("*.jpg")), *sorted(fetched("photos").glob("*.png"))]
        return body_samples(net, [{name: pixels(opened(p), colors_of(net))} for p in found[:PHOTOS]])
    rng = np.random.default_rng(0)
    shapes = {key: [max(1, int(s)) for s in spec.shape] for key, spec in net.inputs.items()}
    return [
        {
            key: rng.standard_normal(shape).astype(net.inputs[key].dtype.storage)
            for key, shape in shapes.items()
        }
        for _ in range(NOISE)
    ]


def row(name: str) -> str:
    """A line of the table."""
    net = fbnet.load(LENET / "lenet.fbnet") if name == "lenet" else network(name)
    lean = net.replace(tests=(), plans={})
    half = lean.stored_as("fp16")
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for each, file in ((lean, "a.fbnet"), (half, "b.fbnet")):
            each.save(Path(folder) / file)
            sizes.append((Path(folder) / file).stat().st_size)
    given, at = samples_of(lean), body_index(lean)
    wide, narrow = pieces(lean)[at], pieces(half)[at]
    shapes = {key: array.shape for key, array in given[0].items()}
    most = [_share(wide, narrow, shapes, workspace) for workspace in (MAX_WORKSPACE, LITTLE)]
    outputs = judged_outputs(wide)
    found = quality(answers(wide, outputs, given), answers(narrow, outputs, given))
    agreement = "" if found.agreement is None else f"{found.agreement:.1f} %"
    return (
        f"| {name} | {sizes[0]:,} | {100 * sizes[1] / sizes[0]:.1f} % | {100 * most[0]:.1f} % | "
        f"{100 * most[1]:.1f} % | {found.samples} | {agreement} | {100 * found.error:.3f} % |"
    )


def _share(wide: Net, narrow: Net, shapes: Mapping[str, tuple[int, ...]], workspace: int) -> float:
    """Bytes of the narrow net's weights as kernels read them, relative to the wide one's."""
    plans = [n.compile(shapes=shapes, threads=1, tune=False, max_workspace=workspace) for n in (wide, narrow)]
    kept = [plan.peak_bytes - plan.arena_bytes for plan in plans]
    return kept[1] / kept[0]


def main() -> None:
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or ["lenet", *(e.name for e in ENTRIES if e.model)]
    columns = [
        "network",
        "bytes in fp32",
        "file",
        "weights in memory",
        "without Winograd",
        "judged on",
        "agrees with fp32",
        "output error",
    ]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name in names:
        try:
            print(row(name), flush=True)
        except fbnet.FbnetError as error:
            print(f"| {name} | {type(error).__name__}: {str(error)[:160]} |", flush=True)


if __name__ == "__main__":
    main()
