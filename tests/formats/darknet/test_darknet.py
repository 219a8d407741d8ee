"""Darknet's files against OpenCV's reader of them: every kind of section, YOLOv3-tiny, and what is refused."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError, FbnetError, FileError, InputError
from fbnet.formats.darknet.cfg import parse

HEAD = "[net]\nchannels=3\nheight=12\nwidth=16\n"
# 4 vectors of 8, and 8 filters of 3 x 3 x 3
CONV = "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\nbatch_normalize=1\n"


@pytest.fixture
def files(tmp_path: Path):
    """files(cfg, numbers, header) -> the paths of a .cfg and a .weights with so many seeded numbers"""

    def write(text: str, numbers: int, header: bytes = struct.pack("<3iq", 0, 2, 0, 0)) -> tuple[Path, Path]:
        cfg, weights = tmp_path / "a.cfg", tmp_path / "a.weights"
        cfg.write_text(HEAD + text)
        values = np.random.default_rng(numbers).uniform(0.05, 0.5, numbers).astype("<f4")
        weights.write_bytes(header + values.tobytes())
        return cfg, weights

    return write


def judged(cfg: Path, weights: Path, x: np.ndarray) -> list[np.ndarray]:
    """What OpenCV computes."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip("this OpenCV reads no Darknet")
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(x)
    return list(net.forward(net.getUnconnectedOutLayersNames()))


SECTIONS = {  # text, how many numbers it has
    "normalised": (CONV, 4 * 8 + 8 * 27),
    "with a bias": ("[convolutional]\nfilters=5\nsize=2\nstride=2\nactivation=linear\n", 5 + 5 * 12),
    "activations": (
        "".join(
            f"[convolutional]\nfilters=3\nsize=1\nactivation={a}\n"
            for a in ("relu", "logistic", "tanh", "mish", "swish", "leaky")
        ),
        6 * 12,
    ),
    "depthwise": ("[convolutional]\nfilters=3\nsize=3\npad=1\ngroups=3\nactivation=linear\n", 3 + 27),
    "pooling": ("[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=1\n[maxpool]\nsize=5\nstride=1\n", 0),
    "route and upsample": (
        CONV + "[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n"
        "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n",
        4 * 8 + 8 * 27,
    ),
    "shortcut": (
        CONV + CONV + "[shortcut]\nfrom=-2\nactivation=linear\n",
        2 * 4 * 8 + 8 * 27 + 8 * 72,
    ),
    "whole image": ("[avgpool]\n[softmax]\n", 0),
}  # fmt: skip


@pytest.mark.parametrize("case", SECTIONS)
def test_sections(files, case):
    cfg, weights = files(*SECTIONS[case])
    net = fbnet.convert(cfg, weights)
    x = np.random.default_rng(1).random((1, 3, 12, 16)).astype(np.float32)
    got, (wanted,) = net.forward(data=x)[net.outputs[-1]], judged(cfg, weights, x)
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    assert [str(s) for s in net.inputs["data"].shape] == ["N", "3", "H", "W"]


def test_names():
    first, *rest = parse("[net]\n# a comment\nwidth = 3 ; another\n\n[route]\nlayers = -1, 8\n[route]\n")
    assert first.integer("width") == 3 and [s.title for s in rest] == ["route_0", "route_1"]
    assert rest[0].integers("layers") == [-1, 8] and str(rest[0]) == "layer 0 (line 5, route)"


def test_old_headers(files):
    """Before version 0.2 the number of images seen has 4 bytes."""
    cfg, weights = files(*SECTIONS["depthwise"], header=struct.pack("<4i", 0, 1, 0, 5))
    assert len(fbnet.convert(cfg, weights)) == 1


