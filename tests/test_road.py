"""The whole road on real networks and real photos: converted, saved, loaded, compiled, run; judged by other engines."""

from __future__ import annotations

import re
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.tools.image import opened
from fbnet.tools.vectors import checked
from fbnet.tools.zoo import network

PHOTOS = 20


@pytest.fixture(scope="module")
def photos(zoo) -> list[tuple[int, Path]]:
    """(ImageNet class, file) of the 20 photos; the class is in the name's order of classes."""
    files = sorted(zoo("imagenet_photos").glob("imagenet_*.jpg"))
    return [(int(re.search(r"_(\d+)\.jpg$", f.name)[1]), f) for f in files]


def prepared(cv2, photo: Path, size: int) -> np.ndarray:
    """BGR minus the mean, stretched to size × size: what SqueezeNet and open_nsfw were trained on."""
    pixels = cv2.resize(cv2.imread(str(photo)).astype(np.float32), (size, size))
    return (pixels - np.float32([104, 117, 123])).transpose(2, 0, 1)[None]


def test_squeezenet_is_opencvs_on_every_device(zoo, photos, tmp_path):
    cv2 = pytest.importorskip("cv2")
    paths = [next(zoo("squeezenet_v1.1").glob(f"*.{s}")) for s in ("prototxt", "caffemodel")]
    converted = fbnet.convert(*paths)
    converted.save(tmp_path / "squeezenet.fbnet")
    net = fbnet.load(tmp_path / "squeezenet.fbnet")
    judge = cv2.dnn.readNetFromCaffe(*map(str, paths))
    plans = [net.compile(threads=1), net.compile(threads=2)]
    first = best_five = 0
    for number, photo in photos:
        x = prepared(cv2, photo, 227)
        judge.setInput(x)
        wanted = judge.forward()
        found = [net.forward(data=x)["prob"]]
        for plan in plans:
            with plan.session() as session:
                found.append(session.run({"data": x})["prob"])
        for y in found:
            np.testing.assert_allclose(y, wanted, rtol=0, atol=5e-5)
        np.testing.assert_array_equal(converted(x), net(x))
        order = np.argsort(-found[1].ravel())
        first += order[0] == number
        best_five += number in order[:5]
    assert len(photos) == PHOTOS and (first, best_five) == (16, 19)


