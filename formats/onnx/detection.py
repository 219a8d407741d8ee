"""Operators of detectors: parts of an image's features about boxes."""

from __future__ import annotations

from ..graph import Graph
from ..value import Node, Value
from .graph import operator


@operator("RoiAlign")
def roi_align(g: Graph, node: Node, x: Value, rois: Value, images: Value) -> Value:
    """Before opset 16 places were not counted from their middles."""
    usual = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    return g.add(
        "RoiAlign", x, rois, images,
        pooled=(node.get("output_height", 1), node.get("output_width", 1)),
        spatial_scale=node.get("spatial_scale", 1.0), sampling=node.get("sampling_ratio", 0),
        aligned=node.get("coordinate_transformation_mode", usual) == "half_pixel",
        method={"avg": "average"}.get(node.get("mode", "avg"), node.get("mode")),
    )  # fmt: skip
