"""SSD's and Faster R-CNN's layers from prototxts; and the zoo's face detector, box by box as OpenCV finds them."""

from __future__ import annotations

import warnings

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from fbnet.engine.lower import HostFallback

IMAGE = 'input: "data" input_shape { dim: 1 dim: 3 dim: 40 dim: 48 } '
ROIS = IMAGE + 'input: "rois" input_shape { dim: 4 dim: 5 } '
RPN = (
    'input: "data" input_shape { dim: 1 dim: 18 dim: 4 dim: 5 }'
    ' input: "deltas" input_shape { dim: 1 dim: 36 dim: 4 dim: 5 }'
    ' input: "im_info" input_shape { dim: 1 dim: 3 } '
)


def layer(type: str, bottoms: str, params: str, tops: str = "y", name: str = "one") -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{type}" {bottom} {top} {params} }} '


def changed(layer) -> dict:
    return {k: v for k, v in layer.attributes.items() if v != layer.declared[k].default}


TABLE = [
    (
        IMAGE + layer("PriorBox", "data data", "prior_box_param { min_size: 6 aspect_ratio: 2 aspect_ratio: 1 }"),
        {"min_size": (6.0,), "aspect_ratio": (2.0, 0.5)},
    ),
    (
        IMAGE + layer(
            "PriorBox", "data data",
            "prior_box_param { min_size: 6 min_size: 8 max_size: 7 max_size: 9 aspect_ratio: 2 aspect_ratio: 2"
            " flip: false clip: true variance: [0.1, 0.1, 0.2, 0.3] img_h: 30 img_w: 20 step: 8 offset: 0 }",
        ),
        {
            "min_size": (6.0, 8.0), "max_size": (7.0, 9.0), "aspect_ratio": (2.0,), "clip": True,
            "variance": (0.1, 0.1, 0.2, 0.3), "image_size": (30, 20), "step": (8.0, 8.0), "offset": 0.0,
        },
    ),
    (ROIS + layer("ROIPooling", "data rois", "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 }"),
     {"pooled": (2, 3), "spatial_scale": 0.0625}),
    (ROIS + layer("PSROIPooling", "data rois", "psroi_pooling_param { output_dim: 3 group_size: 1 spatial_scale: 1 }"),
     {"pooled": (1, 1)}),
    (
        RPN + layer("Proposal", "data deltas im_info",
                    "proposal_param { ratio: 0.5 ratio: 1 ratio: 2 scale: 8 scale: 16 scale: 32 post_nms_topn: 9 }"),
        {"post_nms": 9},
    ),
    (
        RPN + layer("Python", "data deltas im_info", "python_param { module: 'rpn.proposal_layer'"
                    " layer: 'ProposalLayer' param_str: \"'feat_stride': 8\" }"),
        {"stride": 8},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "attributes"), TABLE)
def test_table(read, text, attributes):
    net = read(text)
    (layer,) = net.layers
    assert changed(layer) == attributes
    assert net.outputs == ("y",)


def test_detection_output_param(read):
    text = (
        'input: "loc" input_shape { dim: 2 dim: 40 } input: "conf" input_shape { dim: 2 dim: 30 }'
        ' input: "prior" input_shape { dim: 1 dim: 2 dim: 40 } '
    )
    plain = read(
        text + layer("DetectionOutput", "loc conf prior", "detection_output_param { num_classes: 3 }")
    )
    assert changed(plain["one"]) == {"num_classes": 3}
    full = read(
        text
        + layer(
            "DetectionOutput", "loc conf prior",
            "detection_output_param { num_classes: 3 background_label_id: 1 nms_param { nms_threshold: 0.5 top_k: 7"
            " eta: 0.9 } code_type: CENTER_SIZE keep_top_k: 5 confidence_threshold: 0.01 }",
        )
    )  # fmt: skip
    assert changed(full["one"]) == {
        "num_classes": 3, "background": 1, "nms_threshold": 0.5, "top_k": 7, "eta": 0.9, "code": "center_size",
        "keep_top_k": 5, "confidence_threshold": 0.01,
    }  # fmt: skip
    assert full.specs()["y"].shape == (2, 1, 5, 7)


REFUSED = [
    (IMAGE + layer("PriorBox", "data", "prior_box_param { min_size: 3 }"), "takes features, image"),
    (IMAGE + layer("PriorBox", "data data", ""), "needs a min_size"),
    (IMAGE + layer("Python", "data", 'python_param { module: "m" layer: "Mine" }'), "Python code m.Mine"),
    (
        ROIS + layer("PSROIPooling", "data rois", "psroi_pooling_param { output_dim: 3 group_size: 2 }"),
        "but C is 3",
    ),
    (ROIS + layer("ROIPooling", "data rois", ""), "pooled is"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_they_refuse(read, text, said):
    with pytest.raises(ConversionError) as error:
        read(text)
    (problem,) = error.value.problems
    assert problem.startswith("one (") and said in problem


FACES = {"astronaut": 1, "multiple-faces": 18, "jeep": 0}  # found at 0.5


@pytest.fixture(scope="module")
def face_detector(zoo):
    folder = zoo("res10_ssd")
    paths = [folder / "res10_ssd.prototxt", folder / "res10_ssd.caffemodel"]
    return fbnet.convert(*paths), paths


def test_it_takes_any_number_of_images_of_any_size(face_detector):
    net, _ = face_detector
    assert (
        str(net.inputs["data"]) == "fp32[N,3,H,W]" and str(net.specs()[net.outputs[0]]) == "fp32[N,1,200,7]"
    )


@pytest.mark.parametrize("name", FACES)
def test_faces_are_opencvs(zoo, face_detector, name):
    """No layer runs by its reference; and the reference finds the same."""
    cv2 = pytest.importorskip("cv2")
    net, paths = face_detector
    photo = next((zoo("photos") if name == "astronaut" else zoo("face_photos")).glob(f"{name}.*"))
    x = cv2.dnn.blobFromImage(
        cv2.resize(cv2.imread(str(photo)), (300, 300)), 1.0, (300, 300), (104, 177, 123)
    )
    judge = cv2.dnn.readNetFromCaffe(*map(str, paths))
    judge.setInput(x)
    wanted = judge.forward()
    wanted = wanted[wanted[..., 2] > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", HostFallback)
        computed = net(x)
    for y in (computed, net.forward(data=x)[net.outputs[0]]):
        found = y[y[..., 0] >= 0]
        assert (found[:, 2] > 0.5).sum() == FACES[name]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_batch_of_photos(zoo, face_detector):
    cv2 = pytest.importorskip("cv2")
    net, _ = face_detector
    photos = [
        cv2.imread(str(zoo("face_photos") / f"{name}.jpg"))
        for name in ("multiple-faces", "jeep", "multiple-faces")
    ]
    x = cv2.dnn.blobFromImages([cv2.resize(p, (300, 300)) for p in photos], 1.0, (300, 300), (104, 177, 123))
    y = net(x)
    assert [int((image[..., 2] > 0.5).sum()) for image in y] == [18, 0, 18]
    assert set(y[2, ..., 0].ravel()) == {2, -1}
