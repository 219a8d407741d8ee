"""Numbers fetched from, or put to, places that are themselves computed: gather, scatter, one-hot.

An index may be negative: it then counts from the end. One outside its axis is an error in the reference; kernels, which
raise nothing, take the nearest element.
"""

from __future__ import annotations

import numpy as np

from ..engine.errors import AttributeValueError, ShapeError
from ..engine.layer import Layer, layer
from ..engine.tensor import Spec

INTEGERS = ("int64", "int32", "int8", "uint8")
REDUCTIONS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


@layer("Gather")
class Gather(Layer):
    """y = x's slices along `axis` that `indices` names        x: (K, C), indices: (N, T) -> y: (N, T, C)

    In general y's shape is x's with `axis` replaced by indices' shape. ONNX Gather; with axis 0 of a table of words,
    the embedding of Caffe's EmbedParameter.
    """

    axis: int = 0

    def infer(self, x: Spec, indices: Spec) -> Spec:
        axis = x.axis(self.axis)
        _check_integers(indices)
        return x.replace(shape=(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    def reference(self, x, indices):
        return np.take(x, indices.astype(np.int64), axis=self.axis)


@layer("GatherElements")
class GatherElements(Layer):
    """y[i, j] = x[indices[i, j], j], for axis 0        x: (K, C), indices: (I, J) -> y: (I, J)

    Along `axis` the index is looked up; along the others it is the element's own. ONNX GatherElements.
    """

    axis: int = 0

    def infer(self, x: Spec, indices: Spec) -> Spec:
        axis = x.axis(self.axis)
        _check_integers(indices)
        _check_within(x, indices, axis)
        return x.replace(shape=indices.shape)

    def reference(self, x, indices):
        axis = self.axis % x.ndim
        inside = x[tuple(slice(None) if a == axis else slice(s) for a, s in enumerate(indices.shape))]
        return np.take_along_axis(inside, _from_front(indices, x.shape[axis]), axis)


@layer("GatherND")
class GatherND(Layer):
    """y[n] = x[indices[n]]        x: (H, W, C), indices: (N, 2) -> y: (N, C)

    The last axis of `indices` holds an index into each of x's first axes, as many as it is long. The first `batch_dims`
    axes of both are the same, and are gone through side by side. ONNX GatherND.
    """

    batch_dims: int = 0

    def infer(self, x: Spec, indices: Spec) -> Spec:
        _check_integers(indices)
        b = self.batch_dims
        if not 0 <= b < min(x.ndim, indices.ndim) or x.shape[:b] != indices.shape[:b]:
            raise ShapeError(f"x is {x} and indices is {indices}: their first {b} axes must be the same")
        depth = int(indices.shape[-1])
        if not 1 <= depth <= x.ndim - b:
            raise ShapeError(f"x is {x} but indices is {indices}: it cannot hold {depth} indices")
        return x.replace(shape=(*indices.shape[:-1], *x.shape[b + depth :]))

    def reference(self, x, indices):
        b, depth = self.batch_dims, indices.shape[-1]
        places = tuple(np.moveaxis(indices.astype(np.int64), -1, 0))
        sides = np.ogrid[tuple(slice(s) for s in indices.shape[:b])] if b else ()
        sides = tuple(s.reshape(s.shape + (1,) * (indices.ndim - 1 - b)) for s in sides)
        return x[(*sides, *places[:depth])]


@layer("ScatterElements")
class ScatterElements(Layer):
    """y = x, but y[indices[i, j], j] = updates[i, j]      x: (K, C), indices, updates: (I, J) -> y: (K, C)

    For axis 0, and with axes in their places for others. ONNX ScatterElements.

    reduction  "none": the last one stays        "add" | "mul" | "min" | "max": with what is there
    """

    axis: int = 0
    reduction: str = "none"

    def check(self) -> None:
        _check_reduction(self)

    def infer(self, x: Spec, indices: Spec, updates: Spec) -> Spec:
        axis = x.axis(self.axis)
        _check_integers(indices)
        _check_within(x, indices, axis)
        _check_updates(x, updates, indices.shape)
        return x

    def reference(self, x, indices, updates):
        axis, y = self.axis % x.ndim, x.copy()
        places = list(np.ogrid[tuple(slice(s) for s in indices.shape)])
        places[axis] = _from_front(indices, x.shape[axis])
        return _put(y, tuple(np.broadcast_arrays(*places)), updates, self.reduction)


@layer("ScatterND")
class ScatterND(Layer):
    """y = x, but y[indices[n]] = updates[n]        x: (H, W, C), indices: (N, 2), updates: (N, C) -> y: (H, W, C)

    The last axis of `indices` holds an index into each of x's first axes. ONNX ScatterND.

    reduction  as in ScatterElements
    """

    reduction: str = "none"

    def check(self) -> None:
        _check_reduction(self)

    def infer(self, x: Spec, indices: Spec, updates: Spec) -> Spec:
        _check_integers(indices)
        depth = int(indices.shape[-1]) if indices.ndim else 0
        if not 1 <= depth <= x.ndim:
            raise ShapeError(f"x is {x} but indices is {indices}: it cannot hold {depth} indices")
        _check_updates(x, updates, (*indices.shape[:-1], *x.shape[depth:]))
        return x

    def reference(self, x, indices, updates):
        places = tuple(np.moveaxis(indices.astype(np.int64), -1, 0))
        return _put(x.copy(), places, updates, self.reduction)


@layer("OneHot")
class OneHot(Layer):
    """y[..., k] = on if indices[...] == k else off        indices: (N,), values: (2,) = off, on -> y: (N, depth)

    The new axis is inserted as y's `axis`. An index outside -depth..depth-1 gives `off` everywhere. ONNX OneHot.
    """

    depth: int
    axis: int = -1

    def check(self) -> None:
        if self.depth < 1:
            raise AttributeValueError(f"{self}: depth is {self.depth}: it must be at least 1")

    def infer(self, indices: Spec, values: Spec) -> Spec:
        if values.shape != (2,):
            raise ShapeError(f"values is {values}: two numbers wanted, off and on")
        axis = Spec((*indices.shape, 1)).axis(self.axis)
        return values.replace(shape=(*indices.shape[:axis], self.depth, *indices.shape[axis:]))

    def reference(self, indices, values):
        axis = self.axis % (indices.ndim + 1)
        shape = [1] * (indices.ndim + 1)
        shape[axis] = self.depth
        wanted = np.expand_dims(np.where(indices < 0, indices + self.depth, indices), axis)
        return np.where(wanted == np.arange(self.depth).reshape(shape), values[1], values[0])


def _put(y: np.ndarray, places: tuple, updates: np.ndarray, reduction: str) -> np.ndarray:
    """y with the updates at these places, one after the other."""
    if reduction == "none":
        y[places] = updates
    else:
        REDUCTIONS[reduction].at(y, places, updates)
    return y


def _from_front(indices: np.ndarray, size: int) -> np.ndarray:
    """Indices that all count from 0."""
    return np.where(indices < 0, indices + size, indices).astype(np.int64)


def _check_integers(indices: Spec) -> None:
    if indices.dtype.name not in INTEGERS:
        raise ShapeError(f"indices is {indices}: whole numbers wanted, of {' '.join(INTEGERS)}")


def _check_within(x: Spec, indices: Spec, axis: int) -> None:
    """Indices have no more than x, but along `axis`."""
    if indices.ndim != x.ndim or any(
        i > s for a, (i, s) in enumerate(zip(indices.shape, x.shape, strict=True)) if a != axis
    ):
        raise ShapeError(f"x is {x} but indices is {indices}: only axis {axis} may be larger")


def _check_updates(x: Spec, updates: Spec, wanted: tuple[int, ...]) -> None:
    if updates.shape != wanted or updates.dtype is not x.dtype:
        sizes = ",".join(map(str, wanted))
        raise ShapeError(f"x is {x} but updates is {updates}: updates needs {x.dtype}[{sizes}]")


def _check_reduction(layer: ScatterElements | ScatterND) -> None:
    if layer.reduction not in ("none", *REDUCTIONS):
        raise AttributeValueError(
            f"{layer}: reduction is {layer.reduction!r}: give 'none', {', '.join(map(repr, REDUCTIONS))}"
        )
