"""Caffe's layers that read several blobs, move numbers, or look some up."""

from __future__ import annotations

from typing import Any

from ...engine.errors import ConversionError
from ...engine.layer import Layer
from ...engine.tensor import Tensor
from .mapping import Source, caffe, pair
from .prototxt import enum_name, shortest


@caffe("Eltwise")
def eltwise(s: Source) -> Layer:
    p = s.param.eltwise_param
    operation = enum_name(p, "operation")
    if operation not in ("SUM", "PROD", "MAX"):
        raise ConversionError(f"operation is {operation}: only SUM, PROD and MAX are known")
    coeff = () if operation == "MAX" or set(p.coeff) == {1.0} else tuple(map(shortest, p.coeff))
    return s.layer_of("Eltwise", *s.node.inputs, operation=operation.lower(), coeff=coeff)


@caffe("Concat")
def concat(s: Source) -> Layer:
    p = s.param.concat_param
    axis = p.concat_dim if p.HasField("concat_dim") else p.axis
    return s.layer_of("Concat", *s.node.inputs, axis=s.specs[0].axis(axis))


@caffe("Slice")
def slice_(s: Source) -> Layer:
    p = s.param.slice_param
    axis = s.specs[0].axis(p.slice_dim if p.HasField("slice_dim") else p.axis)
    return s.layer("Slice", axis=axis, points=tuple(p.slice_point))


@caffe("Flatten")
def flatten(s: Source) -> Layer:
    p = s.param.flatten_param
    return s.layer("Flatten", axis=p.axis, end_axis=p.end_axis)


@caffe("Reshape")
def reshape(s: Source) -> Layer:
    p = s.param.reshape_param
    return s.layer("Reshape", shape=tuple(p.shape.dim), axis=p.axis, num_axes=p.num_axes)


@caffe("Permute")
def permute(s: Source) -> Layer:
    """Axes that `order` leaves out follow in their own order."""
    order = list(s.param.permute_param.order)
    return s.layer("Permute", order=(*order, *(i for i in range(s.specs[0].ndim) if i not in order)))


@caffe("ShuffleChannel")
def shuffle_channel(s: Source) -> Layer:
    return s.layer("ShuffleChannel", group=s.param.shuffle_channel_param.group)


@caffe("Tile")
def tile(s: Source) -> Layer:
    p, rank = s.param.tile_param, s.specs[0].ndim
    if p.tiles < 1:
        raise ConversionError(f"tiles is {p.tiles}: it must be at least 1")
    axis = s.specs[0].axis(p.axis)
    return s.layer("Tile", repeats=tuple(p.tiles if i == axis else 1 for i in range(rank)))


@caffe("Crop")
def crop(s: Source) -> Layer:
    p = s.param.crop_param
    return s.layer_of("Crop", *s.node.inputs, axis=p.axis, offset=tuple(p.offset) or (0,))


@caffe("Filter")
def filter_(s: Source) -> Layer:
    """The tops have as many images as the bottoms: the selected ones first, then zeros."""
    return s.layer_of("Filter", *s.node.inputs)


@caffe("Axpy")
def axpy(s: Source) -> Layer:
    """a * x + y, with a number a for each channel of each image."""
    if len(s.node.inputs) != 3:
        raise ConversionError(f"reads {len(s.node.inputs)} blobs, but takes a, x and y")
    a, x, y = s.node.inputs
    (flat,) = s.add("Flatten", a) if s.specs[0].ndim > 2 else [a]
    return s.layer_of("Eltwise", *s.add("Scale", x, flat, axis=0), y)


# -- windows and sizes ---------------------------------------------------------------------------------------


@caffe("Im2col")
def im2col(s: Source) -> Layer:
    p = s.param.convolution_param
    return s.layer(
        "Im2col", kernel=pair(p, "kernel_size", "kernel", None), stride=pair(p, "stride", "stride", 1),
        pad=pair(p, "pad", "pad", 0) * 2, dilation=pair(p, "dilation", "dilation", 1),
    )  # fmt: skip


@caffe("SPP")
def spp(s: Source) -> Layer:
    p = s.param.spp_param
    method = {"MAX": "max", "AVE": "average"}.get(enum_name(p, "pool"))
    if method is None:
        raise ConversionError(f"pool is {enum_name(p, 'pool')}: only MAX and AVE are known")
    return s.layer("SPP", levels=p.pyramid_height, method=method)


