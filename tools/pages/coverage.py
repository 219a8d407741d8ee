"""The page of what can be imported: the operators that each format's table holds, and where each is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module

from ...formats.onnx.refused import REASONS
from .docstring import code

# format -> where its table of operators is: what an operator is called there -> the function that makes layers of it
TABLES = {
    "Caffe": "formats.caffe.mapping:converters",
    "ONNX": "formats.onnx.graph:operators",
    "ncnn": "formats.ncnn.graph:converters",
    "TensorFlow Lite": "formats.tflite.graph:operators",
    "torch": "formats.torch.table:operators",
    "Darknet": "formats.darknet.graph:converters",
}


def tables() -> dict[str, Mapping[str, Callable]]:
    """Format -> operator -> function, from the importers themselves."""
    found = {}
    package = __name__.split(".")[0]
    for name, where in TABLES.items():
        module, _, attribute = where.partition(":")
        import_module(f"{package}.{module.rpartition('.')[0]}")  # whose operators enter themselves
        found[name] = getattr(import_module(f"{package}.{module}"), attribute)
    return found


def page() -> str:
    """reference/coverage.md."""
    counts = {name: len(table) for name, table in tables().items()}
    parts = [
        "# What can be imported",
        "The operators of each format that become layers, read from the importers' own tables. An operator that is "
        "not here is listed, with all others like it, by the `ConversionError` that names it; "
        "[layers of your own](../how-to/add-a-layer.md) can fill its place. [What of ONNX's own test suite "
        "passes](../onnx.md) is a page of its own.",
        "| format | operators |\n|---|---|\n" + "\n".join(f"| {n} | {c} |" for n, c in counts.items()),
    ]
    for name, table in tables().items():
        files: dict[str, list[str]] = {}
        for operator in sorted(table, key=str.casefold):
            files.setdefault(_file(table[operator]), []).append(operator)
        rows = [f"| {code(file)} | {', '.join(code(o) for o in files[file])} |" for file in sorted(files)]
        parts += [f"## {name}", "| written in | operators |\n|---|---|\n" + "\n".join(rows)]
        if name == "ONNX":
            why = sorted((reason, operator) for operator, reason in REASONS.items())
            refused = "\n".join(f"| {code(operator)} | {reason} |" for reason, operator in why)
            parts += ["Refused, and why:", f"| operator | reason |\n|---|---|\n{refused}"]
    return "\n\n".join(parts) + "\n"


def _file(function: Callable) -> str:
    module = inspect.unwrap(function).__module__
    return f"{module.split('.', 1)[-1].replace('.', '/')}.py"
