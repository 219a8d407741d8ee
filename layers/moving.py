"""The same numbers in other places, by rules known beforehand: cut, repeated, unfolded, masked."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Dim, Spec


@layer("StridedSlice")
class StridedSlice(Layer):
    """y = x[starts:ends:steps] along each of `axes`        x: (...) -> y: (...)

    Numpy's rule: what is negative counts from the end, and what lies outside ends at x's edge. A step may be negative;
    an end before the first element, like -2**31, then means 'up to the first'. ONNX Slice.

    axes   () for the first axes, as many as there are starts        steps  () for 1 everywhere
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    axes: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()

    def check(self) -> None:
        counts = {len(self.starts), len(self.ends)} | {len(t) for t in (self.axes, self.steps) if t}
        if len(counts) != 1:
            raise AttributeValueError(
                f"{self}: starts, ends, axes and steps name {sorted(counts)} axes: the same number wanted"
            )
        if 0 in self.steps:
            raise AttributeValueError(f"{self}: steps is {self.steps}: no step is 0")

    def cuts(self, x: Spec) -> list[slice]:
        """A slice for each axis of x."""
        found = [slice(None)] * x.ndim
        named = [x.axis(a) for a in self.axes] if self.axes else range(len(self.starts))
        if len(set(named)) != len(named) or len(named) > x.ndim:
            raise ShapeError(f"x is {x} but axes are {list(named)}: name each axis of x once")
        steps = self.steps or (1,) * len(self.starts)
        for axis, start, end, step in zip(named, self.starts, self.ends, steps, strict=True):
            found[axis] = slice(start, end, step)
        return found

    def apart(self, x: Spec) -> bool:
        return 0 not in {axis % x.ndim for axis in self.axes or range(len(self.starts))}

    def infer(self, x: Spec) -> Spec:
        sizes = [
            s if c == slice(None) else cut_size(s, c) for s, c in zip(x.shape, self.cuts(x), strict=True)
        ]
        return x.replace(shape=sizes)

    def reference(self, x):
        return x[tuple(self.cuts(Spec(x.shape)))]


def cut_size(size: int, cut: slice) -> int:
    """How many elements a slice leaves of `size`; a Dim where that depends on a size that may change."""
    low, high, step = cut.indices(int(size))
    if not isinstance(size, Dim):
        return len(range(low, high, step))
    if len(range(low, high, step)) == 0:
        return 0
    first, end = _place(cut.start, low, size), _place(cut.stop, high, size)
    if isinstance(first, Dim) and isinstance(end, Dim):
        first, end = low, high  # both move with the size: what is between them stays
    span = end - first if step > 0 else first - end
    return (span + (abs(step) - 1)) // abs(step)


def _place(given: int, found: int, size: int) -> int:
    """Where a slice begins or ends, as arithmetic on `size` where it counts from its end or was cut off there."""
    if given != found and (given >= int(size) or given + int(size) == found):
        return size - (int(size) - found)
    return found


@layer("Tile")
class Tile(Layer):
    """y = x repeated, whole, repeats[i] times along axis i        x: (N, C) -> y: (N * repeats[0], C * repeats[1])

    ONNX Tile. caffe.proto TileParameter is repeats that are 1 but for one axis.
    """

    repeats: tuple[int, ...]

    def check(self) -> None:
        if any(r < 0 for r in self.repeats):
            raise AttributeValueError(f"{self}: repeats is {self.repeats}: numbers of at least 0 wanted")

    def infer(self, x: Spec) -> Spec:
        if len(self.repeats) != x.ndim:
            raise ShapeError(f"x is {x} but repeats is {self.repeats}: a number for each of its axes wanted")
        return x.replace(shape=[s * r for s, r in zip(x.shape, self.repeats, strict=True)])

    def reference(self, x):
        return np.tile(x, self.repeats)


@layer("Expand")
class Expand(Layer):
    """y = x broadcast together with a tensor of `shape`        x: (..., 1) -> y: (..., K)

    A size of 1 in `shape` leaves x's size; shorter shapes get axes of size 1 in front. ONNX Expand.
    """

    shape: tuple[int, ...]

    def infer(self, x: Spec) -> Spec:
        rank = max(x.ndim, len(self.shape))
        own = (1,) * (rank - x.ndim) + x.shape
        wanted = (1,) * (rank - len(self.shape)) + self.shape
        for size, w in zip(own, wanted, strict=True):
            if w not in (1, size) and size != 1:
                raise ShapeError(f"x is {x} but shape is {list(self.shape)}: {size} cannot become {w}")
        return x.replace(
            shape=[s if w == 1 else w if s == 1 else s for s, w in zip(own, wanted, strict=True)]
        )

    def reference(self, x):
        return np.broadcast_to(x, self.infer(Spec(x.shape)).shape)


