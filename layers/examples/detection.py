"""Scored boxes of every kind on small pictures."""

import numpy as np

from ..boxes import PriorBox, YoloBox
from ..detection import DetectionOutput, NonMaxSuppression, Proposal, SelectBoxes


def cases(case):
    ssd = dict(num_classes=3, code="center_size", nms_threshold=0.45, confidence_threshold=0.2)
    one: dict = dict(batch=False)
    random = np.random.default_rng(7)

    def boxes(*shape, size=0.5):
        """[left, top, right, bottom] in a picture of size 1."""
        low = random.uniform(0, 1 - size / 2, (*shape, 2))
        return np.concatenate([low, low + random.uniform(0.05, size, (*shape, 2))], -1)

    def priors(count):
        return np.stack([boxes(count), np.broadcast_to([0.1, 0.1, 0.2, 0.2], (count, 4))])

    rows = np.concatenate(
        [random.integers(1, 4, (2, 40, 1)), random.uniform(0, 1, (2, 40, 1)), boxes(2, 40)], -1
    )
    return [
        case(PriorBox(min_size=(3.0,)), (1, 2, 3, 5), (1, 3, 30, 40), **one),
        case(
            PriorBox(
                min_size=(4.0, 8.0), max_size=(6.0, 12.0), aspect_ratio=(2.0, 0.5), clip=True, image_size=(24, 24),
                step=(8.0, 7.0), variance=(0.1, 0.1, 0.2, 0.2), offset=0.25,
            ),
            (2, 1, 3, 3), None, **one,
        ),
        case(
            DetectionOutput(keep_top_k=5, top_k=10, **ssd),
            (2, 80), (2, 60), (1, 2, 80), given={2: priors(20)}, **one,
        ),
        case(
            DetectionOutput(num_classes=2, nms_threshold=0.6, eta=0.9),
            (1, 28), (1, 14), (1, 2, 28), given={2: priors(7)}, **one,
        ),
        case(
            DetectionOutput(num_classes=2, share_location=False, background=-1, keep_top_k=9, code="corner_size"),
            (2, 56), (2, 14), (1, 2, 28), given={2: priors(7)}, **one,
        ),
        case(
            DetectionOutput(num_classes=2, encoded=True, keep_top_k=0), (1, 28), (1, 14), (1, 1, 28), batch=False
        ),
        case(
            NonMaxSuppression(most_boxes=3, iou_threshold=0.3),
            (2, 9, 4), (2, 3, 9), given={0: boxes(2, 9)}, **one,
        ),
        case(
            NonMaxSuppression(most_boxes=99, iou_threshold=0.5, score_threshold=0.5, center_point_box=True),
            (1, 13, 4), (1, 2, 13), given={0: boxes(1, 13)}, **one,
        ),
        case(NonMaxSuppression(), (1, 5, 4), (1, 1, 5), **one),
        case(YoloBox(anchors=(1.0, 2.0, 3.0, 1.5)), (2, 16, 3, 5)),
        case(YoloBox(anchors=(10.0, 20.0), stride=8.0), (2, 6, 7, 3)),
        case(
            SelectBoxes(most_boxes=7, confidence_threshold=0.2, nms_threshold=0.3),
            (2, 40, 6), given={0: rows}, **one,
        ),
        case(SelectBoxes(confidence_threshold=0.5), (1, 3, 6)),
        case(
            Proposal(stride=4, base_size=4, min_size=3, ratio=(0.5, 1.0), scale=(1.0, 2.0), pre_nms=40, post_nms=12),
            (1, 8, 5, 6), (1, 16, 5, 6), (1, 3), given={2: (20, 24, 1)}, **one,
        ),
        case(
            Proposal(stride=4, base_size=4, ratio=(1.0,), scale=(2.0,), post_nms=99, nms_threshold=0.3, pixels=False),
            (1, 2, 5, 6), (1, 4, 5, 6), (1, 3), given={2: (20, 24, 0.5)}, **one,
        ),
    ]  # fmt: skip
