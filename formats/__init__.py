"""Outside <-> Net: one file or folder a format, each imported when a file of its kind is read or written."""

from __future__ import annotations

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
}.items():
    importers.add_later(_suffix, f"{__name__}.{_module}")


def load(path: str | Path, **options: Any) -> Net:
    """Open a `.fbnet` model. Its structure is checked now, its constants are mapped and checked when first used.

    verify       "full" checks every constant now; default "lazy"
    trust_plans  True: run compiled plans that were saved in the file. They are native code: only from files you trust

    Raises FileError, which names the file and the field.
    """
    if Path(path).suffix.lower() != ".fbnet":
        raise InputError(f"{path}: load opens .fbnet files; fbnet.convert reads the others")
    return format.read(path, **options)


def convert(*paths: str | Path, **options: Any) -> Net:
    """Read a model of another framework: `convert("deploy.prototxt", "weights.caffemodel")`, `convert("model.onnx")`.

    The first path's ending names the importer; options are the importer's own. Raises ConversionError with everything
    that cannot be expressed, FileError if a file is damaged, InputError if no importer knows the ending.
    """
    if not paths:
        raise InputError("convert needs the path of a model")
    return format.read(*paths, **options)


def save(net: Net, path: str | Path, **options: Any) -> None:
    """Write a net to a `.fbnet` file, whole or not at all; options as of net.save. Raises FileError."""
    format.write(net, path, **options)
