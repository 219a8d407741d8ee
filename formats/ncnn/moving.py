"""Types that move numbers and leave them alone; and where they come from: inputs and stored blobs."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.errors import ConversionError
from ...engine.tensor import Spec, Tensor
from .graph import MOST_ELEMENTS, Source, ncnn

# Permute's order_type -> ncnn's axes of the result, the innermost first, by the number of axes
ORDERS = {
    2: ("WH", "HW"),
    3: ("WHC", "HWC", "WCH", "CWH", "HCW", "CHW"),
    4: (
        "WHDC", "HWDC", "WDHC", "DWHC", "HDWC", "DHWC", "WHCD", "HWCD", "WCHD", "CWHD", "HCWD", "CHWD",
        "WDCH", "DWCH", "WCDH", "CWDH", "DCWH", "CDWH", "HDCW", "DHCW", "HCDW", "CHDW", "DCHW", "CDHW",
    ),
}  # fmt: skip
KEEP_CHANNELS = (
    "BatchNorm",
    "Bias",
    "BinaryOp",
    "Interp",
    "Padding",
    "Power",
    "ReLU",
    "Scale",
    "Split",
    "UnaryOp",
)
USUAL = 224  # the usual height and width of an image whose size a file leaves open
NAMED = {1: "W", 2: "HW", 3: "CHW", 4: "CDHW"}  # axes by their number, from ours 1 on


def _given_shape(s: Source) -> tuple[int, ...]:
    """(c, d, h, w) without those that are 0."""
    w, h, d, c = map(s.integer, (0, 1, 11, 2))
    return (c, d, h, w) if d else (c, h, w) if c else (h, w) if h else (w,) if w else ()


@ncnn("Input")
def input_(s: Source) -> list[str]:
    for blob in s.node.outputs:
        told = _given_shape(s)
        shape = s.graph.shapes.get(blob, (1, *told) if told else ())
        if not shape:
            channels = _channels_read(s, blob)
            if not channels:
                hint = f"pass shapes={{{blob!r}: (N, C, H, W)}}"
                raise ConversionError(f"the file does not tell the shape of the input {blob!r}: {hint}")
            s.graph.guessed.append(blob)
            shape = (1, channels, USUAL, USUAL)
        if min(shape) < 1 or prod(shape) > MOST_ELEMENTS:
            raise ConversionError(f"the input {blob!r} has the shape {list(shape)}")
        s.graph.inputs[blob] = s.graph.specs[blob] = Spec(shape)
    return list(s.node.outputs)


def _channels_read(s: Source, blob: str) -> int:
    """C of an image, from the number of weights of a convolution that reads it; 0 if none does."""
    names = {blob}
    for node in s.graph.nodes:
        if node.type in KEEP_CHANNELS and names.intersection(node.inputs):
            names.update(node.outputs)
        if node.type == "Convolution" and names.intersection(node.inputs):
            width = node.integer(1)
            filters = node.integer(0) * width * node.integer(11, width)
            return node.integer(6) // filters if filters > 0 and node.integer(6) > 0 else 0
    return 0


@ncnn("MemoryData")
def memory_data(s: Source) -> str:
    (blob,) = s.node.outputs
    shape = _given_shape(s)
    if not shape:
        raise ConversionError("holds nothing")
    stored = s.weight("b", shape, tagged=s.integer(21, 1) == 0)
    s.graph.constants[blob] = Tensor(blob, stored.spec, lambda: stored.data)  # type: ignore[arg-type, return-value]
    s.graph.specs[blob] = stored.spec
    return blob


@ncnn("Split")
def split(s: Source) -> list[str]:
    return [s.inputs[0]] * len(s.node.outputs)


@ncnn("Noop")
def noop(s: Source) -> list[str]:
    return s.inputs[: len(s.node.outputs)]


@ncnn("Concat")
def concat(s: Source) -> str:
    constants = [i in s.graph.constants for i in s.inputs]
    if len(s.inputs) == 1 and not any(constants):
        return s.inputs[0]
    return _around_constants(s) if any(constants) else s.add("Concat", *s.inputs, axis=s.axis(s.integer(0)))


def _around_constants(s: Source) -> str:
    """Constants before and behind the one computed tensor: it is padded, and what is padded with added."""
    computed = [i for i, name in enumerate(s.inputs) if name not in s.graph.constants]
    if len(computed) != 1:
        raise ConversionError(f"joins constants and {len(computed)} computed tensors: one is supported")
    place, x = computed[0], s.inputs[computed[0]]
    shape = s.shape_of(x)[1:]
    axis = s.integer(0) % len(shape) if -len(shape) <= s.integer(0) < len(shape) else -1
    blocks = [s.graph.constants[name] for name in s.inputs if name != x]
    for block in blocks:
        fits = len(block.spec.shape) == len(shape)
        if not fits or any(
            a != b for i, (a, b) in enumerate(zip(block.spec.shape, shape, strict=True)) if i != axis
        ):
            raise ConversionError(
                f"joins {s.graph.specs[x]} with a constant {block.spec} along axis {s.integer(0)}"
            )
    sizes = [b.spec.shape[axis] for b in blocks]
    before, after, padded = sum(sizes[:place]), sum(sizes[place:]), len(shape) - axis
    if axis < 0 or padded > 3:
        raise ConversionError(f"joins constants along axis {s.integer(0)}, which is not supported")
    s.graph.sizes_fixed |= len(shape) == 3
    rest = [0] * (padded - 1)
    y = s.add("Pad", x, pads=[before, *rest, after, *rest])

    def data() -> np.ndarray:
        arrays = [np.asarray(b.data) for b in blocks]
        return np.concatenate([*arrays[:place], np.zeros(shape, np.float32), *arrays[place:]], axis)

    return s.add("Bias", y, s.derived("b", s.shape_of(y)[1:], data))


@ncnn("Slice")
def slice_(s: Source) -> list[str]:
    axis, count = s.axis(s.integer(1)), len(s.node.outputs)
    size, sizes, ends = s.shape[axis], s.integers(0), s.integers(2)
    points: list[int] = []
    for i in range(count - 1):
        at = points[-1] if points else 0
        if i < len(ends):
            points.append(ends[i] + size if ends[i] < 0 else ends[i])
        elif i < len(sizes):
            points.append(at + (sizes[i] if sizes[i] != -233 else (size - at) // (count - i)))
        else:
            raise ConversionError(f"has {count} outputs, but {len(sizes or ends)} sizes")
    if not points:
        return [s.x]
    equal = sizes[:count] == [-233] * count and size % count == 0
    results = s.add("Slice", axis=axis, points=() if equal else points, outputs=count)
    return list(results)


def cut(s: Source, x: str, axis: int, start: int, end: int) -> str:
    """x from start to end along one axis: a part of a Slice, and of the same one if it was cut there before."""
    size = s.shape_of(x)[axis]
    if not 0 <= start < end <= size:
        raise ConversionError(f"takes {start} to {end} of {s.graph.specs[x]}, axis {axis}")
    points = tuple(p for p in (start, end) if 0 < p < size)
    if not points:
        return x
    parts = s.graph.cuts.get((x, axis, points))
    if parts is None:
        parts = s.add("Slice", x, axis=axis, points=points, outputs=len(points) + 1)
        s.graph.cuts[x, axis, points] = parts
    place = 1 if start else 0
    return s.graph.names_of(parts)[place]


@ncnn("Crop")
def crop(s: Source) -> str:
    if 19 in s.node.params or 20 in s.node.params:
        raise ConversionError("its range is an expression, which is not supported")
    x = s.computed(s.inputs[0])
    shape = s.shape_of(x)
    rank = len(shape) - 1
    ranges: dict[int, tuple[int, int]] = {}
    if starts := s.integers(9):
        ends, axes = s.integers(10), s.integers(11) or list(range(rank))
        if not len(starts) == len(ends) == len(axes):
            raise ConversionError(
                f"starts are {starts}, ends {ends} and axes {axes}: as many of each are wanted"
            )
        for start, end, axis in zip(starts, ends, axes, strict=True):
            i = s.axis(axis)
            start, end = 0 if start == -233 else start, shape[i] if end == -233 else end
            start, end = start + shape[i] * (start < 0), min(shape[i], end + shape[i] * (end <= 0))
            ranges[i] = (start, end)
    else:
        like = s.shape_of(s.inputs[1]) if len(s.inputs) > 1 else ()
        keys = {"W": (0, 3, 6), "H": (1, 4, 7), "D": (13, 14, 15), "C": (2, 5, 8)}
        for i, letter in enumerate(NAMED[rank], 1):
            offset, size, behind = map(s.integer, keys[letter])
            size = like[i] if len(like) == len(shape) else size
            most = shape[i] - offset - behind
            ranges[i] = (offset, offset + (most if size == -233 else min(size, most)))
    for i, (start, end) in ranges.items():
        if i > 1 and rank == 3 and (start, end) != (0, shape[i]):
            s.graph.sizes_fixed = True
        x = cut(s, x, i, start, end)
    return x


@ncnn("Reshape")
def reshape(s: Source) -> str:
    """0 copies the axis of that name, -1 is what is left, -233 is no axis."""
    if any(key in s.node.params for key in (6, 12, 13)):
        raise ConversionError("a shape that is an expression, or moves the batch, is not supported")
    w, h, d, c = (s.integer(key, -233) for key in (0, 1, 11, 2))
    wanted = [w] if h == -233 else [h, w] if c == -233 else [c, h, w] if d == -233 else [c, d, h, w]
    old = dict(zip(NAMED[len(s.shape) - 1], s.shape[1:], strict=True))
    new = NAMED[len(wanted)]
    aligned = len(wanted) == len(old)
    sizes = [size or (0 if aligned else old.get(letter, 1)) for size, letter in zip(wanted, new, strict=True)]
    s.graph.sizes_fixed |= len(old) == 3 and any(
        not size and letter in "HW" for size, letter in zip(wanted, new, strict=True) if not aligned
    )
    return s.add("Reshape", shape=sizes, axis=1)


@ncnn("Flatten")
def flatten(s: Source) -> str:
    return s.add("Flatten")


@ncnn("Squeeze")
def squeeze(s: Source) -> str:
    """Axes of size 1 go, from the last, so that the numbers of the others stay."""
    named = NAMED[len(s.shape) - 1]
    flags = {letter for key, letter in ((0, "W"), (1, "H"), (11, "D"), (2, "C")) if s.integer(key)}
    axes = {s.axis(a) for a in s.integers(3)} or {
        named.index(letter) + 1 for letter in flags if letter in named
    }
    y = s.x
    for axis in sorted(axes, reverse=True):
        if s.shape[axis] == 1:
            y = s.add("Reshape", y, shape=(), axis=axis, num_axes=1)
    return y


@ncnn("ExpandDims")
def expand_dims(s: Source) -> str:
    rank = len(s.shape) - 1 + len(s.integers(3))
    y = s.x
    for axis in sorted(a % rank for a in s.integers(3)):
        y = s.add("Reshape", y, shape=(1,), axis=axis + 1, num_axes=0)
    return y


@ncnn("Permute")
def permute(s: Source) -> str:
    rank, kind = len(s.shape) - 1, s.integer(0)
    if rank not in ORDERS or not 0 <= kind < len(ORDERS[rank]):
        raise ConversionError(f"order_type is {kind}, but its input is {s.graph.specs[s.x]}")
    order = [NAMED[rank].index(letter) + 1 for letter in reversed(ORDERS[rank][kind])]
    return s.x if order == sorted(order) else s.add("Permute", order=(0, *order))


@ncnn("ShuffleChannel")
def shuffle_channel(s: Source) -> str:
    group, c = s.integer(0, 1), s.shape[1]
    if group < 1 or c % group:
        raise ConversionError(f"group is {group}, but its input is {s.graph.specs[s.x]}")
    return s.add("ShuffleChannel", group=c // group if s.integer(1) else group)


@ncnn("Tile")
def tile(s: Source) -> str:
    rank, repeats = len(s.shape) - 1, s.integers(2)
    if not repeats:
        at = s.axis(s.integer(0)) - 1
        repeats = [s.integer(1, 1) if i == at else 1 for i in range(rank)]
    if min(repeats) < 1 or len(repeats) > rank:
        raise ConversionError(f"repeats are {repeats}, but its input is {s.graph.specs[s.x]}")
    return s.add("Tile", repeats=[1] * (rank + 1 - len(repeats)) + repeats)


@ncnn("Flip")
def flip(s: Source) -> str:
    axes = sorted({s.axis(a) for a in s.integers(0)})
    if not axes:
        return s.x
    steps = [-1] * len(axes)
    return s.add("StridedSlice", starts=steps, ends=[-(2**31)] * len(axes), axes=axes, steps=steps)


@ncnn("Embed")
def embed(s: Source) -> str:
    """Words are numbers stored as floats."""
    wide, words = s.integer(0), s.integer(1)
    if s.integer(3) != wide * words or len(s.shape) != 2:
        raise ConversionError(
            f"has {s.integer(3)} weights for {words} words of {wide}, and reads {s.graph.specs[s.x]}"
        )
    table = s.weight("w", (words, wide), tagged=True)
    y = s.add("Gather", table, s.add("Cast", to="int64"))
    return s.add("Bias", y, s.weight("b", (wide,)), axis=-1) if s.integer(2) else y


@ncnn("DeepCopy", "Packing", "Cast")
def as_it_is(s: Source) -> str:
    """How numbers are laid out or stored is a device's business; they stay the same."""
    return s.x