@caffe("Interp")
def interp(s: Source) -> Layer:
    """The middles of corner pixels lie on each other. A padding may only cut."""
    p, x = s.param.interp_param, s.node.inputs[0]
    size = s.image()
    if p.pad_beg > 0 or p.pad_end > 0:
        raise ConversionError(
            f"pad_beg is {p.pad_beg} and pad_end {p.pad_end}: only cutting, below 0, is known"
        )
    if p.pad_beg or p.pad_end:
        end = -p.pad_end
        ends = tuple(n - end for n in size)
        (x,) = s.add("StridedSlice", x, starts=(-p.pad_beg,) * 2, ends=ends, axes=(2, 3))
        size = (size[0] + p.pad_beg - end, size[1] + p.pad_beg - end)
    if len(s.node.inputs) == 2:
        size = s.image(1)
    elif p.height and p.width:
        size = (p.height, p.width)
    else:
        if p.shrink_factor < 1 or p.zoom_factor < 1:
            raise ConversionError(
                f"shrink_factor is {p.shrink_factor} and zoom_factor {p.zoom_factor}: give 1 or more"
            )
        small = [(n - 1) // p.shrink_factor + 1 for n in size]
        size = (
            small[0] + (small[0] - 1) * (p.zoom_factor - 1),
            small[1] + (small[1] - 1) * (p.zoom_factor - 1),
        )
    return s.layer_of("Resize", x, method="linear", corners=True, size=tuple(map(int, size)))


@caffe("Upsample")
def upsample(s: Source) -> Layer:
    """SegNet's, by the places that a pooling took; without them each pixel is repeated, as YOLO's forks do."""
    p = s.param.upsample_param
    scale = (p.scale_h, p.scale_w) if p.scale_h and p.scale_w else (p.stride or int(p.scale),) * 2
    if len(s.node.inputs) == 1:
        return s.layer("Resize", scale=tuple(map(float, scale)))
    if p.upsample_h and p.upsample_w:
        return s.layer_of("Upsample", *s.node.inputs, size=(p.upsample_h, p.upsample_w))
    if p.pad_out_h or p.pad_out_w:
        h, w = s.image()
        size = (int(h * scale[0] - p.pad_out_h), int(w * scale[1] - p.pad_out_w))
        return s.layer_of("Upsample", *s.node.inputs, size=size)
    return s.layer_of("Upsample", *s.node.inputs, scale=scale)


# -- looking up, and counting --------------------------------------------------------------------------------


@caffe("Embed")
def embed(s: Source) -> Layer:
    p = s.param.embed_param
    if not p.num_output or not p.input_dim:
        raise ConversionError(
            f"num_output is {p.num_output} and input_dim {p.input_dim}: they must be above 0"
        )
    table = s.weight(0, "w", (p.input_dim, p.num_output))
    (index,) = s.add("Cast", *s.node.inputs, to="int64")
    if not p.bias_term:
        return s.layer_of("Gather", table, index)
    return s.layer_of("Bias", *s.add("Gather", table, index), s.weight(1, "b", (p.num_output,)), axis=-1)


@caffe("BatchReindex")
def batch_reindex(s: Source) -> Layer:
    if len(s.node.inputs) != 2 or s.specs[1].ndim != 1:
        raise ConversionError("reads something else than images and a list of their numbers")
    x, order = s.node.inputs
    return s.layer_of("Gather", x, *s.add("Cast", order, to="int64"))


@caffe("Reduction")
def reduction(s: Source) -> Layer:
    p, rank = s.param.reduction_param, s.specs[0].ndim
    operation = enum_name(p, "operation")
    if operation not in ("SUM", "ASUM", "SUMSQ", "MEAN"):
        raise ConversionError(f"operation is {operation}: only SUM, ASUM, SUMSQ and MEAN are known")
    axes = tuple(range(s.specs[0].axis(p.axis), rank))
    return s.layer("Reduction", operation=operation.lower(), axes=axes, coeff=p.coeff)


@caffe("ArgMax")
def argmax(s: Source) -> Layer:
    """Places as floats, largest first: along an axis; or of a whole image as (N, 1, K), with the values (N, 2, K)."""
    p, x, k = s.param.argmax_param, s.node.inputs[0], int(s.param.argmax_param.top_k)
    if p.HasField("axis"):
        values, places = s.add("TopK", x, outputs=2, k=k, axis=p.axis)
        return s.layer_of("Cast", places, to="fp32") if not p.out_max_val else _renamed(s, values)
    flat = s.add("Flatten", x) if s.specs[0].ndim > 2 else [x]
    values, places = s.add("TopK", *flat, outputs=2, k=k, axis=1)
    (places,) = s.add("Cast", places, to="fp32")
    row: dict[str, Any] = {"shape": (1,), "axis": 1, "num_axes": 0}
    if not p.out_max_val:
        return s.layer_of("Reshape", places, **row)
    return s.layer_of("Concat", *s.add("Reshape", places, **row), *s.add("Reshape", values, **row), axis=1)


def _renamed(s: Source, tensor: str) -> Layer:
    """The layer that was added last, as the node's own: it writes `tensor`."""
    last = s.layers.pop()
    outputs = [s.node.outputs[0] if o == tensor else o for o in last.outputs]
    return last.replace(name=s.node.name, outputs=outputs)


@caffe("Parameter")
def parameter(s: Source) -> None:
    shape = tuple(s.param.parameter_param.shape.dim)
    if not shape or min(shape) < 1:
        raise ConversionError(f"its shape is {list(shape)}: sizes above 0 are wanted")
    stored = s.weight(0, "b", shape)
    (top,) = s.node.outputs
    s.constants[top] = Tensor(top, stored.spec, lambda: stored.data)  # type: ignore[arg-type, return-value]
