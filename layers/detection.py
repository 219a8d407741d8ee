"""Detection: what is left of thousands of scored boxes. DetectionOutput, NonMaxSuppression, SelectBoxes, Proposal.

How many boxes there are depends on the picture, but the shape of a tensor does not. So every one of these layers has
as many rows as there can be, the found ones first; a row behind them says that it is none.

A box is [left, top, right, bottom]. The overlap of two is the area of what they share over the area of what they
cover together; non-maximum suppression goes from the best score down and leaves out what overlaps a better box too
much.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec

LOWEST = -3.4028234663852886e38  # the lowest fp32: a threshold that lets everything through


@layer("DetectionOutput")
class DetectionOutput(Layer):
    """y = each image's best boxes    loc: (N, P*4), conf: (N, P*num_classes), prior: (1, 2, P*4) -> y: (N, 1, K, 7)

    Each prior is moved by what `loc` says. Of the boxes whose score for a class is above confidence_threshold, the
    top_k best go through non-maximum suppression, class by class; the keep_top_k best of all classes together are the
    rows [image, label, score, left, top, right, bottom] of y, best first. Rows that are none have -1 for their image
    and 0 otherwise: `y[y[..., 0] >= 0]` are the detections of a whole batch. Liu et al. 2015, arXiv:1512.02325; their
    Caffe's DetectionOutputParameter.

    K              keep_top_k, or if that is -1 as many as there can be
    code           center_size: the centre moves by loc * size * variance, the size grows by exp(loc * variance);
                   corner: corners move by loc * variance;  corner_size: by loc * variance * size
    share_location False: loc, (N, P*num_classes*4), moves each prior for each class
    background     the class that is none; -1 if there is none such
    eta            below 1, nms_threshold is multiplied by it after each box kept, as long as it is above 0.5
    encoded        the variance is in loc already, and prior has only its first half
    """

    num_classes: int
    share_location: bool = True
    background: int = 0
    nms_threshold: float = 0.3
    eta: float = 1.0
    top_k: int = -1
    keep_top_k: int = -1
    confidence_threshold: float = LOWEST
    code: str = "corner"
    encoded: bool = False

    def check(self) -> None:
        if self.num_classes < 1 or self.nms_threshold < 0 or not 0 < self.eta <= 1:
            raise AttributeValueError(
                f"{self}: num_classes is {self.num_classes}, nms_threshold {self.nms_threshold}, eta {self.eta}:"
                " give 1 or more, 0 or more, and above 0 to 1"
            )
        if self.code not in ("center_size", "corner", "corner_size"):
            raise AttributeValueError(
                f"{self}: code is {self.code!r}: give center_size, corner or corner_size"
            )

    @property
    def locations(self) -> int:
        """How many boxes a prior becomes."""
        return 1 if self.share_location else self.num_classes

    def candidates(self, priors: int) -> int:
        """How many boxes of one class can reach suppression."""
        return priors if self.top_k < 0 else min(self.top_k, priors)

    def infer(self, loc: Spec, conf: Spec, prior: Spec) -> Spec:
        halves = 1 if self.encoded else 2
        if prior.ndim != 3 or prior.shape[1] < halves or prior.shape[2] % 4:
            raise ShapeError(f"prior is {prior}, but it has to be (1, {halves}, P*4)")
        priors = prior.shape[2] // 4
        for name, spec, each in (("loc", loc, 4 * self.locations), ("conf", conf, self.num_classes)):
            if spec.ndim < 2 or spec.shape[0] != loc.shape[0] or prod(spec.shape[1:]) != priors * each:
                raise ShapeError(
                    f"{name} is {spec}, but prior is {prior}: give [{loc.shape[0]}, {int(priors * each)}]"
                )
        most = self.keep_top_k if self.keep_top_k >= 0 else self.num_classes * self.candidates(int(priors))
        return loc.replace(shape=(loc.shape[0], 1, most, 7), quantization=None)

    def decoded(self, loc: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """One image's boxes, (P, locations, 4)."""
        box = prior[0].reshape(-1, 1, 4)
        loc = loc.reshape(len(box), self.locations, 4)
        loc = loc if self.encoded else loc * prior[1].reshape(-1, 1, 4)
        low, size = box[..., :2], box[..., 2:] - box[..., :2]
        if self.code == "center_size":
            center = low + size / 2 + loc[..., :2] * size
            half = np.exp(loc[..., 2:]) * size / 2
            return np.concatenate([center - half, center + half], -1)
        return box + (loc if self.code == "corner" else loc * np.concatenate([size, size], -1))

    def reference(self, loc, conf, prior):
        y = np.zeros(self.infer(Spec(loc.shape), Spec(conf.shape), Spec(prior.shape)).shape, np.float32)
        y[..., 0] = -1
        for image in range(len(loc)):
            boxes = self.decoded(loc[image], prior[0])
            scores = conf[image].reshape(-1, self.num_classes)
            rows = []
            for label in (c for c in range(self.num_classes) if c != self.background):
                own = boxes[:, label % self.locations]
                order = _best(scores[:, label], self.confidence_threshold)[: self.candidates(len(own))]
                kept = suppressed(own, order, self.nms_threshold, self.eta)
                rows += [(image, label, scores[i, label], *own[i]) for i in kept]
            rows.sort(key=lambda row: -row[2])
            for i, row in enumerate(rows[: y.shape[2]]):
                y[image, 0, i] = row
        return y


