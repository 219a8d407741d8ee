"""What else is done with windows of an image: Im2col, SPP, AdaptivePooling; and Upsample, which undoes a pooling.

Letters as ever; a window reaches over KH x KW places, or in dilation over every d-th of more.
"""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


def _check_pairs(layer: Layer, **least: int) -> None:
    for name, smallest in least.items():
        numbers = getattr(layer, name)
        count = 4 if name == "pad" else 2
        if len(numbers) != count or min(numbers) < smallest:
            raise AttributeValueError(
                f"{layer}: {name} is {numbers}: give {count} numbers of at least {smallest}"
            )


def _check_image(x: Spec) -> None:
    if x.ndim != 4:
        raise ShapeError(f"x is {x} but images are (N, C, H, W)")
    if 0 in x.shape[2:]:
        raise ShapeError(f"x is {x}: an image without pixels has no windows")


@layer("Im2col")
class Im2col(Layer):
    """y = each window of x as a column        x: (N, C, H, W) -> y: (N, C*KH*KW, OH, OW)

    y's channel (c*KH + i)*KW + j holds place (i, j) of every window of x's channel c; what lies in the padding is 0.
    A convolution is a product with y. caffe.proto ConvolutionParameter.

    kernel, stride, dilation  [h, w]        pad  [top, left, bottom, right]
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)

    def check(self) -> None:
        _check_pairs(self, kernel=1, stride=1, dilation=1, pad=0)

    def infer(self, x: Spec) -> Spec:
        _check_image(x)
        out = []
        for axis, size in enumerate(x.shape[2:]):
            extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            out.append((size + (self.pad[axis] + self.pad[axis + 2] - extent)) // self.stride[axis] + 1)
        if min(out) < 1:
            raise ShapeError(f"x is {x}: with pad {list(self.pad)} it is smaller than the kernel")
        return x.replace(shape=(x.shape[0], x.shape[1] * (self.kernel[0] * self.kernel[1]), *out))

    def reference(self, x):
        n, c = x.shape[:2]
        _, channels, oh, ow = self.infer(Spec(x.shape)).shape
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        top, left, bottom, right = self.pad
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        y = np.empty((n, c, kh, kw, oh, ow), np.float32)
        for i, j in np.ndindex(kh, kw):
            rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
            y[:, :, i, j] = x[:, :, rows, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
        return y.reshape(n, channels, oh, ow)


@layer("SPP")
class SPP(Layer):
    """y = the largest or mean x in 1, 2x2, 4x4, ... parts of the image    x: (N, C, H, W) -> y: (N, C*(1+4+16+...))

    Level l has B = 2**l parts each way, of k = ceil(H/B) rows: part i from i*k - p on, p = (k*B - H + 1) // 2 rows of
    it before the image. A mean counts those, too. Within a level, y's order is channels, rows, columns. Images of any
    size become vectors of one: He et al. 2014, arXiv:1406.4729. caffe.proto SPPParameter.

    levels  how many        method  "max" | "average"
    """

    levels: int
    method: str = "max"

    def check(self) -> None:
        if not 1 <= self.levels <= 12 or self.method not in ("max", "average"):
            raise AttributeValueError(
                f"{self}: levels is {self.levels} and method {self.method!r}: give 1 to 12, and max or average"
            )

    def infer(self, x: Spec) -> Spec:
        _check_image(x)
        for size in map(int, x.shape[2:]):
            k = -(-size // 2 ** (self.levels - 1))
            if (k * 2 ** (self.levels - 1) - size + 1) // 2 >= k:
                raise ShapeError(
                    f"x is {x}: {self.levels} levels cut it finer than its rows or columns allow"
                )
        parts = sum(4**level for level in range(self.levels))
        return x.replace(shape=(x.shape[0], x.shape[1] * parts), quantization=None)

    def reference(self, x):
        n, c, h, w = x.shape
        vectors = []
        for bins in (2**level for level in range(self.levels)):
            (kh, top), (kw, left) = self.windows(h, bins), self.windows(w, bins)
            y = np.zeros((n, c, bins, bins), np.float32)
            for i, j in np.ndindex(bins, bins):
                rows = slice(max(0, i * kh - top), (i + 1) * kh - top)
                part = x[:, :, rows, max(0, j * kw - left) : (j + 1) * kw - left]
                mean = part.sum((2, 3)) / (kh * kw)
                y[:, :, i, j] = part.max((2, 3)) if self.method == "max" else mean
            vectors.append(y.reshape(n, c * bins * bins))
        return np.concatenate(vectors, 1)

    @staticmethod
    def windows(size: int, bins: int) -> tuple[int, int]:
        """(how long a part is, how much of the first lies before the image)."""
        k = -(-size // bins)
        return k, (k * bins - size + 1) // 2


@layer("AdaptivePooling")
class AdaptivePooling(Layer):
    """y = max or average of x over OH x OW windows that cover it        x: (N, C, H, W) -> y: (N, C, OH, OW)

    Window i of OH reaches from row i*H // OH to row ceil((i+1)*H / OH): windows may differ in size and share rows.
    torch.nn.AdaptiveAvgPool2d, AdaptiveMaxPool2d.

    size    [OH, OW]; 0 for x's own        method  "max" | "average"
    """

    apart = each_image

    size: tuple[int, ...]
    method: str = "average"

    def check(self) -> None:
        _check_pairs(self, size=0)
        if self.method not in ("max", "average"):
            raise AttributeValueError(f"{self}: method is {self.method!r}: give 'max' or 'average'")

    def infer(self, x: Spec) -> Spec:
        _check_image(x)
        return x.replace(shape=(*x.shape[:2], *(o or s for o, s in zip(self.size, x.shape[2:], strict=True))))

    def windows(self, size: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """(first, one past the last) row of each window along an axis of `size` rows: 0 for height, 1 for width."""
        count = self.size[axis] or size
        places = np.arange(count + 1) * size
        return places[:-1] // count, -(-places[1:] // count)

    def reference(self, x):
        combine = np.max if self.method == "max" else np.mean
        for axis in (0, 1):
            parts = zip(*self.windows(x.shape[2 + axis], axis), strict=True)
            taken = [combine(x.take(range(a, b), 2 + axis), 2 + axis, keepdims=True) for a, b in parts]
            x = np.concatenate(taken, 2 + axis)
        return x


@layer("Upsample")
class Upsample(Layer):
    """y[mask] = x, and 0 elsewhere        x: (N, C, H, W), mask: (N, C, H, W) -> y: (N, C, OH, OW)

    mask says where in its plane of y each x belongs: row * OW + column, as PoolingMask does. Where several belong to
    one place, the last is there; none belongs outside. Badrinarayanan et al. 2015, arXiv:1511.00561;
    UpsampleParameter of their Caffe. ONNX MaxUnpool counts places through all planes.

    scale  [h, w]: OH = H * scale        size  [OH, OW]. Give one of the two
    """

    apart = each_image

    scale: tuple[int, ...] = ()
    size: tuple[int, ...] = ()

    def check(self) -> None:
        given = self.scale or self.size
        if (self.scale and self.size) or len(given) != 2 or min(given) < 1:
            raise AttributeValueError(
                f"{self}: scale is {self.scale} and size is {self.size}: give one of them, [h, w], above 0"
            )

    def infer(self, x: Spec, mask: Spec) -> Spec:
        if x.ndim != 4 or mask.shape != x.shape:
            raise ShapeError(f"x is {x} and mask {mask}: both are (N, C, H, W)")
        out = self.size or [s * by for s, by in zip(x.shape[2:], self.scale, strict=True)]
        return x.replace(shape=(*x.shape[:2], *out))

    def reference(self, x, mask):
        y = np.zeros(self.infer(Spec(x.shape), Spec(mask.shape)).shape, x.dtype)
        planes, places = y.reshape(*y.shape[:2], -1), mask.astype(np.int64).reshape(*x.shape[:2], -1)
        inside = (places >= 0) & (places < planes.shape[2])
        image, channel, at = np.nonzero(inside)
        planes[image, channel, places[inside]] = x.reshape(places.shape)[image, channel, at]
        return y
