"""Outside <-> Net: one file or folder a format, each imported when a file of its kind is read or written."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

from ..engine import format
from ..engine.errors import InputError
from ..engine.format import importers
from ..engine.net import Net

for _suffix, _module in {
    ".fbnet": "fbnet",
    ".prototxt": "caffe",
    ".caffemodel": "caffe",
    ".onnx": "onnx",
    ".param": "ncnn",
    ".tflite": "tflite",
    ".cfg": "darknet",
    ".weights": "darknet",
}.items():
    importers.add_later(_suffix, f"{__name__}.{_module}")


def load(path: str | Path, **options: Any) -> Net:
    """Open a `.fbnet` model. Its structure is checked now, its constants are mapped and checked when first used.

    verify        "full" checks every constant now; default "lazy"
    trust_plans   True: run compiled plans that were saved in the file. They are native code: only from files you trust
    allow_custom  True: keep layers of types that nobody has registered, as placeholders

    Raises FileError, which names the file and the field.
    """
    if Path(path).suffix.lower() != ".fbnet":
        raise InputError(f"{path}: load opens .fbnet files; fbnet.convert reads the others")
    return format.read(path, **options)


def convert(*sources: Any, **options: Any) -> Net:
    """Read a model of another framework: `convert("deploy.prototxt", "weights.caffemodel")`, `convert("model.onnx")`.

    The first path's ending names the importer; options are the importer's own. A torch module comes with an example of
    its input: `convert(module, torch.randn(1, 3, 224, 224))`, or by its address: `convert("package.module:factory",
    (1, 3, 224, 224))`. Raises ConversionError with everything that cannot be expressed, FileError if a file is damaged,
    InputError if no importer knows the ending.
    """
    if not sources:
        raise InputError("convert needs the path of a model, or a torch module and an example")
    if is_module(sources[0]):
        from . import torch

        return torch.read(*sources, **options)
    return format.read(*sources, **options)


def is_module(source: Any) -> bool:
    """Whether a source is no path: a torch module, or 'package.module:name', where one is to be found."""
    if isinstance(source, (str, PathLike)):
        return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", str(source)) is not None
    return True


def save(net: Net, path: str | Path, **options: Any) -> None:
    """Write a net to a `.fbnet` file, whole or not at all; options as of net.save. Raises FileError."""
    format.write(net, path, **options)