def test_yolov3_tiny(zoo):
    """Rows of boxes; OpenCV leaves out probabilities up to 0.2."""
    cfg, weights = (zoo("yolov3_tiny") / f"yolov3-tiny.{s}" for s in ("cfg", "weights"))
    net = fbnet.convert(cfg, weights)
    assert net.outputs == ("yolo_16", "yolo_23")
    cv2 = pytest.importorskip("cv2")
    photos = [
        cv2.imread(str(zoo("imagenet_photos") / f"imagenet_{n}.jpg")) for n in ("00_243", "06_609", "14_129")
    ]
    x = cv2.dnn.blobFromImages(photos, 1 / 255, (416, 416), swapRB=True)
    whole = net(x)
    best = []
    for i in range(3):
        for name, wanted in zip(net.outputs, judged(cfg, weights, x[i : i + 1]), strict=True):
            for got in (net.forward(data=x[i : i + 1])[name][0], whole[name][i]):
                np.testing.assert_allclose(got[:, :5], wanted[:, :5], rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(np.where(got > 0.2, got, 0)[:, 5:], wanted[:, 5:], atol=1e-4)
        rows = np.concatenate([whole[name][i] for name in net.outputs])[:, 5:]
        best.append((int(rows.max(0).argmax()), round(float(rows.max()), 2)))
    labels = (zoo("yolov3_tiny") / "coco.names").read_text().split("\n")
    assert [(labels[k], score) for k, score in best] == [("dog", 0.53), ("truck", 0.81), ("bird", 0.94)]


def test_another_size(zoo):
    cfg, weights = (zoo("yolov3_tiny") / f"yolov3-tiny.{s}" for s in ("cfg", "weights"))
    net = fbnet.convert(cfg, weights, size=(320, 416))
    assert [str(s) for s in net.inputs["data"].shape] == ["N", "3", "320", "416"]
    assert net.specs()["yolo_16"].shape[1:] == (10 * 13 * 3, 85)


# -- what is refused -------------------------------------------------------------------------------------------


def test_everything_is_listed(files):
    cfg, weights = files(
        "[lstm]\n" + CONV + "[crnn]\n[shortcut]\nfrom=9\n[convolutional]\nactivation=odd\n", 10
    )
    with pytest.raises(ConversionError) as caught:
        fbnet.convert(cfg, weights)
    assert [p.split(":")[0] for p in caught.value.problems] == [
        "layer 0 (line 5, lstm)",
        "layer 2 (line 13, crnn)",
    ]


@pytest.mark.parametrize(
    ("text", "numbers", "problem"),
    [
        (CONV, 100, r"layer 0 \(line 5, convolutional\) wants 216 numbers for its filters, but 68 are left"),
        (CONV, 1000, "752 numbers are left after the last layer"),
        ("[convolutional]\nfilters=many\n", 0, "filters is 'many': numbers wanted"),
        ("[route]\n", 0, "needs the option 'layers'"),
        ("nonsense\n", 0, "cannot read 'nonsense'"),
        ("[route]\nlayers=3\n", 0, "reads layer 3, which is not before it"),
        ("[maxpool]\nstride=0\n", 0, "stride is 0"),
        ("[convolutional]\nfilters=60000\nsize=60000\n", 60000, "would have the shape"),
        ("", 0, "it has no layers"),
    ],
)
def test_one_line_says_what_is_wrong(files, text, numbers, problem):
    with pytest.raises(FbnetError, match=problem) as caught:
        fbnet.convert(*files(text, numbers))
    assert "\n" not in str(caught.value)


def test_both_files(files):
    cfg, weights = files(*SECTIONS["depthwise"])
    for paths in ((cfg,), (weights,), (cfg, cfg), (cfg, weights, weights)):
        with pytest.raises(InputError, match="give both"):
            fbnet.convert(*paths)
    weights.write_bytes(b"PK\x03\x04" * 9)
    with pytest.raises(FileError, match=r"no \.weights file"):
        fbnet.convert(cfg, weights)


def test_mutants(files):
    """Typed errors, in no time."""
    text, numbers = SECTIONS["route and upsample"]
    cfg, weights = files(text + "[yolo]\nmask=0\nanchors=1,2,3,4\nclasses=3\nnum=2\n", numbers)
    whole, random, kinds = cfg.read_bytes(), np.random.default_rng(0), []
    words = [b"-1", b"99999999999999999999", b"[", b"]", b"=", b"\n", b"nan", b"1e30", b"\xff", b"0"]
    for _ in range(1000):
        data = bytearray(whole[: random.integers(1, len(whole) + 1)] if random.random() < 0.2 else whole)
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(0, len(data)))
            data[at : at + random.integers(0, 3)] = words[random.integers(len(words))]
        cfg.write_bytes(data)
        start = time.process_time()
        try:
            fbnet.convert(cfg, weights)
            kinds.append("net")
        except FbnetError as error:
            assert "\n" not in str(error)
            kinds.append(type(error).__name__)
        assert time.process_time() - start < 1
    assert {"FileError", "ConversionError"} <= set(kinds)
