"""Types that find boxes, of SSD and YOLO.

ncnn's results have as many rows as there are boxes, [label, score, left, top, right, bottom]. Ours have as many as
there can be, best first; the rows behind those found are 0, and label 0 is the background.
"""

from __future__ import annotations

import struct

from ...engine.errors import ConversionError
from .graph import Source, ncnn
from .moving import cut
from .param import Raw

MOST_BOXES = 1000  # of a YOLO; ncnn knows no limit
SAME_AS_INPUT = -233


@ncnn("PriorBox")
def prior_box(s: Source) -> str:
    """Ratios are taken as they are, with `flip` each with its inverse."""
    image_size = [s.integer(10), s.integer(9)]
    mxnet = len(s.inputs) == 1 and image_size == [SAME_AS_INPUT] * 2 and not s.numbers(1)
    if mxnet or s.integer(14) or s.integer(15):
        raise ConversionError("boxes as MXNet or mmdetection lay them are not supported")
    x = s.computed(s.inputs[0])
    image = s.computed(s.inputs[-1])
    for axis, size in enumerate(image_size):
        image_size[axis] = int(s.shape_of(image)[2 + axis]) if size == SAME_AS_INPUT else size
    s.graph.sizes_fixed |= SAME_AS_INPUT in (s.integer(9), s.integer(10)) and len(s.inputs) < 2
    ratios = [
        r
        for ratio in s.numbers(2)
        for r in ((ratio, 1 / ratio) if s.integer(7, 1) and ratio > 0 else (ratio,))
    ]
    step = [s.number(12, SAME_AS_INPUT), s.number(11, SAME_AS_INPUT)]
    if SAME_AS_INPUT in step and step != [SAME_AS_INPUT] * 2:
        raise ConversionError(f"step_height is {step[0]} and step_width {step[1]}: only one of them is given")
    own = [s.integer(10), s.integer(9)] != [SAME_AS_INPUT] * 2
    return s.add(
        "PriorBox", x, None if own else image, min_size=s.numbers(0), max_size=s.numbers(1), aspect_ratio=ratios,
        clip=bool(s.integer(8)), variance=[s.number(3, 0.1), s.number(4, 0.1), s.number(5, 0.2), s.number(6, 0.2)],
        image_size=image_size if own else (), step=() if SAME_AS_INPUT in step else step, offset=s.number(13),
    )  # fmt: skip


@ncnn("DetectionOutput")
def detection_output(s: Source) -> str:
    if s.integer(0) == SAME_AS_INPUT:
        raise ConversionError("boxes as MXNet has them are not supported")
    found = s.add(
        "DetectionOutput", *map(s.computed, s.inputs), num_classes=s.integer(0), nms_threshold=s.number(1, 0.05),
        top_k=s.integer(2, 300), keep_top_k=s.integer(3, 100), confidence_threshold=s.number(4, 0.5),
        code="center_size",
    )  # fmt: skip
    rows = s.add("Reshape", found, shape=(), axis=1, num_axes=1)
    return cut(s, rows, 2, 1, 7)  # without the image's number


@ncnn("YoloDetectionOutput", "Yolov3DetectionOutput")
def yolo(s: Source) -> str:
    classes, count, anchors = s.integer(0, 20), s.integer(1, 5), s.numbers(4)
    v3 = s.node.type.startswith("Yolov3")
    if not 0 < count <= len(anchors):
        raise ConversionError(f"num_box is {count}, but it has the biases {anchors}")
    strides = s.numbers(6) if v3 else [0.0] * len(s.inputs)
    chosen = _chosen(s) if v3 else list(range(count)) * len(s.inputs)
    enough = len(strides) >= len(s.inputs) and len(chosen) >= count * len(s.inputs)
    if not enough or min(chosen) < 0 or 2 * max(chosen) + 1 >= len(anchors) or (v3 and min(strides) <= 0):
        raise ConversionError(
            f"has {len(s.inputs)} inputs of {count} boxes, but biases {anchors}, mask {chosen} and scales {strides}"
        )
    parts = []
    for i, x in enumerate(map(s.computed, s.inputs)):
        if len(s.shape_of(x)) != 4 or s.shape_of(x)[1] != count * (5 + classes):
            raise ConversionError(
                f"reads {s.graph.specs[x]}, but {count} boxes of {classes} classes are wanted"
            )
        own = [anchors[2 * k + side] for k in chosen[i * count : (i + 1) * count] for side in (0, 1)]
        parts.append(s.add("YoloBox", x, anchors=own, stride=strides[i]))
    rows = parts[0] if len(parts) == 1 else s.add("Concat", *parts, axis=1)
    return s.add(
        "SelectBoxes", rows, confidence_threshold=s.number(2, 0.01), nms_threshold=s.number(3, 0.45),
        most_boxes=MOST_BOXES,
    )  # fmt: skip


def _chosen(s: Source) -> list[int]:
    """Yolov3DetectionOutput's mask. A text file gives the bits of its floats as integers."""
    values = s.node.params.get(5, ())
    if not isinstance(values, tuple):
        raise ConversionError(f"its mask is {values!r}: an array is wanted")
    bits = [
        v.bits if isinstance(v, Raw) else struct.pack("<I", v & 0xFFFFFFFF) if isinstance(v, int) else b""
        for v in values
    ]
    floats = [struct.unpack("<f", b)[0] if b else v for b, v in zip(bits, values, strict=True)]
    if not all(0 <= f < 1e6 for f in floats):
        raise ConversionError(f"its mask is {floats}: numbers of anchors are wanted")
    return [int(f) for f in floats]