def test_open_nsfw_is_one_net_whichever_way_it_came_in(zoo, photos):
    cv2 = pytest.importorskip("cv2")
    caffe = fbnet.convert(*(next(zoo("open_nsfw").glob(f"*.{s}")) for s in ("prototxt", "caffemodel")))
    onnx = fbnet.convert(next(zoo("open_nsfw_onnx").glob("*.onnx")))
    for _, photo in photos[:4]:
        x = prepared(cv2, photo, 224)
        scores = [caffe(x), caffe.forward(data=x)[caffe.outputs[0]], onnx(x.transpose(0, 2, 3, 1))]
        for other in scores[1:]:
            np.testing.assert_allclose(scores[0].ravel(), other.ravel(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["mtcnn_det1", "mtcnn_det2", "mtcnn_det3"])
def test_mtcnn_on_the_cpu(zoo, photos, name):
    cv2 = pytest.importorskip("cv2")
    # the three lie in one folder
    paths = [zoo(name) / f"{name.removeprefix('mtcnn_')}.{s}" for s in ("prototxt", "caffemodel")]
    net, judge = fbnet.convert(*paths), cv2.dnn.readNetFromCaffe(*map(str, paths))
    sizes = {
        "mtcnn_det1": [(12, 12), (37, 50), (120, 97)],
        "mtcnn_det2": [(24, 24)],
        "mtcnn_det3": [(48, 48)],
    }
    for h, w in sizes[name]:
        pixels = cv2.resize(cv2.imread(str(photos[0][1])).astype(np.float32), (w, h))
        x = ((pixels - 127.5) * 0.0078125).transpose(2, 0, 1)[None]
        judge.setInput(x)
        outputs = judge.getUnconnectedOutLayersNames()
        found = net(x)
        for output, wanted in zip(outputs, judge.forward(outputs), strict=True):
            np.testing.assert_allclose(found[output], wanted, rtol=0, atol=2e-5)


def test_a_photo_goes_in_as_it_is(zoo, photos):
    """The zoo's SqueezeNet prepares photos by its own first layers, and loses nothing by it."""
    net = network("squeezenet_v1.1")
    assert str(net.inputs["image"]) == "uint8[N,H,W,3]"
    first = best_five = 0
    for number, photo in photos:
        order = np.argsort(-net(np.asarray(opened(photo).convert("RGB"))).ravel())
        first += order[0] == number
        best_five += number in order[:5]
    assert (first, best_five) == (16, 19)
    best = fbnet.with_answers(net, top=1)
    for name, wanted, score in (("chelsea", "Egyptian cat", 0.447), ("coffee", "espresso", 0.980)):
        found = best(np.asarray(opened(zoo("photos") / f"{name}.png").convert("RGB")))
        assert net.metadata["labels"][found["classes"].item()] == wanted
        assert found["scores"].item() == pytest.approx(score, abs=6e-4)


def test_the_zoos_files_pass_their_own_test_vectors(zoo, tmp_path):
    for name, judge in (
        ("squeezenet_v1.1", "opencv"),
        ("open_nsfw_onnx", "onnxruntime"),
        ("mtcnn_det1", "opencv"),
        ("res10_ssd", "opencv"),
        ("squeezenet_v1.1_ncnn", "ncnn"),
    ):
        zoo(name)
        fbnet.save(network(name, test=True), tmp_path / "m.fbnet")
        net = fbnet.load(tmp_path / "m.fbnet")
        assert net.metadata["judges"][0].startswith(judge)
        for device in ("cpu", "reference"):
            assert all(row["holds"] and row["error"] < 1e-4 for row in checked(net, 0, device))


def test_a_photo_in_boxes_out(zoo):
    """YOLOv8 and an SSD: the one face in scikit-image's astronaut, in pixels of the photo, by their own layers."""
    astronaut = np.asarray(opened(zoo("photos") / "astronaut.png").convert("RGB"))
    yolo = fbnet.convert(zoo("yolov8n_nudenet") / "320n.onnx", shapes={"images": (1, 3, 320, 320)})
    yolo = fbnet.with_image_input(yolo, fit="letterbox", scale=1 / 255)
    folder = zoo("res10_ssd")
    ssd = fbnet.convert(*(folder / f"res10_ssd.{s}" for s in ("prototxt", "caffemodel")))
    ssd = fbnet.with_image_input(ssd, mean=[104, 177, 123], order="BGR")
    (rows,) = fbnet.with_answers(yolo, boxes="yolov8")(astronaut)
    (faces,) = fbnet.with_answers(ssd, boxes="rows")(astronaut)[0]
    found = [rows[rows[:, 1] > 0], faces[faces[:, 2] > 0.5][:, 1:]]
    assert [len(boxes) for boxes in found] == [1, 1]
    assert found[0][0, 1] == pytest.approx(0.81, abs=0.01) and found[1][0, 1] > 0.99
    (a_left, a_top, a_right, a_bottom), (left, top, right, bottom) = found[0][0, 2:], found[1][0, 2:]
    shared = (min(a_right, right) - max(a_left, left)) * (min(a_bottom, bottom) - max(a_top, top))
    both = (a_right - a_left) * (a_bottom - a_top) + (right - left) * (bottom - top) - shared
    assert shared / both > 0.6


def test_a_line_of_text_is_read(zoo):
    """PP-OCRv4's recogniser on lines of scikit-image's page: pixels in, characters out, by the net's own layers."""
    onnx = pytest.importorskip("onnx")
    path = zoo("ppocr_v4_rec") / "ch_PP-OCRv4_rec_infer.onnx"
    known = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    characters = ["", *known["character"].split("\n"), " "]
    net = fbnet.convert(path, shapes={"x": ("N", 3, 48, 320)})
    way = {"size": (48, 320), "fit": "letterbox", "at_corner": True, "fill": 127, "order": "BGR"}
    net = fbnet.with_answers(fbnet.with_image_input(net, mean=127.5, scale=1 / 127.5, **way), ctc=0)
    page = np.asarray(opened(zoo("photos") / "page.png").convert("RGB"))
    for top, wanted in (
        (76, "unambiguously as either"),
        (98, "the markers are found at"),
        (120, "histogram of grey"),
    ):
        found = net(page[top : top + 24, :180])
        read = found["classes"][0]
        assert "".join(characters[i] for i in read[read >= 0]).startswith(wanted)
        assert found["scores"][0, : len(wanted)].min() > 0.5
