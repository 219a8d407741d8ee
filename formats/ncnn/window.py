"""Types that look at windows of an image: convolutions, pooling, and what changes an image's size."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...engine.errors import ConversionError
from ...engine.tensor import Tensor
from .function import activated
from .graph import Source, ncnn
from .integers import integers_of

SAME_UPPER, SAME_LOWER = (
    -233,
    -234,
)  # as a padding: as much as keeps ceil(size / stride), more behind or before


def _pair(s: Source, width: int, height: int, default: int) -> tuple[int, int]:
    """(h, w) of two keys; the height is the width if it is not given."""
    w = s.integer(width, default)
    return s.integer(height, w), w


def _pads(s: Source, left: int, top: int, right: int, bottom: int) -> tuple[int, ...]:
    """(top, left, bottom, right), each with ncnn's default."""
    w = s.integer(left)
    h = s.integer(top, w)
    return h, w, s.integer(bottom, h), s.integer(right, w)


def _same(s: Source, extents: tuple[int, ...], stride: tuple[int, int], lower: bool) -> tuple[int, ...]:
    """The padding that makes a result of ceil(size / stride)."""
    first, last = [], []
    sizes = (1, 1) if stride == (1, 1) else s.image()
    for size, extent, step in zip(sizes, extents, stride, strict=True):
        total = max(0, extent + (size - 1) // step * step - size)
        first.append(total - total // 2 if lower else total // 2)
        last.append(total // 2 if lower else total - total // 2)
    return (*first, *last)


def _geometry(s: Source) -> tuple[int, int, tuple[int, int], dict[str, Any]]:
    """C, M, the kernel, and the attributes that a convolution and its transpose share."""
    if len(s.shape) != 4:
        raise ConversionError(f"its input is {s.graph.specs[s.x]}, but images are (N, C, H, W)")
    channels, outputs, kernel = s.shape[1], s.integer(0), _pair(s, 1, 11, 0)
    group = s.integer(7, 1) if "DepthWise" in s.node.type else 1
    if min(outputs, group, *kernel) < 1 or channels % group or outputs % group:
        raise ConversionError(
            f"num_output is {outputs}, C is {channels}, group is {group} and the kernel {kernel}: they do not fit"
        )
    if s.number(18) and not s.node.type.startswith("Deconvolution"):
        raise ConversionError(f"pad_value is {s.number(18)}: only 0 is supported")
    if s.integer(28 if s.node.type.startswith("Deconvolution") else 19):
        raise ConversionError("dynamic_weight: weights that are computed are not supported")
    attributes: dict[str, Any] = {
        "stride": _pair(s, 3, 13, 1),
        "dilation": _pair(s, 2, 12, 1),
        "group": group,
    }
    if max(*kernel, *attributes["stride"], *attributes["dilation"]) > 2**20:
        raise ConversionError(f"its kernel {kernel}, stride or dilation is absurdly large")
    needs = channels // group * outputs * prod(kernel)
    if s.integer(6, needs) != needs:
        raise ConversionError(f"says that it has {s.integer(6)} weights, but its shapes need {needs}")
    return channels, outputs, kernel, attributes


def _extents(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, ...]:
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


@ncnn("Convolution", "ConvolutionDepthWise")
def convolution(s: Source) -> str:
    if len(s.shape) == 2 and _pair(s, 1, 11, 0) == (1, 1):
        return _convolution_of_a_vector(s)
    channels, outputs, kernel, attributes = _geometry(s)
    per_group = channels // attributes["group"]
    pads = _pads(s, 4, 14, 15, 16)
    if set(pads) in ({SAME_UPPER}, {SAME_LOWER}):
        extents = _extents(kernel, attributes["dilation"])
        pads = _same(s, extents, attributes["stride"], lower=pads[0] == SAME_LOWER)
    w = s.weight("w", (outputs, per_group, *kernel), fan_in=per_group * prod(kernel), tagged=True)
    b = [s.weight("b", (outputs,))] if s.integer(5) else []
    given = integers_of(s, w, outputs, attributes["group"] if "DepthWise" in s.node.type else outputs)
    y = s.add("Convolution", given.x, given.w, *b, pad=[max(0, p) for p in pads], **attributes)
    return given.result(activated(s, y))


def _convolution_of_a_vector(s: Source) -> str:
    """ncnn lets a 1x1 convolution read a vector."""
    outputs = s.integer(0)
    w = s.weight("w", (outputs, s.shape[1]), fan_in=s.shape[1], tagged=True)
    b = [s.weight("b", (outputs,))] if s.integer(5) else []
    given = integers_of(s, w, outputs, outputs)
    return given.result(activated(s, s.add("InnerProduct", given.x, given.w, *b)))


@ncnn("Deconvolution", "DeconvolutionDepthWise")
def deconvolution(s: Source) -> str:
    channels, outputs, kernel, attributes = _geometry(s)
    group, stride = attributes["group"], attributes["stride"]
    per_group = channels // group
    overlap = max(1, prod(kernel) // prod(stride))
    stored = s.weight("w", (outputs, per_group, *kernel), fan_in=per_group * overlap, tagged=True)
    b = [s.weight("b", (outputs,))] if s.integer(5) else []
    pads = _pads(s, 4, 14, 15, 16)
    right = s.integer(18)
    output_pad = (s.integer(19, right), right)
    size = (s.integer(21, s.integer(20)), s.integer(20))
    if max(pads) <= 0 and min(size) > 0 and min(pads) < 0:
        cut = [
            (h - 1) * step + extent + more - wanted
            for h, step, extent, more, wanted in zip(
                s.image(), stride, _extents(kernel, attributes["dilation"]), output_pad, size, strict=True
            )
        ]
        small, large = [c // 2 for c in cut], [c - c // 2 for c in cut]
        pads = (*large, *small) if SAME_LOWER in pads else (*small, *large)
    w = _transposed(s, stored, group)
    pad = [max(0, p) for p in pads]
    return activated(s, s.add("Deconvolution", s.x, w, *b, pad=pad, output_pad=output_pad, **attributes))


def _transposed(s: Source, stored: Tensor, group: int) -> Tensor:
    """(M, C/group, KH, KW) as the (C, M/group, KH, KW) that Deconvolution takes."""
    m, c, *kernel = stored.spec.shape

    def data() -> np.ndarray:
        grouped = np.asarray(stored.data).reshape(group, m // group, c, *kernel)
        return grouped.swapaxes(1, 2).reshape(group * c, m // group, *kernel)

    return s.derived("w", (group * c, m // group, *kernel), data)


@ncnn("Pooling")
def pooling(s: Source) -> str:
    kinds = {0: "max", 1: "average"}
    if s.integer(0) not in kinds:
        raise ConversionError(f"pooling_type is {s.integer(0)}: only 0 (max) and 1 (average) are known")
    method = kinds[s.integer(0)]
    if s.integer(4):
        return s.add("Flatten", s.add("Pooling", method=method, global_pooling=True))
    if s.integer(7):
        return _adaptive(s, method)
    kernel, stride = _pair(s, 1, 11, 0), _pair(s, 2, 12, 1)
    pads, mode = _pads(s, 3, 13, 14, 15), s.integer(5)
    if len(s.shape) != 4 or min(*kernel, *stride) < 1 or mode not in (0, 1, 2, 3):
        raise ConversionError(f"its kernel is {kernel}, its stride {stride}, and pad_mode {mode}")
    ceil, counts = mode == 0 and stride != (1, 1), bool(s.integer(6))
    if mode in (2, 3):
        pads, counts = _same(s, kernel, stride, lower=mode == 3), True
    # where a window could begin in the padding, or one that sticks out counts in full, we leave none to `ceil`
    begins = any(step > k - after for step, k, after in zip(stride, kernel, pads[2:], strict=True))
    if ceil and (begins or (counts and method == "average")):
        tails = [
            -(size + before + after - k) % step
            for size, before, after, k, step in zip(
                s.image(), pads[:2], pads[2:], kernel, stride, strict=True
            )
        ]
        pads, ceil = (*pads[:2], *(p + t for p, t in zip(pads[2:], tails, strict=True))), False
    return s.add(
        "Pooling", method=method, kernel=kernel, stride=stride, pad=pads, ceil=ceil,
        count_pad=counts or not any(pads),
    )  # fmt: skip


def _adaptive(s: Source, method: str) -> str:
    """Windows as large as it takes to get out_h x out_w of them."""
    out = _pair(s, 8, 18, 0)
    if out == (1, 1):
        return s.add("Pooling", method=method, global_pooling=True)
    if len(s.shape) != 4 or any(o < 1 and o != -233 for o in out):
        raise ConversionError(
            f"adaptive pooling of {s.shape[1:]} to {out}: an image and its parts are wanted"
        )
    size = [0 if o == -233 else o for o in out]
    return s.add("AdaptivePooling", method=method, size=size) if any(size) else s.x


@ncnn("Interp")
def interp(s: Source) -> str:
    methods = {1: "nearest", 2: "linear", 3: "cubic"}
    if s.integer(0) not in methods:
        raise ConversionError(
            f"resize_type is {s.integer(0)}: only 1 (nearest), 2 (bilinear) and 3 (bicubic) are known"
        )
    if 9 in s.node.params:
        raise ConversionError("its size is an expression, which is not supported")
    method = methods[s.integer(0)]
    how: dict[str, Any] = {"method": method, "corners": bool(s.integer(6)) and method != "nearest"}
    x = s.computed(s.inputs[0])
    size: tuple[int, ...] = (s.integer(3), s.integer(4))
    scale = (s.number(1, 1.0), s.number(2, 1.0))
    shape = s.shape_of(x)
    if len(shape) != 4:
        raise ConversionError(f"its input is {s.graph.specs[x]}, but images are (N, C, H, W)")
    if len(s.inputs) == 2:  # as large as another
        size = s.shape_of(s.inputs[1])[2:]
        if len(size) == 2 and not size[0] % shape[2] and not size[1] % shape[3]:
            return s.add("Resize", x, scale=(size[0] // shape[2], size[1] // shape[3]), **how)
        s.graph.sizes_fixed = True
    if min(size, default=0) > 0:
        return s.add("Resize", x, size=size, **how)
    return s.add("Resize", x, scale=scale, **how)


@ncnn("Padding")
def padding(s: Source) -> str:
    modes = {0: "constant", 1: "edge", 2: "reflect"}
    if s.integer(4) not in modes:
        raise ConversionError(
            f"type is {s.integer(4)}: only 0 (a constant), 1 (the edge) and 2 (a mirror) are known"
        )
    if s.integer(6):
        raise ConversionError("a value for each channel is not supported")
    top, bottom, left, right, front, behind = map(s.integer, (0, 1, 2, 3, 7, 8))
    rank = len(s.shape) - 1
    before, after = [front, top, left], [behind, bottom, right]
    used = 3 if front or behind else 2 if rank > 1 else 1
    if rank < used:
        raise ConversionError(f"pads {used} axes, but its input is {s.graph.specs[s.x]}")
    return s.add("Pad", pads=[*before[-used:], *after[-used:]], value=s.number(5), mode=modes[s.integer(4)])


@ncnn("PixelShuffle", "Reorg")
def pixel_shuffle(s: Source) -> str:
    """A block's pixels as channels: of each channel its own side by side, or in mode 1 those of one place."""
    r, mode = s.integer(0, 1), s.integer(1)
    if mode not in (0, 1) or r < 1:
        raise ConversionError(f"the block is {r} and mode {mode}: 1 or more, and 0 or 1, are known")
    kind = "DepthToSpace" if s.node.type == "PixelShuffle" else "SpaceToDepth"
    return s.add(kind, block=r, mode="DCR" if mode else "CRD")


@ncnn("SPP")
def spp(s: Source) -> str:
    methods = {0: "max", 1: "average"}
    if s.integer(0) not in methods:
        raise ConversionError(f"pooling_type is {s.integer(0)}: only 0 (max) and 1 (average) are known")
    return s.add("SPP", levels=s.integer(1, 1), method=methods[s.integer(0)])


@ncnn("Unfold")
def unfold(s: Source) -> str:
    """Windows as columns: (C*KH*KW, OH*OW)."""
    pads = _pads(s, 4, 14, 15, 16)
    if len(s.shape) != 4 or min(pads) < 0:
        raise ConversionError(f"its input is {s.graph.specs[s.x]} and its padding {pads}")
    columns = s.add(
        "Im2col", kernel=_pair(s, 1, 11, 0), stride=_pair(s, 3, 13, 1), dilation=_pair(s, 2, 12, 1), pad=pads
    )
    return s.add("Flatten", columns, axis=2)
