"""Scored boxes on the cpu: sorted by heap sort, which needs no room; images are shared out between the threads."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, View, kernel
from ..boxes import PriorBox, YoloBox
from ..detection import DetectionOutput, NonMaxSuppression, Proposal, SelectBoxes


def bind_prior(call: Call) -> dict:
    image = call.shape("image") if call.specs["image"] is not None else ()
    boxes = call.layer.boxes(call.shape("x"), image).reshape(-1)
    return dict(boxes=Packed(boxes), y=call.flat("y"))


@kernel(PriorBox, device="cpu", bind=bind_prior)
def prior_boxes(boxes, y, ith, nth):
    """They depend on shapes alone, so that they were worked out with the plan."""
    for i in range(y.size * ith // nth, y.size * (ith + 1) // nth):
        y[i] = boxes[i]


# -- what the others share -----------------------------------------------------------------------------------


def sort_by_score(order, score, count):
    """order[:count], places in `score`, from the largest score down; of equal ones the first place first."""
    for start in range(count // 2):
        sift(order, score, count // 2 - 1 - start, count)
    for taken in range(count - 1):
        last = count - 1 - taken
        order[0], order[last] = order[last], order[0]
        sift(order, score, 0, last)


def sift(order, score, root, count):
    """Bring order[root] down to its place in a heap whose top is the one that comes last."""
    child = 2 * root + 1
    while child < count:
        if child + 1 < count and comes_before(score, order[child], order[child + 1]):
            child += 1
        if not comes_before(score, order[root], order[child]):
            break
        order[root], order[child] = order[child], order[root]
        root = child
        child = 2 * root + 1


def comes_before(score, a, b):
    return score[a] > score[b] or (score[a] == score[b] and a < b)


def overlap(boxes, a, b, more):
    """What two boxes share, over what they cover together; sizes are edges' differences and `more`."""
    width = max(min(boxes[a, 2], boxes[b, 2]) + more - max(boxes[a, 0], boxes[b, 0]), np.float32(0))
    height = max(min(boxes[a, 3], boxes[b, 3]) + more - max(boxes[a, 1], boxes[b, 1]), np.float32(0))
    both = width * height
    union = area(boxes, a, more) + area(boxes, b, more) - both
    return both / union if union > 0 else np.float32(0)


def area(boxes, a, more):
    width = max(boxes[a, 2] + more - boxes[a, 0], np.float32(0))
    return width * max(boxes[a, 3] + more - boxes[a, 1], np.float32(0))


def suppress(boxes, order, count, threshold, eta, more, most):
    """Move the boxes that overlap no better one too much to the front of order[:count]; how many they are."""
    kept = 0
    for i in range(count):
        if kept == most:
            break
        alone = True
        for other in range(kept):
            if overlap(boxes, order[i], order[other], more) > threshold:
                alone = False
                break
        if alone:
            order[kept] = order[i]
            kept += 1
            if threshold > np.float32(0.5):
                threshold *= eta
    return kept


# -- the layers ----------------------------------------------------------------------------------------------


def bind_detections(call: Call) -> dict:
    layer = call.layer
    n, halves, priors = call.shape("loc")[0], call.shape("prior")[1], call.shape("prior")[2] // 4
    each, threads = layer.candidates(priors), call.threads
    return dict(
        loc=View("loc", (n, priors, layer.locations, 4)), conf=View("conf", (n, priors, layer.num_classes)),
        prior=View("prior", (halves, priors, 4)), y=View("y", (n, call.shape("y")[2], 7)),
        boxes=Scratch((threads, layer.locations, priors, 4)), score=Scratch((threads, priors)),
        order=Scratch((threads, priors), "int32"), best=Scratch((threads, layer.num_classes * each)),
        labels=Scratch((threads, layer.num_classes * each), "int32"),
        places=Scratch((threads, layer.num_classes * each), "int32"),
        ranks=Scratch((threads, layer.num_classes * each), "int32"),
        code=("center_size", "corner", "corner_size").index(layer.code), each=each, encoded=int(layer.encoded),
    )  # fmt: skip


