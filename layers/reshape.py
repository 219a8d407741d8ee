"""The same numbers in another shape, order or frame: Flatten, Reshape, Permute, ShuffleChannel, Pad."""

from __future__ import annotations

from math import prod

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("Flatten")
class Flatten(Layer):
    """y = x with the axes from `axis` to `end_axis` as one        x: (N, C, H, W) -> y: (N, C*H*W)

    caffe.proto FlattenParameter.
    """

    apart = each_image

    alias = True

    axis: int = 1
    end_axis: int = -1

    def infer(self, x: Spec) -> Spec:
        first, last = x.axis(self.axis), x.axis(self.end_axis)
        if first > last:
            raise ShapeError(f"x is {x}: axis {first} lies after end_axis {last}")
        return x.replace(shape=(*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))

    def reference(self, x):
        return x.reshape(self.infer(Spec(x.shape)).shape)


@layer("Reshape")
class Reshape(Layer):
    """y = x with num_axes axes from `axis` on replaced by `shape`        x: (...) -> y: (...)

    In `shape`, 0 copies the size that x has there and one -1 is whatever is left. num_axes=-1 replaces all
    axes from `axis` on; a negative axis counts from behind the last: -1 inserts after it. caffe.proto
    ReshapeParameter.
    """

    apart = each_image

    alias = True

    shape: tuple[int, ...]
    axis: int = 0
    num_axes: int = -1

    def check(self) -> None:
        if any(size < -1 for size in self.shape) or self.shape.count(-1) > 1:
            raise AttributeValueError(
                f"{self}: shape is {self.shape}: give sizes, 0 to copy, and at most one -1"
            )
        if self.num_axes < -1:
            raise AttributeValueError(
                f"{self}: num_axes is {self.num_axes}: give how many axes, or -1 for all"
            )

    def infer(self, x: Spec) -> Spec:
        start = self.axis if self.axis >= 0 else x.ndim + self.axis + 1
        end = x.ndim if self.num_axes == -1 else start + self.num_axes
        if not 0 <= start <= end <= x.ndim:
            raise ShapeError(f"x is {x}: it has no axes {start} to {end - 1} to replace")
        copied = {i for i, size in enumerate(self.shape) if size == 0}
        if copied and start + max(copied) >= end:
            raise ShapeError(f"x is {x} but shape is {self.shape}: its last 0 has no axis to copy")
        # copied sizes cancel: leaving them out keeps symbols short, and a batch of 0 possible
        left = prod(size for i, size in enumerate(x.shape[start:end]) if i not in copied)
        given = prod(size for size in self.shape if size > 0)
        if left % given if -1 in self.shape else left != given:
            raise ShapeError(f"x is {x} but shape is {self.shape}: {left} numbers do not fill {given}")
        sizes = [
            x.shape[start + i] if size == 0 else left // given if size == -1 else size
            for i, size in enumerate(self.shape)
        ]
        return x.replace(shape=(*x.shape[:start], *sizes, *x.shape[end:]))

    def reference(self, x):
        return x.reshape(self.infer(Spec(x.shape)).shape)


@layer("Permute")
class Permute(Layer):
    """y = x with its axes reordered: y's axis i is x's axis order[i]    x: (N, C, H, W) -> y: (N, H, W, C)

    Liu et al. 2015, arXiv:1512.02325; their Caffe's PermuteParameter. ONNX Transpose.
    """

    order: tuple[int, ...]

    def check(self) -> None:
        if sorted(self.order) != list(range(len(self.order))):
            raise AttributeValueError(f"{self}: order is {self.order}: name each axis from 0 on, once")

    def apart(self, x: Spec) -> bool:
        return self.order[0] == 0

    def infer(self, x: Spec) -> Spec:
        if x.ndim != len(self.order):
            raise ShapeError(f"x is {x} but order is {self.order}: name each of its {x.ndim} axes")
        return x.replace(shape=[x.shape[axis] for axis in self.order])

    def reference(self, x):
        return x.transpose(self.order)


