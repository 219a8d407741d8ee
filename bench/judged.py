"""What bench/quantization.py calibrates with and judges on: photos, and cut-outs with their classes."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.quantize.samples import body_samples
from fbnet.tools import catalogue
from fbnet.tools.image import opened, pixels
from fbnet.tools.zoo import fetched
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
    """20 photos and 81 cut-outs with a margin of 12 %, and their ImageNet classes; each four times in a row.

    A photo as it is, mirrored, its middle 85 % and that mirrored; a cut-out on white, on white mirrored, on grey and on
    blue mirrored.
    """
    images: Images = []
    right: list[set[int]] = []
    for path in sorted(fetched("imagenet_photos").glob("*.jpg")):
        whole = pixels(opened(path))
        top, left = (int(0.075 * side) for side in whole.shape[1:3])
        middle = whole[:, top:-top, left:-left]
        images += [whole, whole[:, :, ::-1], middle, middle[:, :, ::-1]]
        right += [{int(path.stem.split("_")[-1])}] * 4
    with open(Path(__file__).with_name("stamps_imagenet.csv")) as file:
        for row in csv.DictReader(file):
            cut = Image.open(stamps / row["path"]).convert("RGBA")
            side = int(max(cut.size) * 1.24)
            for number, colour in enumerate(("white", "white", (128, 128, 128), (150, 190, 230))):
                whole = Image.new("RGBA", (side, side), colour)
                whole.alpha_composite(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
                image = np.asarray(whole.convert("RGB"))[None]
                images.append(image[:, :, ::-1] if number % 2 else image)
            right += [{int(i) for i in row["imagenet_ids"].split()}] * 4
    return [np.ascontiguousarray(image) for image in images], right


def halves(count: int, together: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """(what a budget sees, what judges), both ways: every other one, `together` of which stay together."""
    even = np.arange(count) // together % 2 == 0
    return [(np.flatnonzero(a), np.flatnonzero(~a)) for a in (even, ~even)]


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
