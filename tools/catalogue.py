"""What is in the zoo: networks and data known to run, under the names that `fbnet zoo` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..engine.errors import InputError, did_you_mean
from . import packages
from .packages import Package


@dataclass(frozen=True)
class Entry:
    """A network, or a set of data.

    files    which of the package's files belong to it
    about    what it is, and what is known to be right
    input    what it reads, in words
    model    those of `files` that a conversion takes, in order; () for data and for formats not readable yet
    labels   the file with one class name a line, or the names
    image    how a photo is prepared, as in a net's metadata
    answers  what is put behind the net, as with_answers takes it
    options  the importer's
    """

    name: str
    kind: str
    package: Package
    files: tuple[str, ...]
    about: str
    licence: str
    input: str = ""
    model: tuple[str, ...] = ()
    labels: str | tuple[str, ...] = ()
    image: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What its files weigh, unpacked."""
        return sum(self.package.files[name].bytes for name in self.files)


def entry(name: str) -> Entry:
    """The entry called `name`. Raises InputError, with the closest name."""
    for found in ENTRIES:
        if found.name == name:
            return found
    raise InputError(
        f"the zoo has no {name!r}.{did_you_mean(name, [e.name for e in ENTRIES])} `fbnet zoo list` shows all"
    )


def _network(name: str, package: Package, files: str, about: str, licence: str, **more: Any) -> Entry:
    return Entry(name, "network", package, tuple(files.split()), about, licence, **more)


def _data(name: str, package: Package, about: str, licence: str, **more: Any) -> Entry:
    files = more.pop("files", " ".join(package.files))
    return Entry(name, "data", package, tuple(files.split()), about, licence, **more)


def _image(size: int, mean: list[float], **more: Any) -> dict[str, Any]:
    base = {"size": [size, size], "fit": "stretch", "filter": "bilinear"}
    return base | {"mean": mean, "scale": 1.0, "order": "BGR"} | more


# The three colour means of ImageNet that Caffe's users subtract, rounded as these nets' authors did.
BGR_MEAN = [104.0, 117.0, 123.0]

# 16 of the 20 `imagenet_photos` come out right (19 among the first five) when a photo is stretched to 227 x 227,
# point-sampled bilinear: a smoothed (antialiased) resize costs five of them.
SQUEEZENET_IMAGE = _image(227, BGR_MEAN)

# The authors squeeze a photo to 256 x 256 and crop its middle.
NSFW_IMAGE = _image(224, BGR_MEAN, shorter=256, fit="crop")


def _mtcnn_image(size: int) -> dict[str, Any]:
    return _image(size, [127.5, 127.5, 127.5], scale=0.0078125, order="RGB")


def _mediapipe_image(h: int, w: int, signed: bool) -> dict[str, Any]:
    """MediaPipe's nets read 0..1, but for BlazeFace, which reads -1..1."""
    mean, scale = ([127.5] * 3, 1 / 127.5) if signed else ([0.0] * 3, 1 / 255)
    return _image(h, mean, scale=scale, order="RGB", filter="antialias") | {"size": [h, w]}


# name, height, width, what it is; BlazeFace is called so, the others as their files
MEDIAPIPE = (
    ("blazeface", 128, 128, "BlazeFace, a face detector for near faces: astronaut .92, a cat .35"),
    ("face_detection_full_range_sparse", 192, 192, "a face detector for far faces, most of its weights 0"),
    ("face_landmark", 192, 192, "468 points of a face"),
    ("face_landmark_with_attention", 192, 192, "468 points of a face, finer ones of lips, eyes and irises"),
    ("hand_landmark_full", 224, 224, "21 points of a hand, and which hand it is"),
    ("hand_landmark_lite", 224, 224, "the same, smaller"),
    ("hand_recrop", 256, 256, "where a hand is in a photo of about it"),
    ("iris_landmark", 64, 64, "points of an eye and its iris"),
    ("palm_detection_full", 192, 192, "a palm detector"),
    ("palm_detection_lite", 192, 192, "the same, smaller"),
    ("pose_detection", 224, 224, "a detector of people"),
    ("pose_landmark_full", 256, 256, "33 points of a body, and its mask"),
    ("selfie_segmentation", 256, 256, "the mask of a person"),
    ("selfie_segmentation_landscape", 144, 256, "the same, for wide images"),
)  # fmt: skip


