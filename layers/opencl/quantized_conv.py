"""QuantizedConvolution, QuantizedInnerProduct and QuantizedDeconvolution on OpenCL: the same loops over whole numbers,
and at the end the integer specification, an operation at a time (requantize.cl)."""

from __future__ import annotations

from math import prod

from ...engine.kernel import Call, Stage, kernel
from ..quantized import QuantizedConvolution, QuantizedDeconvolution, QuantizedInnerProduct
from .conv import TILES, constant_weights, geometry, one_filter_a_channel, optional, packed, tiled
from .source import variant, written_in

TO = {"int8": 0, "fp32": 1, "int32": 2}  # what a layer stores, as the .cl files number it
INTEGERS = dict(number="int", HALVES=0, TO=0)


@written_in(
    "rounding.cl",
    "geometry.cl",
    "vectors.cl",
    "places.cl",
    "tile.cl",
    "requantize.cl",
    "quantized_conv.cl",
    **INTEGERS,
)
def quantized_conv(
    x, w, b, multiplier, slope, residual, gate, residual_zero, residual_multiplier, low, high, zero, y, c, h, width, m,
    oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group, places, blocks, x_zero, size_x,
    size_y, size_z, local_x, local_y,
):  # fmt: skip
    """Written in quantized_conv.cl."""


@written_in(
    "rounding.cl", "geometry.cl", "direct.cl", "spread.cl", "requantize.cl", "quantized_result.cl", SUM="direct",
    **INTEGERS,
)  # fmt: skip
def quantized_result(
    x, w, b, multiplier, slope, residual, gate, residual_zero, residual_multiplier, low, high, zero, y, c, h, width, m,
    oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group, x_zero, items,
):  # fmt: skip
    """Written in quantized_result.cl."""


def limits(low: int, high: int, zero: int) -> dict[str, float]:
    """`rounded`'s parameters after v."""
    return dict(low=float(low - zero), high=float(high - zero), zero=float(zero))


def rescaling(call: Call) -> dict:
    """The parameters of requantize.cl."""
    layer = call.layer
    inputs = optional(call, "b", "multiplier", "slope", "residual", "gate")
    return inputs | limits(layer.low, layer.high, layer.zero) | dict(residual_zero=float(layer.residual_zero))


def bind_tile(tile: tuple[int, int, int]):
    def bind(call: Call) -> Stage:
        bound = tiled(call, tile) | rescaling(call)
        bound["w"] = packed(call.constants["w"], bound["group"], tile[0])
        name, to = "tile_{}x{}_{}".format(*tile), TO[call.layer.to]
        return Stage(bound, function=variant(quantized_conv, name, TM=tile[0], TN=tile[1], TO=to))

    return bind


def bind_result(call: Call) -> Stage:
    """One result a work-item: a convolution's, or a deconvolution's, which is summed up in another way."""
    bound = dict(x=call.flat("x"), w=call.flat("w"), y=call.flat("y"), items=prod(call.shape("y")))
    way = "spread" if call.layer.type == "QuantizedDeconvolution" else "direct"
    function = variant(quantized_result, f"quantized_{way}", TO=TO[call.layer.to], SUM=way)
    return Stage(bound | geometry(call) | rescaling(call), function=function)


for _number, _tile in enumerate(TILES):
    _options = dict(
        device="opencl", dtype="int8", bind=bind_tile(_tile), when=constant_weights,
        score=3.0 if _number else 4.0, name="tile_{}x{}_{}".format(*_tile),
    )  # fmt: skip
    kernel(QuantizedConvolution, **_options)(quantized_conv)
    kernel(QuantizedInnerProduct, **_options)(quantized_conv)
kernel(
    QuantizedConvolution, device="opencl", dtype="int8", bind=bind_result, when=one_filter_a_channel, score=8.0,
    name="depthwise",
)(quantized_result)  # fmt: skip
for _layer in (QuantizedConvolution, QuantizedInnerProduct, QuantizedDeconvolution):
    kernel(_layer, device="opencl", dtype="int8", bind=bind_result, name="direct")(quantized_result)