@layer("NonMaxSuppression")
class NonMaxSuppression(Layer):
    """y = rows [image, class, place] of the boxes left    boxes: (N, P, 4), scores: (N, C, P) -> y: int64 (N*C*M, 3)

    For each image and class, of the boxes with a score above score_threshold, the most_boxes best that do not overlap
    a better one by more than iou_threshold. M is most_boxes, or P if that is less. Rows behind those found are -1.
    ONNX NonMaxSuppression, whose result ends where rows of -1 begin here.

    center_point_box  False: a box is two opposite corners [y, x, y, x], in any order;
                      True: [x, y, width, height] about its centre
    """

    most_boxes: int = 0
    iou_threshold: float = 0.0
    score_threshold: float = LOWEST
    center_point_box: bool = False

    def check(self) -> None:
        if self.most_boxes < 0:
            raise AttributeValueError(f"{self}: most_boxes is {self.most_boxes}: it must not be negative")

    def infer(self, boxes: Spec, scores: Spec) -> Spec:
        if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[2] != 4:
            raise ShapeError(f"boxes is {boxes} and scores {scores}: give (N, P, 4) and (N, C, P)")
        if scores.shape[0] != boxes.shape[0] or scores.shape[2] != boxes.shape[1]:
            raise ShapeError(f"boxes is {boxes} but scores is {scores}: they need the same N and P")
        most = min(self.most_boxes, int(boxes.shape[1]))
        return Spec((scores.shape[0] * scores.shape[1] * most, 3), "int64")

    def reference(self, boxes, scores):
        n, c, p = scores.shape
        y = np.full((n * c * min(self.most_boxes, p), 3), -1, np.int64)
        if self.center_point_box:
            corners = np.concatenate(
                [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1
            )
        else:
            one, other = boxes[..., :2], boxes[..., 2:]
            corners = np.concatenate([np.minimum(one, other), np.maximum(one, other)], -1)
        found = 0
        for image, label in np.ndindex(n, c):
            order = _best(scores[image, label], self.score_threshold)
            for i in suppressed(corners[image], order, self.iou_threshold)[: self.most_boxes]:
                y[found] = image, label, i
                found += 1
        return y


@layer("SelectBoxes")
class SelectBoxes(Layer):
    """y = x's best rows, best first        x: (N, P, 6) -> y: (N, K, 6)

    A row is [label, score, left, top, right, bottom]. Rows whose score is at least confidence_threshold go through
    non-maximum suppression, whatever their labels; K = most_boxes of them are kept. Rows behind those found are 0.
    The second half of ncnn's YoloDetectionOutput and Yolov3DetectionOutput.
    """

    confidence_threshold: float = 0.0
    nms_threshold: float = 0.45
    most_boxes: int = 100

    def check(self) -> None:
        if self.most_boxes < 0 or self.nms_threshold < 0:
            raise AttributeValueError(
                f"{self}: most_boxes is {self.most_boxes} and nms_threshold {self.nms_threshold}: give 0 or more"
            )

    def infer(self, x: Spec) -> Spec:
        if x.ndim != 3 or x.shape[2] != 6:
            raise ShapeError(f"x is {x}, but rows are [label, score, left, top, right, bottom]: (N, P, 6)")
        return x.replace(shape=(x.shape[0], self.most_boxes, 6), quantization=None)

    def reference(self, x):
        y = np.zeros((len(x), self.most_boxes, 6), np.float32)
        for image, rows in enumerate(x):
            order = np.argsort(-rows[:, 1], kind="stable")
            order = order[rows[order, 1] >= np.float32(self.confidence_threshold)]
            kept = suppressed(rows[:, 2:], order, self.nms_threshold)[: self.most_boxes]
            y[image, : len(kept)] = rows[kept]
        return y


@layer("Proposal")
class Proposal(Layer):
    """y = regions to look at    scores: (1,2*A,H,W), deltas: (1,4*A,H,W), image: (1,3) -> y: (K,5), score: (K,1)

    About the middle of each cell of `stride` pixels, counted as base_size / 2, lie A anchors: for each ratio r and
    scale s one of s * w by s * round(w * r), w = round(base_size / sqrt(r)). Each is moved by its delta, [dx, dy, dw,
    dh] in units of its size, and cut at the image's edges. Those with sides of at least min_size * scale go, the
    pre_nms best of them, through non-maximum suppression; K = post_nms are kept. Rows of y are [0, left, top, right,
    bottom]; scores are the second half of `scores`. Rows behind those found are 0. Ren et al. 2015, arXiv:1506.01497;
    ProposalParameter of Caffe's forks.

    image   height, width and scale of the image whose pixels all is in
    pixels  whether a box covers its last row and column too when overlaps are worked out: Caffe's rule, not ncnn's
    """

    results = ("y", "score")

    stride: int = 16
    base_size: int = 16
    min_size: float = 16.0
    ratio: tuple[float, ...] = (0.5, 1.0, 2.0)
    scale: tuple[float, ...] = (8.0, 16.0, 32.0)
    pre_nms: int = 6000
    post_nms: int = 300
    nms_threshold: float = 0.7
    pixels: bool = True

    def check(self) -> None:
        if min(self.stride, self.base_size) < 1 or min(self.pre_nms, self.post_nms) < 0:
            raise AttributeValueError(
                f"{self}: stride and base_size must be at least 1, pre_nms and post_nms 0"
            )
        if not self.ratio or not self.scale or not all(a > 0 for a in (*self.ratio, *self.scale)):
            raise AttributeValueError(
                f"{self}: ratio is {self.ratio} and scale {self.scale}: give some above 0"
            )

    def infer(self, scores: Spec, deltas: Spec, image: Spec) -> tuple[Spec, Spec]:
        count = len(self.ratio) * len(self.scale)
        fits = scores.ndim == deltas.ndim == 4 and scores.shape[2:] == deltas.shape[2:]
        if (
            not fits
            or scores.shape[:2] != (1, 2 * count)
            or deltas.shape[:2] != (1, 4 * count)
            or image.size < 3
        ):
            raise ShapeError(
                f"scores is {scores}, deltas {deltas} and image {image}: with {count} anchors give"
                f" (1, {2 * count}, H, W), (1, {4 * count}, H, W) and (1, 3)"
            )
        y = scores.replace(shape=(self.post_nms, 5), quantization=None)
        return y, y.replace(shape=(self.post_nms, 1))

    @property
    def anchors(self) -> np.ndarray:
        """(A, 2): width and height of each."""
        widths = [(np.floor(self.base_size / np.sqrt(r) + 0.5), r) for r in self.ratio]
        return np.float32([[w * s, np.floor(w * r + 0.5) * s] for w, r in widths for s in self.scale])

    def reference(self, scores, deltas, image):
        height, width, scale = image.reshape(-1)[:3]
        _, _, h, w = scores.shape
        size = self.anchors
        delta = deltas.reshape(len(size), 4, h, w).transpose(2, 3, 0, 1)
        cells = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)[:, :, None]
        center = (cells * self.stride + self.base_size / 2).astype(np.float32) + delta[..., :2] * size
        half = np.exp(delta[..., 2:]) * size / 2
        most = np.float32([width - 1, height - 1])
        boxes = np.concatenate([(center - half).clip(0, most), (center + half).clip(0, most)], -1).reshape(
            -1, 4
        )
        score = scores[0, len(size) :].transpose(1, 2, 0).reshape(-1)
        large = (boxes[:, 2:] - boxes[:, :2] + 1 >= np.float32(self.min_size) * scale).all(1)
        order = np.argsort(-score, kind="stable")
        order = order[large[order]][: self.pre_nms]
        kept = suppressed(boxes, order, self.nms_threshold, more=float(self.pixels))[: self.post_nms]
        y, found = np.zeros((self.post_nms, 5), np.float32), np.zeros((self.post_nms, 1), np.float32)
        y[: len(kept), 1:], found[: len(kept), 0] = boxes[kept], score[kept]
        return y, found


def suppressed(
    boxes: np.ndarray, order: np.ndarray, threshold: float, eta: float = 1.0, more: float = 0.0
) -> list[int]:
    """Of the boxes (P, 4) in this order, those that overlap no kept one by more than the threshold.

    more  what sizes are larger than the difference of a box's edges
    """
    boxes = boxes + np.float32([0, 0, more, more])
    kept: list[int] = []
    for i in order:
        if not kept or _overlaps(boxes[i], boxes[kept]).max() <= np.float32(threshold):
            kept.append(int(i))
            threshold *= eta if threshold > 0.5 else 1.0
    return kept


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What a box shares with each of others, over what the two cover together; 0 where that is nothing."""
    both = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(-1)
    union = (box[2:] - box[:2]).clip(0).prod() + (others[:, 2:] - others[:, :2]).clip(0, None).prod(-1) - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def _best(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Where the scores above a threshold are, from the largest on."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] > np.float32(threshold)]
