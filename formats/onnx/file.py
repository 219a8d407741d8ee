"""An .onnx file: read, checked, and its constants as arrays. Whatever is wrong with it is a FileError."""

from __future__ import annotations

import os
import sys
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.errors import ConversionError, FbnetError, FileError

if TYPE_CHECKING:
    import onnx

MOST_BYTES = (1 << 31) - 1  # what a protobuf message can hold
PACKED = (21, 22, 23, 25, 26)  # UINT4, INT4, FLOAT4E2M1, UINT2, INT2: several numbers in a byte


def load(path: Path) -> onnx.ModelProto:
    """The checked model in `path`; data outside it stays there. Raises FileError; ConversionError without `onnx`."""
    try:
        import onnx
    except ImportError as error:
        raise ConversionError(
            f"{path}: reading .onnx needs the onnx package: pip install fbnet[onnx] ({error})"
        ) from None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{path}: {path.stat().st_size} bytes, but an ONNX file has less than 2 GB")
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: it cannot be read: {error.strerror or error}") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own kind, and MemoryError
        raise FileError(f"{path}: this is no ONNX file, or a damaged one: {_first_line(error)}") from None
    outside = any(t.data_location == t.EXTERNAL for t in model.graph.initializer)
    try:
        onnx.checker.check_model(path if outside else content)
    except Exception as error:  # the checker's own kind, and what its C++ throws instead of it
        raise FileError(f"{path}: not a valid ONNX model: {_first_line(error)}") from None
    return model


def array_of(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """A stored tensor's numbers. Raises FileError naming the tensor."""
    from onnx import numpy_helper

    try:
        if tensor.data_location == tensor.EXTERNAL:
            return _outside(tensor, folder)
        raw = tensor.raw_data  # a copy: protobuf makes one each time
        if raw and tensor.data_type not in PACKED and sys.byteorder == "little":
            _check_size(tensor, len(raw))
            return np.frombuffer(raw, _kind(tensor)).reshape(tensor.dims)
        array = numpy_helper.to_array(tensor)
        if array.shape != tuple(tensor.dims):
            raise ValueError(f"its data has shape {list(array.shape)}")
    except FbnetError:
        raise
    except Exception as error:  # numpy_helper has no error of its own: whatever numpy or protobuf says
        raise FileError(f"tensor {tensor.name!r}, {list(tensor.dims)}: {_first_line(error)}") from None
    return array.astype(str) if array.dtype == object else array


def _outside(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """A tensor whose bytes lie in another file, mapped. That file is in the model's folder or below it."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    whole = folder.resolve()
    path = (whole / location).resolve()
    if not location or os.path.isabs(location) or not path.is_relative_to(whole):
        raise FileError(
            f"tensor {tensor.name!r}: its data may not lie at {location!r}, outside the model's folder"
        )
    if not path.is_file():
        raise FileError(f"tensor {tensor.name!r}: its data file {location!r} is missing")
    offset, size = int(entries.get("offset", 0)), path.stat().st_size
    length = int(entries.get("length", size - offset))
    if offset < 0 or length < 0 or offset + length > size:
        raise FileError(
            f"tensor {tensor.name!r}: {length} bytes at {offset} of {location!r}, which has {size}"
        )
    _check_size(tensor, length)
    kind = _kind(tensor)
    if not length:
        return np.zeros(tuple(tensor.dims), kind)
    return np.memmap(path, kind, "r", offset, tuple(tensor.dims))


def _check_size(tensor: onnx.TensorProto, stored: int) -> None:
    """The bytes there are must be those that the shape asks for."""
    if any(d < 0 for d in tensor.dims):
        raise FileError(f"tensor {tensor.name!r}: a shape has no negative sizes: {list(tensor.dims)}")
    kind = _kind(tensor)
    wanted = prod(tensor.dims) * kind.itemsize
    if tensor.data_type not in PACKED and wanted != stored:
        raise FileError(
            f"tensor {tensor.name!r}: {kind}{list(tensor.dims)} is {wanted} bytes but it has {stored}"
        )


def _kind(tensor: onnx.TensorProto) -> np.dtype:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))


def attributes_of(node: onnx.NodeProto, folder: Path) -> dict[str, Any]:
    """A node's attributes as Python values: numbers, text, lists of them, arrays; graphs stay what they are."""
    from onnx import AttributeProto, helper

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = array_of(value, folder)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            value = list(value)
        found[attribute.name] = value
    return found


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
