"""What int8 loses on the zoo's networks, beside fp32 and beside onnxruntime's own quantizer.

    python bench/quantization.py --photos /usr/share/doc/opencv-doc/examples/data \\
        --stamps /usr/share/tuxpaint/stamps

Photos to calibrate with: 40 of those in --photos (Debian's opencv-doc) and scikit-image's. Judged are others: the zoo's
20 ImageNet photos and 81 cut-outs on white (Debian's tuxpaint-stamps-default).
Prints the table of docs/quantization.md.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.part import pieces
from fbnet.engine.quantize.front import quantize_net
from fbnet.engine.quantize.quality import Quality, answers, judged_outputs, quality
from fbnet.engine.quantize.samples import body_index, body_samples
from fbnet.formats.ends import without_image_input
from fbnet.tools import catalogue
from fbnet.tools.demo import LENET
from fbnet.tools.image import opened, pixels
from fbnet.tools.zoo import fetched, network
from PIL import Image

CALIBRATION = 40
Images = list[np.ndarray]


def calibration_photos(folder: Path) -> Images:
    """40 photos in colour of at least 200 pixels a side, the same each time."""
    found: Images = []
    for path in [*sorted(folder.iterdir()), *sorted(fetched("photos").iterdir())]:
        data = path.read_bytes() if path.is_file() else b""
        try:
            image = Image.open(io.BytesIO(gzip.decompress(data) if path.suffix == ".gz" else data))
            image.load()
        except (OSError, SyntaxError, ValueError):
            continue
        array = np.asarray(image.convert("RGB"))
        if min(image.size) >= 200 and array.std() >= 25 and image.mode not in ("1", "L"):
            found.append(array[None])
    picks = np.random.default_rng(0).permutation(len(found))[:CALIBRATION]
    return [found[i] for i in picks]


def judged_images(stamps: Path) -> tuple[Images, list[set[int]]]:
    """20 photos and 81 cut-outs, each on white with a margin of 12 %; and their ImageNet classes."""
    images = [pixels(opened(p)) for p in sorted(fetched("imagenet_photos").glob("*.jpg"))]
    right = [{int(p.stem.split("_")[-1])} for p in sorted(fetched("imagenet_photos").glob("*.jpg"))]
    with open(Path(__file__).with_name("stamps_imagenet.csv")) as file:
        for row in csv.DictReader(file):
            cut = Image.open(stamps / row["path"]).convert("RGBA")
            side = int(max(cut.size) * 1.24)
            white = Image.new("RGBA", (side, side), "white")
            white.alpha_composite(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
            images.append(np.asarray(white.convert("RGB"))[None])
            right.append({int(i) for i in row["imagenet_ids"].split()})
    return images, right


def mobilenet_v2() -> fbnet.Net:
    """torchvision's definition with its published weights, and the image preparation that the zoo knows."""
    import torch
    from torchvision.models import mobilenet_v2 as definition

    module = definition()
    weights = fetched("mobilenet_v2") / "mobilenet_v2-b0353104.pth"
    module.load_state_dict(torch.load(weights, weights_only=True))
    net = fbnet.convert(module.eval(), (1, 3, 224, 224))
    return fbnet.with_image_input(net, **catalogue.entry("mobilenet_v2").image)


def bodies(net: fbnet.Net, images: Images) -> list[dict[str, np.ndarray]]:
    """Each image as the net's quantized piece reads it."""
    (name,) = net.inputs
    return body_samples(net, [{name: image} for image in images])


def beside(net: fbnet.Net, other: fbnet.Net, images: Images, right: Sequence[set[int]] | None) -> Quality:
    """Another net made of this one, beside it on images that neither has seen."""
    given, at = bodies(net, images), body_index(net)
    outputs = judged_outputs(pieces(net)[at])
    exact, found = (answers(pieces(n)[at], outputs, given) for n in (net, other))
    return quality(exact, found, right)


