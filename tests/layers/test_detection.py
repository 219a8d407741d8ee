"""Boxes against OpenCV's reader of Caffe and onnxruntime; and what neither of them has, by hand."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.boxes import PriorBox, YoloBox
from fbnet.layers.detection import DetectionOutput, NonMaxSuppression, Proposal, SelectBoxes

RANDOM = np.random.default_rng(5)


def boxes(*shape: int) -> np.ndarray:
    """[left, top, right, bottom] in a picture of size 1."""
    low = RANDOM.uniform(0, 0.7, (*shape, 2))
    return np.concatenate([low, low + RANDOM.uniform(0.05, 0.4, (*shape, 2))], -1).astype(np.float32)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"min_size": (6.0,)}, "min_size: 6"),
        ({"min_size": (6,), "max_size": (9,), "aspect_ratio": (2, 0.5)}, "min_size: 6 max_size: 9 aspect_ratio: 2"),
        ({"min_size": (4.0,), "aspect_ratio": (3.0,)}, "min_size: 4 aspect_ratio: 3 flip: false"),
        ({"min_size": (30.0,), "clip": True, "offset": 0.25}, "min_size: 30 clip: true offset: 0.25"),
        ({"min_size": (6.0,), "step": (5.0, 7.0)}, "min_size: 6 step_h: 5 step_w: 7"),
        ({"min_size": (6.0,), "variance": (0.1, 0.1, 0.2, 0.2)}, "min_size: 6 variance: [0.1, 0.1, 0.2, 0.2]"),
    ],
)  # fmt: skip
def test_prior_boxes_are_opencvs(caffe_run, attributes, text):
    x, image = np.zeros((1, 2, 5, 7), np.float32), np.zeros((1, 3, 40, 48), np.float32)
    text += "" if "variance" in text else " variance: 0.1"
    text += "" if "clip" in text else " clip: false"
    wanted = caffe_run(f'type: "PriorBox" prior_box_param {{ {text} }}', x, image)
    np.testing.assert_allclose(PriorBox(**attributes).reference(x, image), wanted, atol=1e-6)


DETECTIONS = {
    "center": ({"code": "center_size"}, "code_type: CENTER_SIZE"),
    "corner": ({"code": "corner", "top_k": 6, "keep_top_k": 7}, "code_type: CORNER"),
    "own places": (
        {"code": "center_size", "share_location": False},
        "code_type: CENTER_SIZE share_location: false",
    ),
    "another background": ({"background": 3, "keep_top_k": 7}, "background_label_id: 3"),
    "encoded": ({"encoded": True, "keep_top_k": 11}, "variance_encoded_in_target: true"),
}


@pytest.mark.parametrize("name", DETECTIONS)
@pytest.mark.parametrize("n", [1, 2])
def test_detections_are_opencvs(caffe_run, name, n):
    """OpenCV fills what is left of its rows with zeros, and has all images in one list."""
    attributes, text = DETECTIONS[name]
    given = {
        "num_classes": 4,
        "nms_threshold": 0.4,
        "confidence_threshold": 0.3,
        "top_k": 30,
        "keep_top_k": 50,
    }
    layer = DetectionOutput(**given | attributes)
    loc = RANDOM.standard_normal((n, 40 * 4 * layer.locations)).astype(np.float32)
    conf = RANDOM.random((n, 40 * 4), np.float32)
    variances = np.broadcast_to(np.float32([0.1, 0.1, 0.2, 0.2]), (40, 4))
    prior = np.stack([boxes(40), variances]).reshape(1, 2, 160)[:, : 1 if layer.encoded else 2]
    text += "" if "background" in text else " background_label_id: 0"
    text += "" if "share" in text else " share_location: true"
    text += "" if "code_type" in text else " code_type: CORNER"
    wanted = caffe_run(
        f'type: "DetectionOutput" detection_output_param {{ num_classes: 4 {text} keep_top_k: {layer.keep_top_k}'
        f" confidence_threshold: 0.3 nms_param {{ nms_threshold: 0.4 top_k: {layer.top_k} }} }}",
        loc, conf, prior.copy(),
    )  # fmt: skip
    y = layer.reference(loc, conf, prior)
    assert y.shape == (n, 1, layer.keep_top_k, 7) and wanted.shape == (1, 1, n * layer.keep_top_k, 7)
    found, wanted = y[y[..., 0] >= 0], wanted[wanted[..., 2] > 0]
    assert len(found) == len(wanted) >= 7
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert not y[y[..., 0] < 0][:, 1:].any()


def test_a_batch_of_detections_is_its_images():
    layer = DetectionOutput(num_classes=3, keep_top_k=5)
    loc, conf = RANDOM.standard_normal((3, 80)).astype(np.float32), RANDOM.random((3, 60), np.float32)
    prior = np.stack([boxes(20), np.full((20, 4), 0.1, np.float32)]).reshape(1, 2, 80)
    whole = layer.reference(loc, conf, prior)
    for i in range(3):
        one = layer.reference(loc[i : i + 1], conf[i : i + 1], prior)
        np.testing.assert_array_equal(one[..., 1:], whole[i : i + 1, ..., 1:])
        assert set(whole[i, ..., 0].ravel()) <= {i, -1}


def test_eta_lowers_the_threshold_with_each_box_kept():
    """Two boxes that overlap by 0.6 pass 0.7, but not what is left of it after the first was kept."""
    prior = np.float32([[[0, 0, 1, 1, 0.25, 0, 1.25, 1], [0] * 8]])
    loc, conf = np.zeros((1, 8), np.float32), np.float32([[0, 0.9, 0, 0.8]])
    usual = DetectionOutput(num_classes=2, nms_threshold=0.7, confidence_threshold=0.1)
    rows = [usual.replace(eta=eta).reference(loc, conf, prior)[..., 0] for eta in (1.0, 0.8)]
    assert [(r >= 0).sum() for r in rows] == [2, 1]


def test_how_many_rows_there_are():
    layer = DetectionOutput(num_classes=21, top_k=100)
    specs = Spec((Dim("N", 2), 400 * 4)), Spec((Dim("N", 2), 400 * 21)), Spec((1, 2, 400 * 4))
    assert str(layer.infer(*specs)) == "fp32[N,1,2100,7]"
    assert layer.replace(keep_top_k=200).infer(*specs).shape == (2, 1, 200, 7)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(
    ("iou", "score", "most"), [(0.4, None, 5), (0.0, 0.5, 3), (1.0, None, 99), (0.3, 0.2, 0)]
)
def test_suppression_is_onnxruntimes(center, iou, score, most):
    ort = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    tried, scores = boxes(2, 30), RANDOM.random((2, 3, 30), np.float32)
    if not center:
        tried[:, ::3] = tried[:, ::3, [2, 3, 0, 1]]  # corners in any order
    values = {
        "b": tried,
        "s": scores,
        "m": np.array(most),
        "i": np.float32([iou]),
        "t": np.float32([score or 0]),
    }
    names = [*"bsmi", "t"] if score is not None else [*"bsmi"]
    types = {"m": TensorProto.INT64}
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", names, ["y"], center_point_box=int(center))],
        "one",
        [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), values[n].shape) for n in names],
        [helper.make_tensor_value_info("y", TensorProto.INT64, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {n: values[n] for n in names})
    given = {} if score is None else {"score_threshold": score}
    layer = NonMaxSuppression(most_boxes=most, iou_threshold=iou, center_point_box=center, **given)
    y = layer.reference(tried, scores)
    assert y.shape == (2 * 3 * min(most, 30), 3) and (y[len(wanted) :] == -1).all()
    np.testing.assert_array_equal(y[: len(wanted)], wanted)


def test_proposals_are_opencvs(caffe_run):
    scores = RANDOM.random((1, 12, 9, 11), np.float32)
    deltas = RANDOM.uniform(-0.5, 0.5, (1, 24, 9, 11)).astype(np.float32)
    image = np.float32([[140, 170, 1]])
    text = (
        "feat_stride: 16 base_size: 16 ratio: [0.5, 1, 2] scale: [2, 4] pre_nms_topn: 300 post_nms_topn: 40"
        " nms_thresh: 0.6 min_size: 1"
    )
    wanted = caffe_run(f'type: "Proposal" proposal_param {{ {text} }}', scores, deltas, image, outputs=2)
    layer = Proposal(scale=(2.0, 4.0), pre_nms=300, post_nms=40, nms_threshold=0.6, min_size=1.0)
    y, score = layer.reference(scores, deltas, image)
    assert score.all()
    np.testing.assert_allclose(y, wanted[0], atol=1e-3)
    np.testing.assert_allclose(score, wanted[1], atol=1e-6)
    assert not layer.replace(min_size=1000.0).reference(scores, deltas, image)[1].any()


def test_yolo_boxes_of_zeros():
    """Sigmoids of 0 are 1/2 and exponentials 1: a box in the middle of each cell, as large as its anchor."""
    x = np.zeros((1, 7, 1, 2), np.float32)
    x[0, 6] = 1  # the second of two classes
    y = YoloBox(anchors=(1.0, 0.5)).reference(x)
    chance = 0.5 * np.e / (1 + np.e)
    np.testing.assert_allclose(
        y[0, 1], [2, chance, 0.75 - 0.25, 0.5 - 0.25, 0.75 + 0.25, 0.5 + 0.25], rtol=1e-6
    )
    y = YoloBox(anchors=(16.0, 8.0), stride=16).reference(x)
    np.testing.assert_allclose(y[0, 0], [2, 1 / (2 + np.exp(-1)), 0, 0.25, 0.5, 0.75], rtol=1e-6, atol=1e-7)


WRONG = [
    (PriorBox, {"min_size": ()}, "needs a min_size"),
    (PriorBox, {"min_size": (3.0,), "max_size": (4.0, 5.0)}, "max_size is"),
    (PriorBox, {"min_size": (3.0,), "step": (4.0,)}, "two"),
    (DetectionOutput, {"num_classes": 0}, "num_classes is 0"),
    (DetectionOutput, {"num_classes": 2, "code": "middle"}, "code is 'middle'"),
    (DetectionOutput, {"num_classes": 2, "eta": 0.0}, "eta 0"),
    (NonMaxSuppression, {"most_boxes": -1}, "must not be negative"),
    (YoloBox, {"anchors": (1.0,)}, "give pairs"),
    (SelectBoxes, {"most_boxes": -1}, "most_boxes is -1"),
    (Proposal, {"ratio": ()}, "ratio is"),
    (Proposal, {"stride": 0}, "stride and base_size"),
]


@pytest.mark.parametrize(("cls", "attributes", "said"), WRONG)
def test_attributes_that_make_no_sense(cls, attributes, said):
    with pytest.raises(AttributeValueError, match=said):
        cls(**attributes)


UNFIT = [
    (PriorBox(min_size=(3.0,)), [(1, 2, 3, 4)], "needs an image"),
    (PriorBox(min_size=(3.0,)), [(1, 2, 3), (1, 3, 9, 9)], "images are"),
    (DetectionOutput(num_classes=2), [(1, 8), (1, 4), (1, 1, 8)], r"it has to be \(1, 2, P\*4\)"),
    (DetectionOutput(num_classes=2), [(1, 8), (1, 6), (1, 2, 8)], r"conf is .* give \[1, 4\]"),
    (DetectionOutput(num_classes=2, share_location=False), [(1, 8), (1, 4), (1, 2, 8)], r"give \[1, 16\]"),
    (NonMaxSuppression(), [(1, 5, 4), (1, 2, 6)], "same N and P"),
    (YoloBox(anchors=(1.0, 1.0)), [(1, 5, 3, 3)], "with 1 anchors"),
    (SelectBoxes(), [(1, 5, 7)], "rows are"),
    (Proposal(), [(1, 18, 3, 3), (1, 36, 3, 4), (1, 3)], "with 9 anchors"),
]


@pytest.mark.parametrize(("layer", "shapes", "said"), UNFIT)
def test_shapes_that_do_not_fit(layer, shapes, said):
    with pytest.raises(ShapeError, match=said):
        layer.infer_outputs([Spec(s) for s in shapes])
