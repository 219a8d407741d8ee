"""Caffe's forks that find things: SSD's and Faster R-CNN's layers."""

from __future__ import annotations

import re

from ...engine.errors import ConversionError
from ...engine.layer import Layer
from .mapping import Source, caffe
from .prototxt import enum_name, shortest


def _reads(s: Source, *names: str) -> None:
    if len(s.node.inputs) != len(names):
        raise ConversionError(f"reads {len(s.node.inputs)} blobs, but takes {', '.join(names)}")


@caffe("PriorBox")
def prior_box(s: Source) -> Layer:
    """Ratios come once each, without 1, and with `flip` each with its inverse."""
    p = s.param.prior_box_param
    _reads(s, "features", "image")
    ratios: list[float] = []
    for ratio in map(shortest, p.aspect_ratio):
        if ratio > 0 and all(abs(ratio - other) > 1e-6 for other in (1.0, *ratios)):
            ratios += [ratio, 1 / ratio] if p.flip else [ratio]
    steps = (p.step_h, p.step_w) if p.HasField("step_h") or p.HasField("step_w") else (p.step,) * 2
    sizes = (p.img_h, p.img_w) if p.HasField("img_h") or p.HasField("img_w") else (p.img_size,) * 2
    return s.layer_of(
        "PriorBox", *s.node.inputs, min_size=tuple(p.min_size), max_size=tuple(p.max_size),
        aspect_ratio=tuple(ratios), clip=p.clip, variance=tuple(p.variance) or (0.1,),
        image_size=sizes if any(sizes) else (), step=steps if any(steps) else (), offset=p.offset,
    )  # fmt: skip


@caffe("DetectionOutput")
def detection_output(s: Source) -> Layer:
    p = s.param.detection_output_param
    _reads(s, "mbox_loc", "mbox_conf", "mbox_priorbox")
    threshold = {"confidence_threshold": p.confidence_threshold} if p.HasField("confidence_threshold") else {}
    return s.layer_of(
        "DetectionOutput", *s.node.inputs, num_classes=p.num_classes, share_location=p.share_location,
        background=p.background_label_id, nms_threshold=p.nms_param.nms_threshold, eta=p.nms_param.eta,
        top_k=p.nms_param.top_k if p.nms_param.HasField("top_k") else -1, keep_top_k=p.keep_top_k,
        code=enum_name(p, "code_type").lower(), encoded=p.variance_encoded_in_target, **threshold,
    )  # fmt: skip


@caffe("Proposal")
def proposal(s: Source) -> Layer:
    p = s.param.proposal_param
    given = {
        name: tuple(numbers) for name, numbers in (("ratio", p.ratio), ("scale", p.scale)) if len(numbers)
    }
    return _proposal(
        s, stride=p.feat_stride, base_size=p.base_size, min_size=float(p.min_size), pre_nms=p.pre_nms_topn,
        post_nms=p.post_nms_topn, nms_threshold=p.nms_thresh, **given,
    )  # fmt: skip


def _proposal(s: Source, **attributes: object) -> Layer:
    _reads(s, "scores", "bbox_deltas", "im_info")
    outputs = [*s.node.outputs, f"{s.node.name}:scores"][:2]
    return s.layer_of("Proposal", *s.node.inputs, outputs=outputs, **attributes)


@caffe("Python")
def python(s: Source) -> Layer:
    """Code cannot be converted, but for the one layer that everybody has: py-faster-rcnn's proposals."""
    p = s.param.python_param
    if p.layer != "ProposalLayer":
        raise ConversionError(
            f"runs the Python code {p.module}.{p.layer}: take it out of the file, or register a layer for it"
        )
    stride = re.search(r"feat_stride\D*(\d+)", p.param_str)
    return _proposal(s, stride=int(stride[1]) if stride else 16)


@caffe("ROIPooling")
def roi_pooling(s: Source) -> Layer:
    p = s.param.roi_pooling_param
    _reads(s, "features", "rois")
    return s.layer_of(
        "ROIPooling", *s.node.inputs, pooled=(p.pooled_h, p.pooled_w), spatial_scale=p.spatial_scale
    )


@caffe("PSROIPooling")
def psroi_pooling(s: Source) -> Layer:
    p = s.param.psroi_pooling_param
    _reads(s, "features", "rois")
    if p.output_dim * p.group_size**2 != s.channels:
        raise ConversionError(
            f"output_dim is {p.output_dim} and group_size {p.group_size}, but C is {s.channels}"
        )
    return s.layer_of(
        "PSROIPooling", *s.node.inputs, pooled=(p.group_size,) * 2, spatial_scale=p.spatial_scale
    )
