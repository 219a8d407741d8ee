"""The zoo's networks with weights in fp16: their size in the file and in memory, their results, and their time.

    python bench/half.py [NAME ...]

Judged on the zoo's photos, on a page where a network reads text. Times are of one thread: of each round, in which both
run once, the ratio is taken, and of those the median. Prints a table of docs/quantization.md.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import fbnet
import numpy as np
from fbnet.engine.net import Net
from fbnet.engine.part import pieces
from fbnet.engine.plan import Plan
from fbnet.engine.quantize.quality import judged_outputs, quality
from fbnet.engine.quantize.samples import body_index, body_samples
from fbnet.formats.ends import reads_pixels
from fbnet.tools.catalogue import ENTRIES
from fbnet.tools.demo import LENET
from fbnet.tools.image import colors_of, opened, pixels
from fbnet.tools.zoo import fetched, network
from PIL import Image
from quantization import overlap

PHOTOS = 40
FITTED = 512  # pixels of a photo's side, where a network takes any
PIECES = 16  # of a page or photo
SECONDS, ROUNDS = 4.0, 300  # of timing: whichever is over first
SURE = 0.5  # a score from which on something is found
Arrays = dict[str, np.ndarray]


def samples_of(name: str, net: Net) -> list[Arrays]:
    """Photos for the net's piece that computes; pieces of a page or of photos for a net that reads no pixels."""
    shapes = {key: [max(1, int(s)) for s in spec.shape] for key, spec in net.inputs.items()}
    ((key, shape),) = shapes.items()
    if reads_pixels(net):
        found = [
            *sorted(fetched("imagenet_photos").glob("*.jpg")),
            *sorted(fetched("photos").glob("*.png")),
            *sorted(fetched("face_photos").glob("*.jpg")),
        ]
        photos = [opened(p) for p in found[:PHOTOS]]
        given = body_samples(net, [{key: pixels(photo, colors_of(net))} for photo in photos])
        if len({array.shape for sample in given for array in sample.values()}) > 1:
            # the body itself fits them to its size, or takes any
            photos = [photo.resize((FITTED, FITTED)) for photo in photos]
            given = body_samples(net, [{key: pixels(photo, colors_of(net))} for photo in photos])
        return given
    *_, h, w = shape
    if name == "ppocr_v4_rec":  # lines, of which those that are read with confidence count
        starts = [(left, top) for top in range(0, 167, 2) for left in range(0, 225, 32)]
        corners = [(left, top, left + 160, top + 24) for left, top in starts]
        return [{key: 2 * part - 1} for part in cut("page.png", corners, h, w)]
    if name.startswith("ppocr"):
        return [{key: 2 * part - 1} for part in cut("page.png", spread(384, 191, h, w), h, w)]
    return [{key: part} for part in cut("astronaut.png", spread(512, 512, 2 * h, 2 * w), h, w)]


def spread(width: int, height: int, h: int, w: int) -> list[tuple[int, int, int, int]]:
    """Corners of PIECES of an image, all as large as they can be in the proportion of h and w."""
    factor = min(1.0, height / h, width / w)
    h, w = int(h * factor), int(w * factor)
    tops, lefts = (np.linspace(0, room, PIECES).astype(int) for room in (height - h, width - w))
    return [(left, top, left + w, top + h) for top, left in zip(tops.tolist(), lefts.tolist(), strict=True)]


def cut(photo: str, corners: Sequence[tuple[int, int, int, int]], h: int, w: int) -> list[np.ndarray]:
    """Parts of one of scikit-image's photos, (1, 3, h, w) from 0 to 1, in BGR."""
    image = Image.open(fetched("photos") / photo).convert("RGB")
    parts = [image.crop(box).resize((w, h), Image.Resampling.BILINEAR) for box in corners]
    return [np.asarray(part, np.float32).transpose(2, 0, 1)[None, ::-1] / np.float32(255) for part in parts]


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
    rest = sizes[1] - sum(c.spec.nbytes for c in half.constants.values())
    given, at = samples_of(name, lean), body_index(lean)
    outputs = judged_outputs(pieces(lean)[at])
    shapes = {key: array.shape for key, array in given[0].items()}
    plans = [
        pieces(n)[at].replace(outputs=outputs).compile(shapes=shapes, threads=1, tune=False)
        for n in (lean, half)
    ]
    kept = [plan.peak_bytes - plan.arena_bytes for plan in plans]
    peaks = [plan.peak_bytes for plan in plans]
    exact, found = (answers(plan, given) for plan in plans)
    beside = quality(exact, found)
    agrees = same(exact, found) if beside.agreement is None else f"{beside.agreement:.1f} % of classes"
    return (
        f"| {name} | {sizes[0]:,} | {100 * sizes[1] / sizes[0]:.1f} % | {100 * rest / sizes[1]:.1f} % | "
        f"{100 * kept[1] / kept[0]:.1f} % | {100 * peaks[1] / peaks[0]:.1f} % | {beside.samples} | {agrees} | "
        f"{'' if 'boxes' in agrees else f'{100 * beside.error:.3f} %'} | {time_of(plans, given[0]):.2f} |"
    )


