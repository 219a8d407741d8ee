"""What int8 loses on the zoo's networks, beside fp32 and beside other engines' own quantizers.

    python bench/quantization.py --photos /usr/share/doc/opencv-doc/examples/data \\
        --stamps /usr/share/tuxpaint/stamps

Photos to calibrate with: 40 of those in --photos (Debian's opencv-doc) and scikit-image's. Judged are others: the zoo's
20 ImageNet photos and 81 cut-outs (Debian's tuxpaint-stamps-default), in four versions each.
Prints the table of docs/quantization.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.part import pieces
from fbnet.engine.quantize.front import quantize_net
from fbnet.engine.quantize.quality import Quality, answers, judged_outputs, quality
from fbnet.engine.quantize.samples import body_index, run
from fbnet.formats.ends import without_image_input
from fbnet.tools.demo import LENET
from fbnet.tools.export import fixed
from fbnet.tools.image import opened, pixels
from fbnet.tools.peers import Model, onnxruntime_run
from fbnet.tools.quantizers import load_quantized, quantizers
from fbnet.tools.zoo import fetched, network
from judged import (
    Images,
    bodies,
    calibration_photos,
    halves,
    judged_images,
    mobilenet_v2,
)
from reading import text


def beside(net: fbnet.Net, other: fbnet.Net, images: Images, right: Sequence[set[int]] | None) -> Quality:
    """Another net made of this one, beside it on images that neither has seen."""
    given, at = bodies(net, images), body_index(net)
    outputs = judged_outputs(pieces(net)[at])
    exact, found = (answers(pieces(n)[at], outputs, given) for n in (net, other))
    return quality(exact, found, right)


def others(
    net: fbnet.Net, calibration: Images, images: Images, right: Sequence[set[int]] | None
) -> Iterator[tuple[str, Quality]]:
    """Other engines' own quantizers on the same images, each run as its makers say; onnxruntime's exactly as well."""
    plain = without_image_input(net)
    (name,), (source,) = plain.inputs, net.inputs
    given, judged = (
        [{name: net.forward(upto=name, **{source: i})[name]} for i in part] for part in (calibration, images)
    )
    plain = fixed(
        plain.replace(outputs=judged_outputs(plain), plans={}, tests=()), {name: given[0][name].shape}
    )
    with tempfile.TemporaryDirectory() as folder, plain.compile().session() as session:
        wanted = [session.run(image) for image in judged]
        shapes = {output: array.shape for output, array in wanted[0].items()}
        path = Path(folder) / "net.onnx"
        plain.save(path)
        model = Model(path, path, {name: given[0][name].shape}, shapes)
        for engine in quantizers:
            place = Path(folder) / engine
            place.mkdir()
            try:
                version, answer = load_quantized(engine, model, given, 1, place)
            except fbnet.ConversionError as error:
                print(error, file=sys.stderr)
                continue
            yield f"{engine} {version}", quality(wanted, [answer(image) for image in judged], right)
            if engine == "onnxruntime":
                answer = onnxruntime_run(place / "quantized.onnx", list(plain.outputs), 1, optimised=False)
                yield "onnxruntime, optimisation off", quality(wanted, [answer(i) for i in judged], right)


def row(name: str, how: str, found: Quality, share: float | None = None) -> None:
    """Print a line of the table."""
    top1 = "" if found.top1_fp32 is None else f"{found.top1_fp32:.2f} → {found.top1_int8:.2f}"
    agreement = "" if found.agreement is None else f"{found.agreement:.1f} %"
    kept = "" if share is None else f"{100 * share:.1f} %"
    cells = (name, how, found.samples, top1, agreement, f"{100 * found.error:.2f} %", kept)
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def budgets(
    name: str, net: fbnet.Net, images: Images, right: list[set[int]] | None, together: int, method: str
) -> None:
    """max_drop=0.5 on half of the images, judged on the others; and the other way round."""
    for seen, other in halves(len(images), together):
        labels = None if right is None else [right[i] for i in seen]
        try:
            made = quantize_net(net, [images[i] for i in seen], method, labels=labels, max_drop=0.5)
        except fbnet.QuantizationError as refused:
            print(f"| {name} | ours, max_drop=0.5: refused | {refused} |", flush=True)
            continue
        labels = None if right is None else [right[i] for i in other]
        found = beside(net, made.net, [images[i] for i in other], labels)
        row(
            name,
            f"ours, max_drop=0.5: {made.quality.drop:+.2f} lost where it looked",
            found,
            made.float_share,
        )


def classifiers(photos: Path, stamps: Path, only: Callable[[str], bool]) -> None:
    """SqueezeNet and MobileNetV2: by default, to a budget, and by onnxruntime."""
    calibration, (images, right) = calibration_photos(photos), judged_images(stamps)
    for name, make in (("SqueezeNet 1.1", lambda: network("squeezenet_v1.1")), ("MobileNetV2", mobilenet_v2)):
        if not only(name):
            continue
        net = make()
        for engine, found in others(net, calibration, images, right):
            row(name, engine, found)
        made = quantize_net(net, calibration)
        row(name, f"ours ({made.method})", beside(net, made.net, images, right), made.float_share)
        rounded = quantize_net(net, calibration, made.method, adaptive=False)
        row(name, "ours, adaptive=False", beside(net, rounded.net, images, right), rounded.float_share)
        budgets(name, net, images, right, 4, made.method)


def lenet() -> None:
    """100 of MNIST's training digits to calibrate with, the 10,000 others to judge."""
    folder = fetched("mnist")

    def read(name: str, head: int) -> np.ndarray:
        return np.frombuffer((folder / name).read_bytes(), np.uint8)[head:]

    train = read("train-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28, 1)
    test = read("t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28, 1)
    right = [{int(k)} for k in read("t10k-labels-idx1-ubyte", 8)]
    net, name = fbnet.load(LENET / "lenet.fbnet"), "LeNet-5, MNIST"
    made = quantize_net(net, list(train[:100]))
    row(name, f"ours ({made.method})", beside(net, made.net, list(test), right), made.float_share)
    budgets(name, net, list(test), right, 1, made.method)


def scores(photos: Path, stamps: Path) -> None:
    """open_nsfw: how far the two probabilities are from fp32's."""
    calibration, (images, _) = calibration_photos(photos), judged_images(stamps)
    net = network("open_nsfw")
    given, at = bodies(net, images), body_index(net)
    exact = answers(pieces(net)[at], net.outputs, given)
    method = "auto"
    for adaptive in (True, False):
        made = quantize_net(net, calibration, method, adaptive=adaptive)
        method, found = made.method, answers(pieces(made.net)[at], net.outputs, given)
        error = np.mean([np.abs(x[k] - y[k]).mean() for x, y in zip(exact, found, strict=True) for k in x])
        how = f"ours ({method})" if adaptive else "ours, adaptive=False"
        whole = beside(net, made.net, images, None)
        row(f"open_nsfw, mean score error {error:.4f}", how, whole, made.float_share)
    budgets("open_nsfw", net, images, None, 4, method)


def faces(photos: Path) -> None:
    """res10: the faces above .5 in three photos, and how far their boxes are from fp32's.

    With a budget too, of faces found again in the mirrored photos; judged by these as they are.
    """
    net = network("res10_ssd")
    shown = [
        fetched("photos") / "astronaut.png",
        *(fetched("face_photos") / f"{n}.jpg" for n in ("multiple-faces", "jeep")),
    ]
    images = [pixels(opened(path)) for path in shown]
    mirrored = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
    calibration = calibration_photos(photos)
    wanted = [found_faces(net, image) for image in mirrored]

    def metric(other: fbnet.Net) -> float:
        found = [found_faces(other, image) for image in mirrored]
        again = sum(same_faces(a, b) for a, b in zip(wanted, found, strict=True))
        return 100 * again / max(sum(map(len, wanted)), sum(map(len, found)))

    method = "auto"
    for how in ({}, {"metric": metric, "max_drop": 0.5}):
        made = quantize_net(net, calibration, method, **how)
        method = made.method
        for path, image in zip(shown, images, strict=True):
            a, b = (found_faces(n, image) for n in (net, made.net))
            least = min((max((overlap(x, y) for y in b), default=0.0) for x in a), default=1.0)
            print(f"res10 {'to a budget' if how else made.method}, {path.name}: {len(a)} faces in fp32, {len(b)} in "
                  f"int8, least overlap {least:.3f}, fp32 kept {100 * made.float_share:.1f} %", flush=True)  # fmt: skip


def found_faces(net: fbnet.Net, image: np.ndarray) -> np.ndarray:
    """Boxes [left, top, right, bottom] of scores above .5."""
    rows = next(iter(run(net, {next(iter(net.inputs)): image}).values())).reshape(-1, 7)
    return rows[(rows[:, 0] >= 0) & (rows[:, 2] > 0.5), 3:]


def same_faces(a: np.ndarray, b: np.ndarray) -> int:
    """How many of a overlap one of b by half."""
    return sum(max((overlap(x, y) for y in b), default=0.0) >= 0.5 for x in a)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [left, top, right, bottom]."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(sides.prod())
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--stamps", type=Path, required=True)
    parser.add_argument(
        "--only", default="", help="a part of a name: digits, SqueezeNet, MobileNet, nsfw, res10, OCR"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")

    def only(name: str) -> bool:
        return asked.only.lower() in name.lower()

    columns = (
        "network",
        "quantized by",
        "judged on",
        "top-1",
        "agrees with fp32",
        "output error",
        "stays fp32",
    )
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name, part in (
        ("digits", lenet),
        ("SqueezeNet MobileNetV2", lambda: classifiers(asked.photos, asked.stamps, only)),
        ("open_nsfw", lambda: scores(asked.photos, asked.stamps)),
        ("res10", lambda: faces(asked.photos)),
        ("PP-OCR", lambda: text(asked.photos)),
    ):
        if only(name):
            part()


if __name__ == "__main__":
    main()
