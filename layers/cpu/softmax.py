"""Softmax on the cpu: along contiguous rows, or along an axis that others follow."""

from __future__ import annotations

import math
from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, View, kernel
from ..softmax import Softmax
from . import simd


def _split(call: Call) -> tuple[int, int, int]:
    """x's shape as (all axes before the softmax's, the softmax's, all after it)."""
    shape, axis = call.shape("x"), call.specs["x"].axis(call.layer.axis)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def bind_rows(call: Call) -> dict:
    rows, columns, _ = _split(call)
    views = dict(x=View("x", (rows, columns)), y=View("y", (rows, columns)))
    return views | dict(room=Scratch((call.threads, call.lanes)))


def on_the_last_axis(call: Call) -> bool | str:
    after = _split(call)[2]
    return after == 1 or f"{after} numbers lie between neighbours on the axis"


@kernel(Softmax, device="cpu", bind=bind_rows, when=on_the_last_axis, inplace=("x",), score=2.0)
def softmax_rows(x, y, room, ith, nth):
    """Threads share the rows; the largest number and the sum of a row are found a vector at a time."""
    rows, columns = x.shape
    whole = columns // simd.LANES * simd.LANES
    own = simd.address(room) + ith * simd.LANES * 4
    for row in range(rows * ith // nth, rows * (ith + 1) // nth):
        source, to = simd.address(x) + row * columns * 4, simd.address(y) + row * columns * 4
        largest = simd.splat(np.float32(-np.inf))
        for i in range(0, whole, simd.LANES):
            largest = simd.maximum(largest, simd.load(source + i * 4))
        simd.store(own, largest)
        top = np.float32(-np.inf)
        for i in range(simd.LANES):
            top = room[ith, i] if room[ith, i] > top else top
        for i in range(whole, columns):
            top = x[row, i] if x[row, i] > top else top
        for i in range(columns):
            y[row, i] = math.exp(x[row, i] - top)
        sums = simd.splat(np.float32(0))
        for i in range(0, whole, simd.LANES):
            sums = simd.add(sums, simd.load(to + i * 4))
        total = simd.sum_of(sums)
        for i in range(whole, columns):
            total += y[row, i]
        scale = np.float32(1) / total
        for i in range(columns):
            y[row, i] *= scale


def bind_columns(call: Call) -> dict:
    shape = _split(call)
    return dict(x=View("x", shape), y=View("y", shape), room=Scratch((2, shape[2])))


@kernel(Softmax, device="cpu", bind=bind_columns, inplace=("x",))
def softmax_columns(x, y, room, ith, nth):
    """All columns of a thread side by side: room[0] is the largest x of each, room[1] the sum of its exps."""
    outer, count, inner = x.shape
    first, last = inner * ith // nth, inner * (ith + 1) // nth
    for o in range(outer):
        for i in range(first, last):
            room[0, i] = np.float32(-np.inf)
            room[1, i] = np.float32(0)
        for c in range(count):
            for i in range(first, last):
                room[0, i] = x[o, c, i] if x[o, c, i] > room[0, i] else room[0, i]
        for c in range(count):
            for i in range(first, last):
                y[o, c, i] = math.exp(x[o, c, i] - room[0, i])
                room[1, i] += y[o, c, i]
        for i in range(first, last):
            room[1, i] = np.float32(1) / room[1, i]
        for c in range(count):
            for i in range(first, last):
                y[o, c, i] *= room[1, i]