@layer("ShuffleChannel")
class ShuffleChannel(Layer):
    """y[:, k * group + g] = x[:, g * C/group + k]        x: (N, C, ...) -> y: (N, C, ...)

    The first channel of each group, then the second of each, and so on: (group, C/group) transposed. Zhang et al.
    2017, arXiv:1707.01083; their Caffe's ShuffleChannelParameter.
    """

    apart = each_image

    group: int = 1

    def check(self) -> None:
        if self.group < 1:
            raise AttributeValueError(f"{self}: group is {self.group}: it must be at least 1")

    def infer(self, x: Spec) -> Spec:
        if x.ndim < 2 or x.shape[1] % self.group:
            raise ShapeError(f"x is {x}: its axis 1 must be channels, a multiple of group={self.group}")
        return x

    def reference(self, x):
        n, c, *rest = x.shape
        return x.reshape(n, self.group, c // self.group, *rest).swapaxes(1, 2).reshape(x.shape)


@layer("Pad")
class Pad(Layer):
    """y = x framed by `value`        x: (..., H, W) -> y: (..., top + H + bottom, left + W + right)

    ONNX Pad.

    pads  how much before each of the last axes, then how much after each: [top, left, bottom, right] for two,
          [front, top, left, back, bottom, right] for three, [left, right] for one, and so on
    mode  "constant": with `value`      "edge": with the nearest element      "reflect": mirrored at the edge element
          "wrap": with what is at the other end
    """

    apart = each_image

    pads: tuple[int, ...]
    value: float = 0.0
    mode: str = "constant"

    def check(self) -> None:
        if not self.pads or len(self.pads) % 2 or min(self.pads) < 0:
            raise AttributeValueError(
                f"{self}: pads is {self.pads}: give two numbers of at least 0 for each axis"
            )
        if self.mode not in ("constant", "edge", "reflect", "wrap"):
            raise AttributeValueError(
                f"{self}: mode is {self.mode!r}: give 'constant', 'edge', 'reflect' or 'wrap'"
            )

    def frame(self, ndim: int) -> list[tuple[int, int]]:
        """(before, after) of each of x's `ndim` axes."""
        padded = len(self.pads) // 2
        return [(0, 0)] * (ndim - padded) + list(zip(self.pads[:padded], self.pads[padded:], strict=True))

    def infer(self, x: Spec) -> Spec:
        if x.ndim < len(self.pads) // 2:
            wanted = {2: "(..., W)", 4: "(..., H, W)", 6: "(..., D, H, W)"}.get(len(self.pads))
            raise ShapeError(f"x is {x} but Pad wants {wanted or f'{len(self.pads) // 2} axes'}")
        frame = self.frame(x.ndim)
        if self.mode != "constant" and any(sum(f) and s == 0 for s, f in zip(x.shape, frame, strict=True)):
            raise ShapeError(f"x is {x}: an axis without elements has nothing to pad with")
        return x.replace(
            shape=[s + (before + after) for s, (before, after) in zip(x.shape, frame, strict=True)]
        )

    def places(self, size: int, before: int, after: int) -> np.ndarray:
        """Which of `size` elements of x lies at each place along an axis of y; not for mode "constant"."""
        at = np.arange(-before, size + after)
        if self.mode == "edge":
            return np.clip(at, 0, size - 1)
        if self.mode == "wrap":
            return at % size
        turn = at % max(1, 2 * (size - 1))
        return np.minimum(turn, 2 * (size - 1) - turn) if size > 1 else np.zeros_like(at)

    def reference(self, x):
        frame = self.frame(x.ndim)
        if self.mode == "constant":
            return np.pad(x, frame, constant_values=x.dtype.type(self.value))
        for axis, (before, after) in enumerate(frame):
            if before or after:
                x = x.take(self.places(x.shape[axis], before, after), axis)
        return x
