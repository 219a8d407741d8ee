"""GridSample: an image read at places that are computed."""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, each_image, layer
from ..engine.tensor import Spec


@layer("GridSample")
class GridSample(Layer):
    """y[n, c, i, j] = x[n, c] at the place grid[n, i, j]    x: (N,C,H,W), grid: (N,OH,OW,2) -> y: (N,C,OH,OW)

    A place is (across, down), -1..1 from one edge of the image to the other; with `corners` from the middle of its
    first pixel to the middle of its last. x may be a volume, (N,C,D,H,W), and a place then three numbers, the last
    axis first. Jaderberg et al. 2015, arXiv:1506.02025. ONNX GridSample.

    method   "linear" | "nearest" (halves to the even pixel) | "cubic" (Keys, a = -0.75; images only)
    padding  beyond the image are "zeros", its "border" pixels, or its "reflection"
    """

    apart = each_image

    method: str = "linear"
    padding: str = "zeros"
    corners: bool = False

    def check(self) -> None:
        for name, known in (
            ("method", ("linear", "nearest", "cubic")),
            ("padding", ("zeros", "border", "reflection")),
        ):
            if getattr(self, name) not in known:
                raise AttributeValueError(
                    f"{self}: {name} is {getattr(self, name)!r}: give {', '.join(known)}"
                )

    def infer(self, x: Spec, grid: Spec) -> Spec:
        axes = x.ndim - 2
        if axes < 1 or grid.ndim != x.ndim or int(grid.shape[-1]) != axes:
            raise ShapeError(
                f"x is {x} but grid is {grid}: a place has a number for each of x's axes from 2 on"
            )
        if x.shape[0] != grid.shape[0] or 0 in x.shape[2:]:
            raise ShapeError(f"x is {x} but grid is {grid}: as many images wanted, none of them empty")
        return x.replace(shape=(*x.shape[:2], *grid.shape[1:-1]))

    def reference(self, x, grid):
        places = [self._cells(grid[..., -1 - axis], size) for axis, size in enumerate(x.shape[2:])]
        taps = [self._taps(place) for place in places]
        y = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), np.float64)
        images = np.arange(x.shape[0]).reshape(-1, *[1] * (x.ndim - 2))
        for chosen in np.ndindex(*(len(t) for t in taps)):
            weight, index = 1.0, []
            for axis, which in enumerate(chosen):
                cell, part = taps[axis][which]
                cell, inside = self._within(cell, x.shape[2 + axis])
                weight = weight * part * inside
                index.append(cell)
            found = np.moveaxis(x[(images, slice(None), *index)], -1, 1)
            y += found * np.expand_dims(weight, 1)
        return y.astype(x.dtype)

    def _cells(self, place: np.ndarray, size: int) -> np.ndarray:
        """A number in -1..1 as a place among pixels, whose middles are 0, 1, ..., size - 1."""
        place = place.astype(np.float64)
        at = (place + 1) / 2 * (size - 1) if self.corners else ((place + 1) * size - 1) / 2
        if self.padding == "border" and self.method != "cubic":
            at = np.clip(at, 0, size - 1)
        if self.padding == "reflection" and self.method != "cubic":
            at = self._reflected(at, size)
        return at

    def _reflected(self, at: np.ndarray, size: int) -> np.ndarray:
        """Places thrown back at the image's edges, as often as it takes."""
        low, high = (0.0, size - 1.0) if self.corners else (-0.5, size - 0.5)
        span = high - low
        if span <= 0:
            return np.zeros_like(at)
        turn = np.abs(at - low) % (2 * span)
        return np.clip(low + np.minimum(turn, 2 * span - turn), 0, size - 1)

    def _taps(self, at: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The pixels along one axis that a place is made of, and how much of each."""
        if self.method == "nearest":
            return [(np.rint(at).astype(np.int64), np.ones_like(at))]
        first = np.floor(at).astype(np.int64)
        part = at - first
        if self.method == "linear":
            return [(first, 1 - part), (first + 1, part)]
        a, cells = -0.75, []
        for shift in (-1, 0, 1, 2):
            d = np.abs(part - shift)
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            cells.append((first + shift, np.where(d <= 1, near, far)))
        return cells

    def _within(self, cell: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A pixel's place in the image, and whether it counts."""
        inside = np.ones(cell.shape)
        if self.padding == "zeros":
            inside = ((cell >= 0) & (cell < size)).astype(np.float64)
        elif self.padding == "reflection" and self.method == "cubic":
            cell = np.rint(self._reflected(cell.astype(np.float64), size)).astype(np.int64)
        return np.clip(cell, 0, size - 1), inside