@kernel(DetectionOutput, device="cpu", bind=bind_detections)
def detections(
    loc, conf, prior, y, boxes, score, order, best, labels, places, ranks, code, each, encoded, background,
    confidence_threshold, nms_threshold, eta, ith, nth,
):  # fmt: skip
    n, priors, classes = conf.shape
    locations, rows = loc.shape[2], y.shape[1]
    for image in range(n * ith // nth, n * (ith + 1) // nth):
        for place in range(priors):
            for location in range(locations):
                decode(loc[image, place, location], prior, boxes[ith, location, place], place, code, encoded)
        found = 0
        for label in range(classes):
            if label == background:
                continue
            count = 0
            for place in range(priors):
                score[ith, place] = conf[image, place, label]
                if score[ith, place] > confidence_threshold:
                    order[ith, count] = place
                    count += 1
            sort_by_score(order[ith], score[ith], count)
            own = boxes[ith, label % locations]
            count = suppress(own, order[ith], min(count, each), nms_threshold, eta, np.float32(0), count)
            for i in range(count):
                best[ith, found] = score[ith, order[ith, i]]
                labels[ith, found], places[ith, found] = label, order[ith, i]
                ranks[ith, found] = found
                found += 1
        sort_by_score(ranks[ith], best[ith], found)
        for row in range(rows):
            for column in range(7):
                y[image, row, column] = np.float32(-1) if column == 0 else np.float32(0)
        for row in range(min(rows, found)):
            rank = ranks[ith, row]
            y[image, row, 0], y[image, row, 1], y[image, row, 2] = image, labels[ith, rank], best[ith, rank]
            for edge in range(4):
                y[image, row, 3 + edge] = boxes[ith, labels[ith, rank] % locations, places[ith, rank], edge]


def decode(loc, prior, box, place, code, encoded):
    """`box` becomes prior number `place`, moved by loc."""
    for axis in range(2):
        low, high = prior[0, place, axis], prior[0, place, 2 + axis]
        first, second = loc[axis], loc[2 + axis]
        if encoded == 0:
            first *= prior[1, place, axis]
            second *= prior[1, place, 2 + axis]
        size = high - low
        if code == 0:
            center, half = low + size / 2 + first * size, math.exp(second) * size / 2
            box[axis], box[2 + axis] = center - half, center + half
        elif code == 1:
            box[axis], box[2 + axis] = low + first, high + second
        else:
            box[axis], box[2 + axis] = low + first * size, high + second * size


def bind_suppression(call: Call) -> dict:
    p = call.shape("scores")[2]
    return dict(
        corners=Scratch((p, 4)), order=Scratch((p,), "int32"), most=min(call.layer.most_boxes, p),
        centered=int(call.layer.center_point_box),
    )  # fmt: skip


@kernel(NonMaxSuppression, device="cpu", bind=bind_suppression)
def non_max_suppression(
    boxes, scores, y, corners, order, most, centered, iou_threshold, score_threshold, ith, nth
):
    """One thread: where a class's rows begin depends on those before it."""
    n, c, p = scores.shape
    found = 0
    if ith == 0:
        for image in range(n):
            for place in range(p):
                for axis in range(2):
                    a, b = boxes[image, place, axis], boxes[image, place, 2 + axis]
                    if centered == 1:
                        a, b = a - b / 2, a + b / 2
                    corners[place, axis], corners[place, 2 + axis] = min(a, b), max(a, b)
            for label in range(c):
                count = 0
                for place in range(p):
                    if scores[image, label, place] > score_threshold:
                        order[count] = place
                        count += 1
                sort_by_score(order, scores[image, label], count)
                count = suppress(corners, order, count, iou_threshold, np.float32(1), np.float32(0), most)
                for i in range(count):
                    y[found, 0], y[found, 1], y[found, 2] = image, label, order[i]
                    found += 1
        for row in range(found, y.shape[0]):
            y[row, 0], y[row, 1], y[row, 2] = -1, -1, -1


def bind_yolo(call: Call) -> dict:
    n, c, h, w = call.shape("x")
    anchors = np.float32(call.layer.anchors).reshape(-1, 2) / np.float32(call.layer.units(h, w))
    count = len(anchors)
    return dict(
        x=View("x", (n * count, c // count, h, w)), y=View("y", (n * count, h, w, 6)), anchors=Packed(anchors),
        v3=int(call.layer.stride > 0),
    )  # fmt: skip


@kernel(YoloBox, device="cpu", bind=bind_yolo)
def yolo_boxes(x, y, anchors, v3, ith, nth):
    planes, channels, h, w = x.shape
    one = np.float32(1)
    for row in range(planes * h * ith // nth, planes * h * (ith + 1) // nth):
        plane, i = row // h, row % h
        anchor = plane % anchors.shape[0]
        for j in range(w):
            label, best = 5, x[plane, 5, i, j]
            for channel in range(6, channels):
                if x[plane, channel, i, j] > best:
                    label, best = channel, x[plane, channel, i, j]
            objectness = math.exp(-x[plane, 4, i, j])
            if v3 == 1:
                score = one / (one + objectness * (one + math.exp(-best)))
            else:
                total = np.float32(0)
                for channel in range(5, channels):
                    total += math.exp(x[plane, channel, i, j] - best)
                score = one / (one + objectness) / total
            center_x = (one / (one + math.exp(-x[plane, 0, i, j])) + np.float32(j)) / np.float32(w)
            center_y = (one / (one + math.exp(-x[plane, 1, i, j])) + np.float32(i)) / np.float32(h)
            half_w = math.exp(x[plane, 2, i, j]) * anchors[anchor, 0] / np.float32(2)
            half_h = math.exp(x[plane, 3, i, j]) * anchors[anchor, 1] / np.float32(2)
            y[plane, i, j, 0], y[plane, i, j, 1] = label - 4, score
            y[plane, i, j, 2], y[plane, i, j, 3] = center_x - half_w, center_y - half_h
            y[plane, i, j, 4], y[plane, i, j, 5] = center_x + half_w, center_y + half_h


def bind_select(call: Call) -> dict:
    p, threads = call.shape("x")[1], call.threads
    return dict(
        boxes=Scratch((threads, p, 4)), score=Scratch((threads, p)), order=Scratch((threads, p), "int32")
    )


@kernel(SelectBoxes, device="cpu", bind=bind_select)
def select_boxes(x, y, boxes, score, order, confidence_threshold, nms_threshold, ith, nth):
    n, p, _ = x.shape
    rows = y.shape[1]
    for image in range(n * ith // nth, n * (ith + 1) // nth):
        count = 0
        for place in range(p):
            score[ith, place] = x[image, place, 1]
            for edge in range(4):
                boxes[ith, place, edge] = x[image, place, 2 + edge]
            if x[image, place, 1] >= confidence_threshold:
                order[ith, count] = place
                count += 1
        sort_by_score(order[ith], score[ith], count)
        kept = suppress(boxes[ith], order[ith], count, nms_threshold, np.float32(1), np.float32(0), rows)
        for row in range(rows):
            for column in range(6):
                y[image, row, column] = x[image, order[ith, row], column] if row < kept else np.float32(0)


def bind_proposal(call: Call) -> dict:
    layer, (_, _, h, w) = call.layer, call.shape("scores")
    anchors = layer.anchors
    count = len(anchors)
    return dict(
        scores=View("scores", (2, count, h, w)), deltas=View("deltas", (count, 4, h, w)), image=call.flat("image"),
        size=Packed(anchors), boxes=Scratch((h * w * count, 4)), room=Scratch((h * w * count,)),
        order=Scratch((h * w * count,), "int32"), more=float(layer.pixels), kept=prod(call.shape("score")),
    )  # fmt: skip


@kernel(Proposal, device="cpu", bind=bind_proposal)
def proposals(
    scores, deltas, image, size, y, score, boxes, room, order, more, kept, stride, base_size, min_size, pre_nms,
    nms_threshold, ith, nth,
):  # fmt: skip
    """One thread: there is one image, and its boxes are compared one with another."""
    _, anchors, h, w = scores.shape
    if ith == 0:
        count = 0
        for cell in range(h * w * anchors):
            i, j, anchor = cell // anchors // w, cell // anchors % w, cell % anchors
            room[cell] = scores[1, anchor, i, j]
            large = True
            for axis in range(2):
                at = j if axis == 0 else i
                most = image[1 - axis] - np.float32(1)
                center = (
                    np.float32(at * stride + base_size / 2) + deltas[anchor, axis, i, j] * size[anchor, axis]
                )
                half = math.exp(deltas[anchor, 2 + axis, i, j]) * size[anchor, axis] / np.float32(2)
                boxes[cell, axis] = min(max(center - half, np.float32(0)), most)
                boxes[cell, 2 + axis] = min(max(center + half, np.float32(0)), most)
                if boxes[cell, 2 + axis] - boxes[cell, axis] + np.float32(1) < min_size * image[2]:
                    large = False
            if large:
                order[count] = cell
                count += 1
        sort_by_score(order, room, count)
        found = suppress(boxes, order, min(count, pre_nms), nms_threshold, np.float32(1), more, kept)
        for row in range(kept):
            y[row, 0] = np.float32(0)
            score[row, 0] = room[order[row]] if row < found else np.float32(0)
            for edge in range(4):
                y[row, 1 + edge] = boxes[order[row], edge] if row < found else np.float32(0)