def answers(plan: Plan, samples: Sequence[Arrays]) -> list[Arrays]:
    """The plan's outputs for each sample."""
    with plan.session() as session:
        return [{k: np.array(v) for k, v in session.run(sample).items()} for sample in samples]


def time_of(plans: Sequence[Plan], sample: Arrays) -> float:
    """The second plan's time relative to the first's."""
    wide, narrow = (plan.session() for plan in plans)
    for session in (wide, narrow):
        session.run(sample)
    ratios: list[float] = []
    end = perf_counter() + SECONDS
    while len(ratios) < ROUNDS and (perf_counter() < end or len(ratios) < 5):
        at = [perf_counter()]
        for session in (wide, narrow):
            session.forward()
            at.append(perf_counter())
        ratios.append((at[2] - at[1]) / (at[1] - at[0]))
    wide.close()
    narrow.close()
    return median(ratios)


def same(exact: Sequence[Arrays], found: Sequence[Arrays]) -> str:
    """What the answers mean, where they are no classes: boxes, a class at each place of a row, or a map of scores."""
    for key, first in exact[0].items():
        a, b = ([answer[key] for answer in answers] for answers in (exact, found))
        if first.ndim == 4 and first.shape[1:2] == (1,) and first.shape[-1] == 7:
            return same_boxes(a, b)
        if first.ndim == 3 and first.dtype.kind == "f" and first.shape[2] > 100:
            clear = [(x, y) for x, y in zip(a, b, strict=True) if sure_of(x)]
            alike = [text_of(x) == text_of(y) for x, y in clear]
            return f"{sum(alike)} of {len(alike)} lines read alike"
        if first.ndim == 4 and all(x.min() >= 0 and x.max() <= 1 for x in a):
            either = sum(int(((x > SURE) | (y > SURE)).sum()) for x, y in zip(a, b, strict=True))
            both = sum(int(((x > SURE) & (y > SURE)).sum()) for x, y in zip(a, b, strict=True))
            return f"{both:,} of {either:,} places" if either else ""
    return ""


def text_of(scores: np.ndarray) -> list[int]:
    """The characters of a line: of each run of a class one, and none of class 0."""
    best = scores[0].argmax(1).tolist()
    return [k for k, before in zip(best, [0, *best], strict=False) if k and k != before]


def sure_of(scores: np.ndarray) -> bool:
    """Whether a line has eight characters, each at least SURE. (scores before the Softmax)"""
    there = scores[0][scores[0].argmax(1) > 0].astype(np.float64)
    most = 1 / np.exp(there - there.max(1, keepdims=True, initial=-np.inf)).sum(1)
    return len(text_of(scores)) >= 8 and bool((most >= SURE).all())


def same_boxes(exact: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> str:
    """Boxes with their best counterpart of the same class: order says nothing."""
    pairs = [
        [r[(r[:, 0] >= 0) & (r[:, 2] > SURE)] for r in (x.reshape(-1, 7), y.reshape(-1, 7))]
        for x, y in zip(exact, found, strict=True)
    ]
    best = [max((overlap(a[3:], b[3:]) for b in y if b[1] == a[1]), default=0.0) for x, y in pairs for a in x]
    count = sum(len(y) for _, y in pairs)
    return f"{len(best)} and {count} boxes, overlap at least {min(best, default=1):.2f}"


def main() -> None:
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or ["lenet", *(e.name for e in ENTRIES if e.model)]
    columns = [
        "network",
        "bytes in fp32",
        "file",
        "of it structure",
        "weights in memory",
        "all memory",
        "judged on",
        "the same",
        "output error",
        "time",
    ]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name in names:
        try:
            print(row(name), flush=True)
        except fbnet.FbnetError as error:
            print(f"| {name} | {type(error).__name__}: {str(error)[:160]} |", flush=True)


if __name__ == "__main__":
    main()
