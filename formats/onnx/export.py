"""Net -> .onnx: opset 17, standard operators only, weights in the file, or beside it when they are too many for one.

    writer       the walk over the layers, and the table that layer types are entered in
    export_arithmetic, export_elementwise, export_window, export_moving      the layers, each a small function

A size that may change stays open where it can. Some layers can be written for numbers only, like ShuffleChannel: where
a net has one, its images get the net's usual size and the batch alone stays open.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.cache import write_whole
from ...engine.errors import ConversionError, FileError
from ...engine.net import Net
from ...engine.tensor import Dim, Spec, Tensor
from . import (  # noqa: F401  they enter their layers
    export_arithmetic,
    export_elementwise,
    export_moving,
    export_window,
)
from .file import MOST_BYTES
from .writer import ONNX_TYPES, OPSET, NeedsSize, Writer, numbers

if TYPE_CHECKING:
    import onnx

IR_VERSION = 8  # of 2022, like the opset: what every reader of today knows
GRAPH_BYTES = 64 << 20  # left for all that is not weights
DATA_ALIGNMENT = 4096  # so that weights beside the model can be mapped


def write(net: Net, path: str | Path) -> None:
    """Write `net` to an .onnx file, which is there whole or not at all; checked by onnx's own checker.

    Weights of 2 GB and more, which one file cannot hold, go to `<path>.data`. Raises ConversionError that lists every
    layer without an operator in ONNX, FileError if the file cannot be written.
    """
    path = Path(path)
    try:
        import onnx
    except ImportError as error:
        raise ConversionError(
            f"{path}: writing .onnx needs the onnx package: pip install fbnet[onnx] ({error})"
        ) from None
    writer = graph_of(net)
    try:
        if sum(_array(c).nbytes for c in writer.constants.values()) > MOST_BYTES - GRAPH_BYTES:
            _write_beside(writer, path)
        else:
            content = model_of(writer).SerializeToString()
            onnx.checker.check_model(content, full_check=True)
            write_whole(path, [content])
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"{path}: what was written is not valid ONNX, report this: {error}") from None
    except OSError as error:
        raise FileError(f"{path}: it cannot be written: {error.strerror or error}") from None


def graph_of(net: Net) -> Writer:
    """The written graph, with as many sizes open as its layers allow. Raises ConversionError."""
    for spec_of in (lambda spec: spec, _batch_open, lambda spec: spec.concrete):
        writer = Writer(net.replace(inputs={name: spec_of(spec) for name, spec in net.inputs.items()}))
        try:
            writer.run()
        except NeedsSize:
            continue
        return writer
    raise AssertionError("no size was open")


def _batch_open(spec: Spec) -> Spec:
    return spec.replace(shape=[size if axis == 0 else int(size) for axis, size in enumerate(spec.shape)])


def model_of(writer: Writer, beside: str = "") -> onnx.ModelProto:
    """The model. With `beside`, the name of a file that holds the weights as `_layout` says, they are not in it."""
    from onnx import helper

    net = writer.net
    layout = _layout(writer) if beside else {}
    graph = helper.make_graph(
        [_made(node) for node in writer.nodes],
        net.name or "net",
        [_described(name, spec) for name, spec in net.inputs.items()],
        [_described(name, writer.specs[name]) for name in net.outputs],
        [_stored(name, _array(c), beside, layout.get(name)) for name, c in writer.constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="fbnet", producer_version=metadata.version("fbnet"),
    )  # fmt: skip
    helper.set_model_props(model, {key: json.dumps(value) for key, value in net.metadata.items()})
    return model


def _made(node: Any) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node(node.type, node.inputs, node.outputs, node.name, **node.attributes)


def _described(name: str, spec: Spec) -> onnx.ValueInfoProto:
    """A tensor's type. Sizes that follow from the inputs' are left open: only plain names mean the same elsewhere."""
    from onnx import helper

    shape = [
        (s.text if s.text.isidentifier() else None) if isinstance(s, Dim) else int(s) for s in spec.shape
    ]
    return helper.make_tensor_value_info(name, ONNX_TYPES[spec.dtype.name], shape)


def _array(constant: Tensor | np.ndarray) -> np.ndarray:
    return numbers(constant) if isinstance(constant, Tensor) else constant


def _stored(name: str, array: np.ndarray, beside: str, offset: int | None) -> onnx.TensorProto:
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    stored = TensorProto(name=name, data_type=kind, dims=array.shape)
    if offset is None:
        stored.raw_data = _bytes(array)
    else:
        stored.data_location = TensorProto.EXTERNAL
        for key, value in {"location": beside, "offset": offset, "length": array.nbytes}.items():
            stored.external_data.add(key=key, value=str(value))
    return stored


def _bytes(array: np.ndarray) -> bytes:
    """The numbers in ONNX's order, little end first."""
    return (array if sys.byteorder == "little" else array.byteswap()).tobytes()


def _layout(writer: Writer) -> dict[str, int]:
    """Where each constant lies in the file beside the model; small ones, like shapes, stay in the model."""
    offsets, end = {}, 0
    for name, constant in writer.constants.items():
        nbytes = _array(constant).nbytes
        if nbytes >= DATA_ALIGNMENT:
            offsets[name] = end
            end += -(-nbytes // DATA_ALIGNMENT) * DATA_ALIGNMENT
    return offsets


def _write_beside(writer: Writer, path: Path) -> None:
    """The model and, beside it, its weights: both written and checked in a folder of their own, then moved."""
    import onnx

    data = f"{path.name}.data"
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        with open(Path(folder, data), "wb") as out:
            for name, offset in _layout(writer).items():
                out.seek(offset)
                out.write(_bytes(_array(writer.constants[name])))
        Path(folder, path.name).write_bytes(model_of(writer, data).SerializeToString())
        onnx.checker.check_model(str(Path(folder, path.name)), full_check=True)
        os.replace(Path(folder, data), path.with_name(data))
        os.replace(Path(folder, path.name), path)
