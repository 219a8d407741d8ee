"""Real networks from ONNX files on the cpu, held to onnxruntime, at several sizes and batches; and what they see."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import fbnet
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

# entry of the zoo: (file, shapes= where the file leaves open what the net does not, shapes of its image to try)
NETS: dict[str, tuple[str, dict | None, list[tuple[int, ...]]]] = {
    "ppocr_v4_det": ("ch_PP-OCRv4_det_infer.onnx", None, [(1, 3, 64, 96), (3, 3, 96, 64)]),
    "ppocr_v4_rec": (
        "ch_PP-OCRv4_rec_infer.onnx",
        {"x": ("N", 3, 48, "W")},
        [(1, 3, 48, 320), (3, 3, 48, 100)],
    ),
    "ppocr_v2_cls": ("ch_ppocr_mobile_v2.0_cls_infer.onnx", None, [(1, 3, 48, 192), (3, 3, 48, 192)]),
    "centerface": ("centerface.onnx", None, [(1, 3, 64, 96), (3, 3, 128, 128)]),
    "yolov8n_nudenet": ("320n.onnx", {"images": ("N", 3, 320, 320)}, [(1, 3, 320, 320), (2, 3, 320, 320)]),
    "mtcnn_pnet_onnx": ("pnet.onnx", None, [(1, 12, 12, 3), (3, 61, 84, 3)]),
    "mtcnn_rnet_onnx": ("rnet.onnx", None, [(1, 24, 24, 3), (5, 24, 24, 3)]),
    "mtcnn_onet_onnx": ("onet.onnx", None, [(1, 48, 48, 3), (3, 48, 48, 3)]),
}


def onnxruntime_of(path: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function of an image; sizes that the file fixes without need, like CenterFace's, are opened first."""
    model = onnx.load(str(path))
    if path.name == "centerface.onnx":
        for value in (model.graph.input[0], *model.graph.output):
            for i, size in enumerate(value.type.tensor_type.shape.dim):
                size.dim_param = f"{value.name}{i}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})


@pytest.fixture(scope="module")
def converted(zoo) -> Callable[[str], tuple[fbnet.Net, Path]]:
    made: dict[str, tuple[fbnet.Net, Path]] = {}

    def of(name: str) -> tuple[fbnet.Net, Path]:
        if name not in made:
            file, shapes, _ = NETS[name]
            path = zoo(name) / file
            made[name] = fbnet.convert(path, **({"shapes": shapes} if shapes else {})), path
        return made[name]

    return of


def outputs(net: fbnet.Net, x: np.ndarray) -> Mapping[str, np.ndarray]:
    found = net(x)
    return found if isinstance(found, dict) else {net.outputs[0]: found}


@pytest.mark.parametrize("name", NETS)
def test_onnxruntimes_numbers(name, converted):
    net, path = converted(name)
    judge = onnxruntime_of(path)
    for shape in NETS[name][2]:
        x = np.random.default_rng(6).normal(size=shape).astype(np.float32)
        for found, wanted in zip(outputs(net, x).values(), judge(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_what_was_meant_is_recovered(converted, types):
    kinds = {name: types(converted(name)[0]) for name in ("ppocr_v4_det", "ppocr_v4_rec", "yolov8n_nudenet")}
    counts = {
        name: [k.count(kind) for kind in ("HardSwish", "Swish", "LayerNorm")] for name, k in kinds.items()
    }
    assert counts == {"ppocr_v4_det": [24, 0, 0], "ppocr_v4_rec": [28, 7, 5], "yolov8n_nudenet": [0, 57, 0]}
    assert "Clip" not in kinds["ppocr_v4_det"] and not {"Reduction", "Clip"} & set(kinds["ppocr_v4_rec"])


def photo(folder: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """A photo as (1,3,H,W), RGB, 0..255."""
    image = Image.open(folder / name).convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None]


def test_centerface_finds_the_astronaut(converted, zoo):
    """One face: one peak of the heat map, where her face is."""
    net, _ = converted("centerface")
    heat = outputs(net, photo(zoo("photos"), "astronaut.png", (512, 512)))["537"][0, 0]
    peaks = [
        (i, j) for i, j in np.argwhere(heat > 0.5)
        if heat[i, j] == heat[max(0, i - 8) : i + 9, max(0, j - 8) : j + 9].max()
    ]  # fmt: skip
    assert len(peaks) == 1 and np.hypot(peaks[0][0] * 4 - 120, peaks[0][1] * 4 - 222) < 40


def test_yolov8_finds_the_astronaut(converted, zoo):
    net, _ = converted("yolov8n_nudenet")
    boxes = outputs(net, photo(zoo("photos"), "astronaut.png", (320, 320)) / 255)["output0"][0]
    scores = boxes[4:].max(1)
    best = boxes[:, boxes[4 + scores.argmax()].argmax()]
    assert abs(scores.max() - 0.81) < 0.03 and scores.argmax() == 1  # FACE_FEMALE
    assert np.hypot(best[0] - 222 / 1.6, best[1] - 120 / 1.6) < 25


def islands(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of every connected part of a mask."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    while left:
        todo = [left.pop()]
        box = [*todo[0], *todo[0]]
        while todo:
            i, j = todo.pop()
            box = [min(box[0], i), min(box[1], j), max(box[2], i), max(box[3], j)]
            near = {(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)} & left
            left -= near
            todo += near
        found.append(tuple(map(int, box)))
    return sorted(found)


PAGE = [
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background.These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    "markers =np.zeros_ like(coins)",
]


def test_ppocr_reads_the_page(converted, zoo):
    """Where the text is, then all of its lines in one batch, read greedily."""
    (detector, _), (reader, path) = converted("ppocr_v4_det"), converted("ppocr_v4_rec")
    page = Image.open(zoo("photos") / "page.png").convert("RGB").resize((768, 384), Image.Resampling.BILINEAR)
    normal = lambda image: ((np.asarray(image, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)  # noqa: E731
    (heat,) = outputs(detector, normal(page)[None]).values()
    lines = []
    for top, left, bottom, right in islands(heat[0, 0] > 0.3):
        grown = int(0.6 * (bottom - top)) + 2  # the map shows a line's core
        if bottom - top >= 4 and right - left >= 10:
            box = (left - grown, top - grown, right + grown, bottom + grown)
            line = page.crop((max(0, box[0]), max(0, box[1]), min(768, box[2]), min(384, box[3])))
            lines.append(line.resize((round(48 * line.width / line.height), 48), Image.Resampling.BILINEAR))
    batch = np.zeros((len(lines), 3, 48, max(line.width for line in lines)), np.float32)
    for n, line in enumerate(lines):
        batch[n, :, :, : line.width] = normal(line)
    (scores,) = outputs(reader, batch).values()
    metadata = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    letters = ["", *metadata["character"].splitlines(), " "]
    read = [
        "".join(letters[k] for k, before in zip(best, [0, *best[:-1]], strict=True) if k != before)
        for best in scores.argmax(2).tolist()
    ]
    # a Chinese comma is as good as ours
    assert [unicodedata.normalize("NFKC", text).strip() for text in read] == PAGE
