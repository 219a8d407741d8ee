"""half: weights in a narrow floating point dtype, and which layers compute numbers that it cannot hold.

fp16 ends at 65,504: a device that computes with it gets infinity from what fp32 has no trouble with. Weights are looked
at one by one when they are stored; what a net computes with them is known from samples alone.

Weights are rounded to nearest, but for a few: those of an output channel that are almost as near to the other neighbour
are rounded to that one until the channel's sum is what it was. Most inputs of a layer are on one side of 0, as ReLU and
pixels are: what a sum of weights loses, times their mean, is a constant error of the channel, which in deep nets is
most of the error. On centerface that is 0.8 % instead of 3.5 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from math import isqrt
from typing import Any

import numpy as np

from ..dtype import DType, dtypes
from ..errors import InputError
from ..layer import Layer
from ..net import Net
from ..part import pieces
from ..rewrite import apply
from ..tensor import Spec, Tensor
from .observation import observe
from .rules import Weighing, rule_of
from .samples import body_index, body_samples, checked_samples

HEADROOM = 2.0  # for what no sample has shown
NEAR = 0.2  # of the way to the other neighbour, at least: a weight that may be rounded there
AT_ONCE = 1 << 22  # weights that are rounded at a time


class StaysWide(UserWarning):
    """A weight was left in fp32, since a narrower dtype cannot hold it."""


def stored_as(net: Net, dtype: str, samples: Any = None) -> Net:
    """What Net.stored_as returns; see there."""
    kind = dtypes[dtype]
    if kind.arithmetic != "fp32":
        able = ", ".join(d.name for d in dtypes.values() if d.arithmetic == "fp32")
        raise InputError(
            f"{net.name}: weights cannot be stored in {dtype} and computed with in fp32: {able} can"
        )
    lean = apply(net)
    wide = too_large(lean, kind, samples) if samples is not None else {}
    for name, largest in wide.items():
        why = f"it computes with numbers as large as {largest:.3g}, too near to where {kind} ends"
        warnings.warn(f"{lean[name]} stays fp32: {why}", StaysWide, stacklevel=3)
    kept = {i for name in wide for i in lean[name].inputs}
    constants = narrowed(lean, kind, kept)
    told = {"wide": {name: round(v, 3) for name, v in wide.items()}} if wide else {}
    return lean.replace(constants=constants, metadata=dict(lean.metadata) | told)


def narrowed(net: Net, kind: DType, kept: Collection[str]) -> dict[str, Tensor]:
    """The net's constants, its weights but `kept` in another dtype."""
    readers: dict[str, Layer] = {}
    specs = net.specs()
    exact: set[str] = set()  # what integer layers read stays as it is: every device gives the same bits
    for layer in net.layers:
        if any(specs[name].dtype.name == "int8" for name in (*layer.inputs, *layer.outputs) if name):
            exact |= set(layer.inputs)
        w = dict(zip(layer.input_names(), layer.inputs, strict=True)).get("w")
        if w and isinstance(rule_of(layer), Weighing):
            readers.setdefault(w, layer)
    return {
        name: constant if name in kept or name in exact else _narrowed(constant, kind, readers.get(name))
        for name, constant in net.constants.items()
    }


def _narrowed(constant: Tensor, kind: DType, reader: Layer | None) -> Tensor:
    """A weight in another dtype; itself if it is none in fp32, or has a number too large for that."""
    if constant.spec.dtype.name != "fp32" or constant.spec.ndim < 2:
        return constant
    data = constant.data
    assert data is not None
    stored = kind.quantize(data, None)
    lost = np.isfinite(data) & ~np.isfinite(kind.dequantize(stored, None))
    if lost.any():
        most = float(np.abs(data[lost]).max())
        told = f"{constant.name} stays fp32: {most:.3g} is too large a number for {kind}"
        warnings.warn(told, StaysWide, stacklevel=6)
        return constant
    rule = None if reader is None else rule_of(reader)
    if isinstance(rule, Weighing):
        stored = rule.shaped(reader, with_sums_kept(rule.rows(reader, data), kind), data.shape)  # type: ignore[arg-type]
    return Tensor(constant.name, Spec(constant.spec.shape, kind), stored)


def with_sums_kept(rows: np.ndarray, kind: DType) -> np.ndarray:
    """(M, K) fp32 as `kind` stores them: to one of the two neighbours, so that each row's sum errs little."""
    stored = np.ascontiguousarray(kind.quantize(rows, None))
    bits = stored.view(f"u{kind.storage.itemsize}")
    some = max(1, AT_ONCE // max(1, rows.shape[1]))
    for start in range(0, len(rows) if rows.size else 0, some):
        _keep_sums(rows[start : start + some], bits[start : start + some], kind)
    return stored


def _keep_sums(rows: np.ndarray, bits: np.ndarray, kind: DType) -> None:
    """Round some of rows the other way, in `bits`: the next larger number has bits that are larger by one."""
    number = np.arange(len(rows))
    real = kind.dequantize(bits.view(kind.storage), None).astype(np.float64)
    error = rows.astype(np.float64) - real
    total = error.sum(1)
    other = np.where((real > 0) == (total > 0)[:, None], bits + 1, bits - 1).astype(bits.dtype)
    with np.errstate(all="ignore"):
        step = kind.dequantize(other.view(kind.storage), None) - real
        part = error / step
        wanted = (np.sign(step) == np.sign(total)[:, None]) & (real != 0) & np.isfinite(step) & (part >= NEAR)
    part[~wanted] = 0
    most = min(rows.shape[1], 16 + 4 * isqrt(rows.shape[1]))
    near = np.argpartition(-part, most - 1, 1)[:, :most]
    near = np.take_along_axis(near, np.argsort(-np.take_along_axis(part, near, 1), 1, kind="stable"), 1)
    for column in near.T:
        change = step[number, column]
        taken = (part[number, column] > 0) & (np.abs(total - change) < np.abs(total))
        bits[number[taken], column[taken]] = other[number[taken], column[taken]]
        total[taken] -= change[taken]


def too_large(net: Net, kind: DType, samples: Any) -> dict[str, float]:
    """Layer -> the largest number that it reads or writes on the samples, of those where twice that is too large for
    `kind`. Raises InputError for samples that do not fit."""
    given = body_samples(net, checked_samples(net, samples))
    body = pieces(net)[body_index(net)]
    specs = body.specs()
    numbers = {
        name: None
        for layer in body.layers
        for name in (*layer.inputs, *layer.outputs)
        if name and name not in body.constants and specs[name].dtype.name == "fp32"
    }
    seen = observe(body, list(numbers), given)
    reach = {name: max(abs(s.histogram.low), abs(s.histogram.high)) for name, s in seen.items()}
    found = {}
    for layer in body.layers:
        largest = max((reach[name] for name in (*layer.inputs, *layer.outputs) if name in reach), default=0.0)
        stored = kind.quantize(np.array([HEADROOM * largest], np.float32), None)
        if not np.isfinite(kind.dequantize(stored, None)).all():
            found[layer.name] = largest
    return found
