"""A .prototxt -> NetParameter with nothing but current (V2) layers: V0 and V1 layers and `input:` are upgraded.

The rules are those of Caffe's own upgrade tools; only the facts are taken from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import FileError
from .schema import parse_text

MOST_BYTES = 8 << 20  # a prototxt holds no weights: ResNet-101's has 64 KB

# V1's enum values are V2's type names in capitals; these do not follow from it.
V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "PRELU": "PReLU",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}

V0_TYPES = {
    "accuracy": "Accuracy",
    "bnll": "BNLL",
    "concat": "Concat",
    "conv": "Convolution",
    "data": "Data",
    "dropout": "Dropout",
    "euclidean_loss": "EuclideanLoss",
    "flatten": "Flatten",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "im2col": "Im2col",
    "images": "ImageData",
    "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "split": "Split",
    "tanh": "TanH",
    "window_data": "WindowData",
}

# V0 type -> where its fields live now: {V0 field: V2 field}
V0_FIELDS = {
    "conv": (
        "convolution_param",
        {"num_output": "num_output", "biasterm": "bias_term", "pad": "pad", "kernelsize": "kernel_size"}
        | {"group": "group", "stride": "stride"},
    ),
    "innerproduct": ("inner_product_param", {"num_output": "num_output", "biasterm": "bias_term"}),
    "pool": (
        "pooling_param",
        {"pad": "pad", "kernelsize": "kernel_size", "stride": "stride", "pool": "pool"},
    ),
    "dropout": ("dropout_param", {"dropout_ratio": "dropout_ratio"}),
    "lrn": ("lrn_param", {"local_size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k"}),
    "concat": ("concat_param", {"concat_dim": "concat_dim"}),
    "data": ("data_param", {"batchsize": "batch_size"}),
    "hdf5_data": ("hdf5_data_param", {"batchsize": "batch_size"}),
    "window_data": ("window_data_param", {"batchsize": "batch_size"}),
    "images": (
        "image_data_param",
        {"batchsize": "batch_size", "new_height": "new_height", "new_width": "new_width"},
    ),
}
V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size"}


def read_prototxt(path: Path) -> Any:
    """NetParameter of a .prototxt, upgraded: only `layer` is filled, and inputs are Input layers.

    Raises FileError if it is no prototxt, or one without a net in it.
    """
    text = _text(path)
    net = parse_text(text, path)
    if not net.layer and not net.layers:
        raise FileError(f"{path}: holds no layers: give the file that defines the net (not its solver)")
    if net.layer and net.layers:
        raise FileError(f"{path}: has both 'layer' and 'layers': use one kind")
    upgraded = type(net)(name=net.name, state=net.state)
    _add_inputs(upgraded, net, path)
    upgraded.layer.extend(net.layer)
    for old in _without_padding(net.layers, path):
        _fill_from_v1(upgraded.layer.add(name=old.name, bottom=old.bottom, top=old.top), old)
    return upgraded


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{path}: is {path.stat().st_size >> 20} MiB, which no prototxt is")
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if b"\0" in data:
        raise FileError(f"{path}: is binary, but a prototxt is text")
    return data.decode("utf-8-sig", "replace")  # comments come in any encoding


def _add_inputs(upgraded: Any, net: Any, path: Path) -> None:
    """`input:` with `input_shape` or four `input_dim` each -> an Input layer."""
    if not net.input:
        return
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes and net.input_dim:
        shapes = [list(net.input_dim[i : i + 4]) for i in range(0, len(net.input_dim), 4)]
    if shapes and (len(shapes) != len(net.input) or (not net.input_shape and len(shapes[-1]) != 4)):
        raise FileError(f"{path}: has {len(net.input)} inputs, but {len(shapes)} shapes for them")
    layer = upgraded.layer.add(name="input", type="Input", top=net.input)
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)


def enum_name(message: Any, field: str) -> str:
    """The name of an enum field's value: 'MAX'."""
    return message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(message, field)].name


def shortest(value: float) -> float:
    """The shortest decimal that is this fp32 number: 0.1 for what a file's 0.1 became in protobuf."""
    return float(str(np.float32(value)))


def _fill_from_v1(new: Any, old: Any) -> None:
    """The rest of a V1LayerParameter, into a LayerParameter."""
    word = enum_name(old, "type")
    new.type = V1_TYPES.get(word, word.title().replace("_", ""))
    for name in old.param:
        new.param.add(name=name)
    for field, value in old.ListFields():
        if field.message_type is not None and field.name in new.DESCRIPTOR.fields_by_name:
            getattr(new, field.name).MergeFrom(value)
    if old.HasField("layer"):
        _fill_from_v0(new, old.layer)


def _fill_from_v0(new: Any, old: Any) -> None:
    """A V0LayerParameter's flat fields, into a LayerParameter."""
    new.name, new.type = old.name, V0_TYPES.get(old.type, old.type)
    message, fields = V0_FIELDS.get(old.type, ("", {}))
    for v0, v2 in fields.items():
        if old.HasField(v0):
            _set(getattr(new, message), v2, getattr(old, v0))
    for v0, v2 in V0_TRANSFORM.items():
        if old.HasField(v0) and "data" in V0_TYPES.get(old.type, "").lower():
            _set(new.transform_param, v2, getattr(old, v0))


def _set(message: Any, field: str, value: Any) -> None:
    """Set a field, or append to it if it is repeated."""
    held = getattr(message, field)
    if hasattr(held, "append"):
        held.append(value)
    else:
        setattr(message, field, value)


def _without_padding(layers: Any, path: Path) -> list[Any]:
    """V1 layers, with V0's `padding` layers moved into the convolution or pooling that reads them."""
    kept: list[Any] = []
    writers: dict[str, Any] = {}  # blob -> the layer that wrote it last
    for layer in layers:
        if layer.layer.type != "padding":
            kept.append(layer)
        for i, bottom in enumerate(layer.bottom):
            source = writers.get(bottom)
            if source is not None and source.layer.type == "padding":
                if layer.layer.type not in ("conv", "pool") or not source.bottom:
                    raise FileError(f"{path}: {layer.layer.name}: only conv and pool read a padding layer")
                layer.layer.pad = source.layer.pad
                layer.bottom[i] = source.bottom[0]
        writers |= dict.fromkeys(layer.top, layer)
    return kept