ENTRIES = (
    _network(
        "squeezenet_v1.1", packages.SQUEEZENET,
        "squeezenet_v1.1.prototxt squeezenet_v1.1.caffemodel synset_words.txt",
        "ImageNet classifier, Caffe; 16/20 top-1 and 19/20 top-5 on imagenet_photos", "MIT",
        input="227x227 BGR", model=("squeezenet_v1.1.prototxt", "squeezenet_v1.1.caffemodel"),
        labels="synset_words.txt", image=SQUEEZENET_IMAGE,
    ),
    _network(
        "squeezenet_v1.1_ncnn", packages.SQUEEZENET,
        "squeezenet_v1.1.param squeezenet_v1.1.bin synset_words.txt",
        "the same weights, ncnn", "BSD-3-Clause",
        input="227x227 BGR", model=("squeezenet_v1.1.param", "squeezenet_v1.1.bin"),
        labels="synset_words.txt", image=SQUEEZENET_IMAGE,
    ),
    _network(
        "open_nsfw", packages.NSFW, "open_nsfw.prototxt open_nsfw.caffemodel",
        "ResNet-50 of half width, safe or not safe for work, Caffe", "MIT; weights BSD-2-Clause",
        input="224x224 BGR", model=("open_nsfw.prototxt", "open_nsfw.caffemodel"),
        labels=("safe", "not safe for work"), image=NSFW_IMAGE,
    ),
    _network(
        "open_nsfw_onnx", packages.NSFW_ONNX, "open_nsfw.onnx",
        "the same weights, ONNX; equals the Caffe one to 1e-6", "MIT; weights BSD-2-Clause",
        input="224x224 BGR, NHWC", model=("open_nsfw.onnx",),
        labels=("safe", "not safe for work"), image=NSFW_IMAGE,
    ),
    *(
        _network(
            f"mtcnn_det{i}", packages.MTCNN, f"det{i}.prototxt det{i}.caffemodel",
            f"MTCNN face detector, stage {i} of 3, Caffe", "BSD-3-Clause",
            input=f"{'any size' if i == 1 else f'{size}x{size}'} RGB",
            model=(f"det{i}.prototxt", f"det{i}.caffemodel"), image=_mtcnn_image(size),
        )
        for i, size in ((1, 12), (2, 24), (3, 48))
    ),
    *(
        _network(
            f"mtcnn_{letter}net_onnx", packages.MTCNN_ONNX, f"{letter}net.onnx",
            f"MTCNN face detector, stage {i} of 3, ONNX", "MIT",
            input=f"{'any size' if i == 1 else f'{size}x{size}'} RGB",
            model=(f"{letter}net.onnx",), image=_mtcnn_image(size),
        )
        for i, letter, size in ((1, "p", 12), (2, "r", 24), (3, "o", 48))
    ),
    _network(
        "res10_ssd", packages.RES10, "res10_ssd.prototxt res10_ssd.caffemodel",
        "SSD face detector, Caffe; astronaut 1 face, multiple-faces 18, jeep 0", "BSD-3-Clause",
        input="300x300 BGR", model=("res10_ssd.prototxt", "res10_ssd.caffemodel"),
        image=_image(300, [104.0, 177.0, 123.0]), answers={"boxes": "rows"},
    ),
    _network(
        "mobilenet_v2", packages.MOBILENET, "mobilenet_v2-b0353104.pth",
        "ImageNet classifier, torchvision's state dict; 18/20 top-1, 20/20 top-5", "MIT",
        input="224x224 RGB", image=_image(
            224, [123.675, 116.28, 103.53], scale=[1 / 58.395, 1 / 57.12, 1 / 57.375],
            order="RGB", shorter=256, fit="crop", filter="antialias",
        ),
    ),
    _network("ppocr_v4_det", packages.PPOCR, "ch_PP-OCRv4_det_infer.onnx", "finds text, ONNX", "Apache-2.0",
             input="any size", model=("ch_PP-OCRv4_det_infer.onnx",)),
    _network("ppocr_v4_rec", packages.PPOCR, "ch_PP-OCRv4_rec_infer.onnx", "reads a line, ONNX", "Apache-2.0",
             input="48 high", model=("ch_PP-OCRv4_rec_infer.onnx",), options={"shapes": {"x": ("N", 3, 48, "W")}}),
    _network("ppocr_v2_cls", packages.PPOCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx",
             "tells whether a line is upside down, ONNX", "Apache-2.0",
             input="48x192", model=("ch_ppocr_mobile_v2.0_cls_infer.onnx",)),
    _network("centerface", packages.CENTERFACE, "centerface.onnx",
             "face detector, ONNX; astronaut 1, multiple-faces 18", "MIT",
             input="any multiple of 32", model=("centerface.onnx",),
             image={"size": [32, 32], "fit": "multiple"}),
    _network("yolov8n_nudenet", packages.NUDENET, "320n.onnx",
             "YOLOv8n detector with shape arithmetic, ONNX; for tests only", "AGPL-3.0",
             input="320x320", model=("320n.onnx",), options={"shapes": {"images": (1, 3, 320, 320)}},
             image={"size": [320, 320], "fit": "letterbox", "scale": 1 / 255}, answers={"boxes": "yolov8"}),
    _network("waifu2x_upconv7", packages.WAIFU2X, "scale2.0x_model.param scale2.0x_model.bin",
             "doubles a photo, ncnn; chelsea 33.33 dB", "BSD-3-Clause", input="any size",
             model=("scale2.0x_model.param", "scale2.0x_model.bin")),
    _network("span_x2", packages.SPAN, "spanx2_ch48.param spanx2_ch48.bin",
             "doubles a photo, ncnn; chelsea 33.49 dB", "BSD-3-Clause", input="any size",
             model=("spanx2_ch48.param", "spanx2_ch48.bin")),
    _network("mediapipe", packages.MEDIAPIPE, " ".join(packages.MEDIAPIPE.files),
             "the fourteen files of the nets below, TFLite", "Apache-2.0", input="128x128 ..."),
    *(
        _network(
            name, packages.MEDIAPIPE, f"{name if name != 'blazeface' else 'face_detection_short_range'}.tflite",
            f"{about}, TFLite", "Apache-2.0", input=f"{w}x{h} RGB, NHWC",
            model=(f"{name if name != 'blazeface' else 'face_detection_short_range'}.tflite",),
            image=_mediapipe_image(h, w, signed=name == "blazeface"),
        )
        for name, h, w, about in MEDIAPIPE
    ),
    _network("lenet5_torch", packages.ADVERTORCH, "mnist_lenet5_clntrained.pt mnist_lenet5_advtrained.pt",
             "MNIST digits, torch state dicts; 98.90 % and 98.64 % of the 10,000", "LGPL-3.0", input="28x28 grey"),
    _network("yolov3_tiny", packages.YOLOV3_TINY, "yolov3-tiny.cfg yolov3-tiny.weights coco.names",
             "80 kinds of objects, Darknet; imagenet_photos: a bird .94", "MIT", input="416x416 RGB",
             labels="coco.names", model=("yolov3-tiny.cfg", "yolov3-tiny.weights"),
             image=_image(416, [0.0] * 3, scale=1 / 255, order="RGB")),
    _data("mnist", packages.MNIST, "60,000 + 10,000 digits, 28x28, idx files", "ISC"),
    _data("imagenet_photos", packages.FOOLBOX, "20 ImageNet photos, the class index in each name", "MIT"),
    _data("photos", packages.SKIMAGE, "scikit-image's astronaut, chelsea, coffee, ...", "BSD-3-Clause"),
    _data("face_photos", packages.MTCNN, "18 faces, and a jeep with none", "BSD-3-Clause",
          files="multiple-faces.jpg jeep.jpg"),
)  # fmt: skip
