"""A .tflite file: decoded, checked, its constants as arrays. Whatever is wrong with it is a FileError.

A FlatBuffer of the schema beside this, read by `..flatbuffer`, which trusts no offset. Numbers that point into tables
(a tensor's buffer, an operator's tensors) are checked here, so that what comes out can be walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.dtype import Quantization
from ...engine.errors import FileError
from ..container import mapped
from ..flatbuffer import Malformed, decode
from ..schema import Schema, parse
from .sparse import dense

IDENTIFIER = b"TFL3"
CUSTOM = 32  # BuiltinOperator.CUSTOM: the operator's name is a text
MOST_ELEMENTS = 1 << 31  # of one tensor: an 8 GB tensor is a damaged or hostile file, not a network
MAX_NDIM = 8  # TensorFlow Lite's own kernels end earlier

# TensorType -> how its numbers are stored
STORED = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8", "BFLOAT16": "<u2", "BOOL": "?", "INT4": "i1", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")


@lru_cache(1)
def schema() -> Schema:
    """tflite.fbs, parsed."""
    return parse((Path(__file__).parent / "tflite.fbs").read_text())


@dataclass(frozen=True, eq=False)
class TensorRow:
    """One tensor of the file.

    type          'FLOAT32', 'INT8', ...: the file's own names
    signature     as `shape`, with -1 where a size may change
    quantization  real = scale * (stored - zero), if the file says so
    """

    name: str
    type: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    quantization: Quantization | None
    sparsity: Mapping[str, Any] | None = None
    stored: bytes = field(default=b"", repr=False)

    @property
    def is_constant(self) -> bool:
        return bool(self.stored)

    @property
    def is_quantised(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.quantization is not None and self.type not in FLOATS

    @property
    def nbytes(self) -> int:
        """What its numbers take as an array."""
        return prod(self.shape) * np.dtype(STORED.get(self.type, "u1")).itemsize

    @cached_property
    def array(self) -> np.ndarray:
        """A constant's numbers as stored, a sparse one's with its zeros; bfloat16 as fp32. Raises FileError."""
        if self.type not in STORED:
            raise FileError(f"tensor {self.name!r}: constants of type {self.type} are not known")
        kind = np.dtype(STORED[self.type])
        data = np.frombuffer(self.stored, np.uint8)
        if self.type == "INT4":  # two in a byte, the first in the low half
            both = np.stack([data << 4, data & 0xF0], -1).reshape(-1).view(np.int8) >> 4
            data = (both[:-1] if prod(self.shape) % 2 and not self.sparsity else both).view(np.uint8)
        if data.size % kind.itemsize:
            raise FileError(f"tensor {self.name!r}: {data.size} bytes are not a number of {kind}")
        numbers = data.view(kind)
        if self.type == "BFLOAT16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        if self.type == "BOOL":
            numbers = data != 0
        if self.sparsity is not None:
            return dense(self.sparsity, numbers, self.shape, self.name)
        if numbers.size != prod(self.shape):
            raise FileError(
                f"tensor {self.name!r}: {self.type}{list(self.shape)} has {prod(self.shape)} numbers"
                f" but {numbers.size} are stored"
            )
        return numbers.reshape(self.shape)

    def __str__(self) -> str:
        text = f"{self.type.lower()}{list(self.shape)}"
        if self.quantization is None:
            return text
        scale, zero = self.quantization.scale, self.quantization.zero
        if len(scale) == 1:
            return f"{text} (scale {scale[0]:.6g}, zero {zero[0]})"
        return f"{text} ({len(scale)} scales along axis {self.quantization.axis})"


@dataclass(frozen=True)
class OperatorRow:
    """One operator: its type ('CONV_2D', or a custom one's own name), its tensors by number (-1: left out), options."""

    type: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    custom: bytes | None  # a custom operator's options, in whatever form its author chose


@dataclass(frozen=True)
class Model:
    """The net of a file: its first subgraph. `more` counts the others, which control flow calls."""

    tensors: tuple[TensorRow, ...]
    operators: tuple[OperatorRow, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str
    nbytes: int
    more: int


def load(path: Path) -> Model:
    """The checked model in `path`. Raises FileError."""
    data = mapped(path)
    if bytes(data[4:8]) != IDENTIFIER:
        found = f"bytes 4 to 7 are {bytes(data[4:8])!r}, not {IDENTIFIER!r}"
        raise FileError(f"{path}: this is no .tflite file: {found}")
    try:
        return _model(decode(schema(), data), data)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def _model(root: Mapping[str, Any], data: Any) -> Model:
    if root["version"] != 3:
        raise Malformed(f"it is {root['version']}; version 3 is known").within("version")
    graphs = root["subgraphs"] or ()
    if not graphs:
        raise Malformed("there is no subgraph").within("subgraphs")
    buffers = [_content(row, data, f"buffers[{i}]") for i, row in enumerate(root["buffers"] or ())]
    graph = graphs[0]
    tensors = tuple(_tensor(row, buffers, i) for i, row in enumerate(graph["tensors"] or ()))
    codes = [_code(row, i) for i, row in enumerate(root["operator_codes"] or ())]
    operators = tuple(
        _operator(row, codes, len(tensors), f"operators[{i}]")
        for i, row in enumerate(graph["operators"] or ())
    )
    inputs, outputs = (
        _numbers(graph[key] or (), len(tensors), f"subgraphs[0].{key}") for key in ("inputs", "outputs")
    )
    if not outputs:
        raise Malformed("the net has no outputs").within("subgraphs[0].outputs")
    about = root["description"] or ""
    return Model(tensors, operators, inputs, outputs, about, len(data), len(graphs) - 1)


def _content(row: Mapping[str, Any], data: Any, where: str) -> bytes:
    """A buffer's bytes, which a file beyond 2 GB has behind the flatbuffer."""
    if row["offset"] > 1:
        start, count = row["offset"], row["size"]
        if start + count > len(data):
            raise Malformed(f"{count} bytes at {start} of a file of {len(data)}").within(where)
        return bytes(data[start : start + count])
    return row["data"] or b""


def _tensor(row: Mapping[str, Any], buffers: Sequence[bytes], index: int) -> TensorRow:
    where = f"tensors[{index}]"
    shape = tuple(row["shape"] or ())
    signature = tuple(row["shape_signature"] or shape)
    if len(shape) > MAX_NDIM or any(s < 0 for s in shape) or prod(shape) > MOST_ELEMENTS:
        raise Malformed(f"no tensor has the shape {list(shape)[:20]}").within(f"{where}.shape")
    if row["buffer"] >= max(1, len(buffers)):
        raise Malformed(f"it is {row['buffer']} but there are {len(buffers)}").within(f"{where}.buffer")
    types = schema().enums["TensorType"]
    if row["type"] not in types:
        raise Malformed(f"there is no type {row['type']}").within(f"{where}.type")
    stored = buffers[row["buffer"]] if buffers else b""
    q = _quantization(row["quantization"], shape, f"{where}.quantization")
    signature = signature if len(signature) == len(shape) else shape
    name = row["name"] or f"tensor{index}"
    return TensorRow(name, types[row["type"]], shape, signature, q, row["sparsity"], stored)


def _quantization(row: Mapping[str, Any] | None, shape: tuple[int, ...], where: str) -> Quantization | None:
    if row is None or not row["scale"]:
        return None
    scale, axis = row["scale"], row["quantized_dimension"]
    zero = row["zero_point"] or (0,) * len(scale)
    if len(zero) == 1:
        zero = zero * len(scale)
    if len(zero) != len(scale) or not all(map(isfinite, scale)) or any(abs(z) >= 1 << 31 for z in zero):
        raise Malformed(f"{len(scale)} scales and {len(zero)} zero points are no quantisation").within(where)
    if len(scale) == 1:
        return Quantization(tuple(scale), tuple(zero))
    if not 0 <= axis < len(shape) or shape[axis] != len(scale):
        raise Malformed(f"{len(scale)} scales along axis {axis} of {list(shape)}").within(where)
    return Quantization(tuple(scale), tuple(zero), axis)


def _code(row: Mapping[str, Any], index: int) -> tuple[str, int]:
    """An operator's name and version."""
    number = max(row["deprecated_builtin_code"], row["builtin_code"])
    names = schema().enums["BuiltinOperator"]
    if number == CUSTOM:
        return row["custom_code"] or "CUSTOM", row["version"]
    return names.get(number, f"operator {number}"), row["version"]


def _operator(
    row: Mapping[str, Any], codes: Sequence[tuple[str, int]], tensors: int, where: str
) -> OperatorRow:
    if row["opcode_index"] >= len(codes):
        raise Malformed(f"it is {row['opcode_index']} but there are {len(codes)}").within(
            f"{where}.opcode_index"
        )
    inputs = _numbers(row["inputs"] or (), tensors, f"{where}.inputs", least=-1)
    outputs = _numbers(row["outputs"] or (), tensors, f"{where}.outputs")
    name, version = codes[row["opcode_index"]]
    return OperatorRow(name, version, inputs, outputs, row["builtin_options"] or {}, row["custom_options"])


def _numbers(given: Sequence[int], count: int, where: str, least: int = 0) -> tuple[int, ...]:
    """Numbers of tensors, each of which is there."""
    for i, number in enumerate(given):
        if not least <= number < count:
            raise Malformed(f"it is {number} but there are {count} tensors").within(f"{where}[{i}]")
    return tuple(given)