@layer("DepthToSpace")
class DepthToSpace(Layer):
    """y[c, h*block + i, w*block + j] = x[(i*block + j) * C + c, h, w]    x: (N, C*block**2, H, W) -> y: (N,C,H',W')

    mode  "DCR": as above        "CRD": x's channels are (C, block, block), sub-pixel convolution (Shi et al. 2016,
    arXiv:1609.05158). ONNX DepthToSpace; ncnn's PixelShuffle is CRD.
    """

    apart = each_image

    block: int
    mode: str = "DCR"

    def check(self) -> None:
        _check_block(self)

    def infer(self, x: Spec) -> Spec:
        b = self.block
        if x.ndim != 4 or x.shape[1] % (b * b):
            raise ShapeError(f"x is {x}: images (N, C, H, W) wanted, with C a multiple of {b * b}")
        n, c, h, w = x.shape
        return x.replace(shape=(n, c // (b * b), h * b, w * b))

    def reference(self, x):
        (n, c, h, w), b = x.shape, self.block
        if self.mode == "DCR":
            y = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(n, c // (b * b), h * b, w * b)


@layer("SpaceToDepth")
class SpaceToDepth(Layer):
    """y[(i*block + j) * C + c, h, w] = x[c, h*block + i, w*block + j]     x: (N, C, H, W) -> y: (N, C*block**2, H', W')

    DepthToSpace backwards: mode "DCR" as above, "CRD" with y's channels as (C, block, block). ONNX SpaceToDepth is DCR;
    ncnn's Reorg is CRD.
    """

    apart = each_image

    block: int
    mode: str = "DCR"

    def check(self) -> None:
        _check_block(self)

    def infer(self, x: Spec) -> Spec:
        b = self.block
        if x.ndim != 4 or x.shape[2] % b or x.shape[3] % b:
            raise ShapeError(f"x is {x}: images (N, C, H, W) wanted, with H and W multiples of {b}")
        n, c, h, w = x.shape
        return x.replace(shape=(n, c * (b * b), h // b, w // b))

    def reference(self, x):
        (n, c, h, w), b = x.shape, self.block
        y = x.reshape(n, c, h // b, b, w // b, b)
        y = y.transpose(0, 3, 5, 1, 2, 4) if self.mode == "DCR" else y.transpose(0, 1, 3, 5, 2, 4)
        return y.reshape(n, c * b * b, h // b, w // b)


def _check_block(layer: DepthToSpace | SpaceToDepth) -> None:
    if layer.block < 1:
        raise AttributeValueError(f"{layer}: block is {layer.block}: it must be at least 1")
    if layer.mode not in ("DCR", "CRD"):
        raise AttributeValueError(f"{layer}: mode is {layer.mode!r}: give 'DCR' or 'CRD'")


@layer("Trilu")
class Trilu(Layer):
    """y[i, j] = x[i, j] if j <= i + k else 0        x: (..., H, W) -> y: (..., H, W)

    With `upper`, where j >= i + k. ONNX Trilu.
    """

    k: int = 0
    upper: bool = True

    def infer(self, x: Spec) -> Spec:
        if x.ndim < 2:
            raise ShapeError(f"x is {x} but Trilu wants matrices: (..., H, W)")
        return x

    def reference(self, x):
        return np.triu(x, self.k) if self.upper else np.tril(x, self.k)


@layer("ReverseSequence")
class ReverseSequence(Layer):
    """y = x with its first lengths[n] elements in time turned round     x: (T, N, ...), lengths: (N,) -> y: (T, N, ...)

    ONNX ReverseSequence.
    """

    time_axis: int = 0
    batch_axis: int = 1

    def infer(self, x: Spec, lengths: Spec) -> Spec:
        batch, time = x.axis(self.batch_axis), x.axis(self.time_axis)
        if batch == time or lengths.shape != (x.shape[batch],):
            raise ShapeError(f"x is {x} but lengths is {lengths}: a length for each of axis {batch} wanted")
        return x

    def reference(self, x, lengths):
        turned = np.moveaxis(x, (self.batch_axis, self.time_axis), (0, 1))
        y = turned.copy()
        for n, length in enumerate(lengths):
            y[n, :length] = turned[n, :length][::-1]
        return np.moveaxis(y, (0, 1), (self.batch_axis, self.time_axis))