def onnxruntimes(
    net: fbnet.Net, calibration: Images, images: Images, right: Sequence[set[int]] | None
) -> Quality:
    """onnxruntime's static quantizer, a scale for each channel, on the same images; run exactly (no fused kernels)."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain = without_image_input(net)
    (name,), (source,) = plain.inputs, net.inputs
    outputs = judged_outputs(plain)
    arrays = [[net.forward(upto=name, **{source: i})[name] for i in part] for part in (calibration, images)]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(arrays[0])

        def get_next(self) -> dict[str, np.ndarray] | None:
            array = next(self.left, None)
            return None if array is None else {name: array}

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        model, small = Path(folder) / "m.onnx", Path(folder) / "q.onnx"
        plain.replace(outputs=outputs, plans={}, tests=()).save(model)
        quant_pre_process(str(model), str(model), skip_symbolic_shape=True)  # folds normalisations
        quantize_static(
            model, small, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        found = []
        for path in (model, small):
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            found.append(
                [dict(zip(outputs, session.run(outputs, {name: a}), strict=True)) for a in arrays[1]]
            )
    return quality(*found, right)


def row(name: str, how: str, found: Quality, share: float | None = None) -> str:
    """A line of the table."""
    top1 = "" if found.top1_fp32 is None else f"{found.top1_fp32:.2f} → {found.top1_int8:.2f}"
    agreement = "" if found.agreement is None else f"{found.agreement:.1f} %"
    kept = "" if share is None else f"{100 * share:.1f} %"
    return f"| {name} | {how} | {found.samples} | {top1} | {agreement} | {100 * found.error:.2f} % | {kept} |"


def classifiers(photos: Path, stamps: Path, only: Callable[[str], bool]) -> None:
    """SqueezeNet and MobileNetV2: by default, and to a budget; and by onnxruntime."""
    calibration, (images, right) = calibration_photos(photos), judged_images(stamps)
    for name, make in (("SqueezeNet 1.1", lambda: network("squeezenet_v1.1")), ("MobileNetV2", mobilenet_v2)):
        if not only(name):
            continue
        net = make()
        made = quantize_net(net, calibration)
        print(
            row(name, f"ours ({made.method})", beside(net, made.net, images, right), made.float_share),
            flush=True,
        )
        rounded = quantize_net(net, calibration, made.method, adaptive=False)
        print(
            row(name, "ours, adaptive=False", beside(net, rounded.net, images, right), rounded.float_share),
            flush=True,
        )
        how = {"labels": right, "max_drop": 0.5, "calibrate": CALIBRATION}
        try:
            held = quantize_net(net, images, made.method, **how)
            print(
                row(name, "ours, max_drop=0.5 on what is judged", held.quality, held.float_share), flush=True
            )
        except fbnet.QuantizationError as refused:
            print(f"| {name} | ours, max_drop=0.5: refused | {refused} |", flush=True)
        print(row(name, "onnxruntime", onnxruntimes(net, calibration, images, right)), flush=True)


def lenet() -> None:
    """100 of MNIST's training digits to calibrate with, the 10,000 others to judge."""
    folder = fetched("mnist")

    def read(name: str, head: int) -> np.ndarray:
        return np.frombuffer((folder / name).read_bytes(), np.uint8)[head:]

    train = read("train-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28, 1)
    test = read("t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28, 1)
    right = [{int(k)} for k in read("t10k-labels-idx1-ubyte", 8)]
    net = fbnet.load(LENET / "lenet.fbnet")
    made = quantize_net(net, list(train[:100]))
    print(
        row(
            "LeNet-5, MNIST",
            f"ours ({made.method})",
            beside(net, made.net, list(test), right),
            made.float_share,
        )
    )


def scores(photos: Path, stamps: Path) -> None:
    """open_nsfw: how far the two probabilities are from fp32's."""
    images, _ = judged_images(stamps)
    net = network("open_nsfw")
    made = quantize_net(net, calibration_photos(photos))
    given, at = bodies(net, images), body_index(net)
    a, b = (answers(pieces(n)[at], net.outputs, given) for n in (net, made.net))
    error = np.mean([np.abs(x[k] - y[k]).mean() for x, y in zip(a, b, strict=True) for k in x])
    found = beside(net, made.net, images, None)
    print(row(f"open_nsfw (mean score error {error:.5f})", f"ours ({made.method})", found, made.float_share))


def faces(photos: Path) -> None:
    """res10: the faces above .5 in three photos, and how far their boxes are from fp32's."""
    net = network("res10_ssd")
    shown = [
        fetched("photos") / "astronaut.png",
        *(fetched("face_photos") / f"{n}.jpg" for n in ("multiple-faces", "jeep")),
    ]
    made = quantize_net(net, calibration_photos(photos))
    for path in shown:
        a, b = (n(pixels(opened(path))).reshape(-1, 7) for n in (net, made.net))
        a, b = (r[(r[:, 0] >= 0) & (r[:, 2] > 0.5)] for r in (a, b))
        overlaps = [max((overlap(x[3:], y[3:]) for y in b), default=0.0) for x in a]
        print(f"res10, {path.name}: {len(a)} faces in fp32, {len(b)} in int8 ({made.method}), least overlap "
              f"{min(overlaps, default=1):.3f}, fp32 kept {100 * made.float_share:.1f} %", flush=True)  # fmt: skip


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [left, top, right, bottom]."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(sides.prod())
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def text() -> None:
    """PP-OCRv4's recogniser on pieces of scikit-image's page: those that fp32 reads with confidence.

    By default, and to a budget. Calibrated on 40 pieces between them.
    """
    file = fetched("ppocr_v4_rec") / "ch_PP-OCRv4_rec_infer.onnx"
    net = fbnet.convert(file, shapes={"x": ("N", 3, 48, 320)})
    way = {"size": (48, 320), "fit": "letterbox", "at_corner": True, "fill": 127, "order": "BGR"}
    net = fbnet.with_image_input(net, mean=127.5, scale=1 / 127.5, **way)
    page = np.asarray(Image.open(fetched("photos") / "page.png").convert("RGB"))
    exact = fbnet.with_answers(net, ctc=0)
    places = [(top, left) for top in range(0, 167, 2) for left in (0, 68, 136, 204)]
    lines = [page[None, top : top + 24, left : left + 180] for top, left in places]
    read = [(line, exact(line)) for line in lines]
    clear = [(line, y["classes"]) for line, y in read if confidence(y) >= 0.9]
    between = [page[None, top + 1 : top + 25, left + 9 : left + 180] for top, left in places]
    calibration = [between[i] for i in np.linspace(0, len(between) - 1, CALIBRATION).astype(int)]
    for how in ({}, {"max_error": 0.03, "most_float": 0.9}):
        made = quantize_net(net, calibration, **how)
        whole = fbnet.with_answers(made.net, ctc=0)
        same = sum(np.array_equal(classes, whole(line)["classes"]) for line, classes in clear)
        kept = f"fp32 kept {100 * made.float_share:.1f} %, error {100 * made.quality.error:.1f} %"
        print(f"PP-OCRv4 rec {how}: {same} of {len(clear)} read the same ({made.method}), {kept}", flush=True)


def confidence(read: dict[str, np.ndarray]) -> float:
    """The least score of a line's characters; 0 for fewer than eight."""
    there = read["classes"][0] >= 0
    return float(read["scores"][0][there].min()) if there.sum() >= 8 else 0.0


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
        ("PP-OCR", text),
    ):
        if only(name):
            part()


if __name__ == "__main__":
    main()
