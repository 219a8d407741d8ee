"""ImageColor: pixels in other colours."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec

PACKED = {
    "RGB": (0, 1, 2),
    "BGR": (2, 1, 0),
    "RGBA": (0, 1, 2),
    "BGRA": (2, 1, 0),
    "GRAY": (0, 0, 0),
}  # R, G, B
PLANAR = ("NV12", "NV21", "I420")  # all of Y, then U and V, one pair for 2 x 2 pixels
TARGETS = ("RGB", "BGR", "GRAY")
LUMA = (19595, 38470, 7471)  # R, G and B's share of grey, of 65536: ITU-R 601, as Pillow rounds it

# ITU-R 601, Y 16 ... 235 and U, V 16 ... 240, times 2**20, as OpenCV's cvtColor rounds it.
Y_SCALE, V_TO_R, V_TO_G, U_TO_G, U_TO_B, HALF, SHIFT = (
    1220542,
    1673527,
    -852492,
    -409993,
    2116026,
    1 << 19,
    20,
)


@layer("ImageColor")
class ImageColor(Layer):
    """y = the pixels of x in other colours        x: uint8 (N, H, W, C) or (N, 3 H / 2, W) -> y: uint8 (N, H, W, C')

    source  RGB BGR RGBA BGRA GRAY: C is 3, 4 or 1; alpha is dropped
            NV12 NV21 I420: a camera's frame, (N, 3 H / 2, W), W even: H rows of Y, then H / 2 rows with one U and V for
            2 x 2 pixels, as UV pairs (NV12), VU pairs (NV21), or all of U, then all of V (I420)
    target  RGB BGR GRAY

    R = 1.164 (Y - 16) + 1.596 (V - 128)     G = 1.164 (Y - 16) - 0.813 (V - 128) - 0.391 (U - 128)
    B = 1.164 (Y - 16) + 2.018 (U - 128)     grey = 0.299 R + 0.587 G + 0.114 B; of a frame it is Y

    ITU-R BT.601; frames to the bit as OpenCV's cvtColor, grey as Pillow's convert("L").
    """

    apart = each_image

    source: str
    target: str = "RGB"

    def check(self) -> None:
        if self.source not in (*PACKED, *PLANAR) or self.target not in TARGETS:
            raise AttributeValueError(
                f"{self}: source is {self.source!r} and target {self.target!r}; colours are "
                f"{', '.join((*PACKED, *PLANAR))}, and those of a target {', '.join(TARGETS)}"
            )

    @property
    def planar(self) -> bool:
        """Whether x is a camera's frame."""
        return self.source in PLANAR

    def infer(self, x: Spec) -> Spec:
        channels = 1 if self.target == "GRAY" else 3
        if x.dtype.name != "uint8":
            raise ShapeError(f"x is {x} but pixels are uint8")
        if self.planar:
            if x.ndim != 3 or x.shape[1] % 3 or x.shape[2] % 2:
                raise ShapeError(f"x is {x} but a frame in {self.source} is (N, 3 H / 2, W), W even")
            n, rows, w = x.shape
            return x.replace(shape=(n, rows // 3 * 2, w, channels))
        wanted = {"GRAY": 1, "RGBA": 4, "BGRA": 4}.get(self.source, 3)
        if x.ndim != 4 or x.shape[3] != wanted:
            raise ShapeError(f"x is {x} but images in {self.source} are (N, H, W, {wanted})")
        return x.replace(shape=(*x.shape[:3], channels))

    def chroma(self, h: int, w: int) -> tuple[int, int, int, int]:
        """(first U, first V, bytes to the next row's, to the next column's), in bytes from a frame's start."""
        first, size = h * w, h // 2 * (w // 2)
        if self.source == "I420":
            return first, first + size, w // 2, 1
        return (first, first + 1, w, 2) if self.source == "NV12" else (first + 1, first, w, 2)

    def reference(self, x):
        if not self.planar:
            r, g, b = (x[..., c].astype(np.int64) for c in PACKED[self.source])
            if self.target == "GRAY" and self.source == "GRAY":
                return x
        else:
            n, rows, w = x.shape
            h = rows // 3 * 2
            if self.target == "GRAY":
                return x[:, :h, :, None]
            u0, v0, row, column = self.chroma(h, w)
            at = np.arange(h)[:, None] // 2 * row + np.arange(w) // 2 * column
            frame = x.reshape(n, rows * w).astype(np.int64)
            u, v = frame[:, u0 + at] - 128, frame[:, v0 + at] - 128
            y = np.maximum(frame[:, : h * w].reshape(n, h, w) - 16, 0) * Y_SCALE + HALF
            sums = (y + V_TO_R * v, y + V_TO_G * v + U_TO_G * u, y + U_TO_B * u)
            r, g, b = ((s >> SHIFT).clip(0, 255) for s in sums)
        if self.target == "GRAY":
            grey = (r * LUMA[0] + g * LUMA[1] + b * LUMA[2] + 0x8000) >> 16
            return grey[..., None].astype(np.uint8)
        pixels = (r, g, b) if self.target == "RGB" else (b, g, r)
        return np.stack(pixels, -1).astype(np.uint8)
