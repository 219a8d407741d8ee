"""What a prototxt says of a layer that caffe.proto does not know: read from the text itself, without a schema.

    layer { name: "f" type: "Frobnicate" frobnicate_param { alpha: 0.5 mode: FAST axis: 1 axis: 2 } ... }

becomes {"alpha": 0.5, "mode": "FAST", "axis": (1, 2)}: the fields of its own messages, side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...engine.custom import custom
from ...engine.errors import ConversionError, FileError
from ...engine.layer import Layer
from ...engine.tensor import Tensor
from .mapping import Source

# What every layer has, and no attribute of its own.
COMMON = {
    "name", "type", "bottom", "top", "param", "include", "exclude", "phase", "loss_weight", "propagate_down", "blobs",
    "blobs_lr", "weight_decay", "transform_param", "loss_param",
}  # fmt: skip
TOKEN = re.compile(
    r'\s+|\#[^\n]*|("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[{}\[\]<>:;,]|[^\s{}\[\]<>:;,#"\']+)'
)
DEEPEST = 32


def kept(source: Source, prototxt: Path) -> Layer:
    """The layer of a node whose type has no converter: of the class registered under its type, or a placeholder.

    Its inputs are the node's, then its blobs as they are stored. Raises ConversionError, AttributeValueError.
    """
    node = source.node
    wired: list[str | Tensor] = [*node.inputs, *source.weights.all_of(node)]
    return custom(
        node.type, *wired, name=node.name, outputs=node.outputs, attributes=own(prototxt, node.name)
    )


def own(prototxt: Path, name: str) -> dict[str, Any]:
    """The fields of a layer's own messages in a prototxt. Raises ConversionError for what no attribute can hold."""
    found: dict[str, Any] = {}
    for block in _layers(prototxt):
        if name in block.get("name", ()):
            for field, values in block.items():
                if field not in COMMON:
                    found |= _flat(field, values)
    return found


def _flat(field: str, values: Sequence[Any]) -> dict[str, Any]:
    """A field as attributes: of a message, its fields; a repeated one is a tuple."""
    messages = [value for value in values if isinstance(value, dict)]
    if not messages:
        return {field: values[0] if len(values) == 1 else tuple(values)}
    if len(messages) != len(values) or len(messages) > 1:
        raise ConversionError(f"its field {field} is repeated, and no attribute can hold that")
    inner = {key: value for key, value in messages[0].items()}
    if nested := [key for key, value in inner.items() if any(isinstance(v, dict) for v in value)]:
        raise ConversionError(
            f"its field {field}.{nested[0]} is a message in a message, which no attribute can hold"
        )
    return {key: value[0] if len(value) == 1 else tuple(value) for key, value in inner.items()}


@lru_cache(maxsize=2)
def _layers(prototxt: Path) -> list[dict[str, list[Any]]]:
    """Every layer of a file as field -> values, messages as such dictionaries again."""
    text = prototxt.read_bytes().decode("utf-8-sig", "replace")
    tokens = [match[1] for match in TOKEN.finditer(text) if match[1]]
    message = _message(iter(tokens), 0, prototxt)
    return [
        block for field in ("layer", "layers") for block in message.get(field, ()) if isinstance(block, dict)
    ]


def _message(tokens: Iterator[str], depth: int, path: Path) -> dict[str, list[Any]]:
    """Fields up to the closing bracket, or the end."""
    if depth > DEEPEST:
        raise FileError(f"{path}: its messages are nested deeper than {DEEPEST}")
    fields: dict[str, list[Any]] = {}
    for token in tokens:
        if token in "}>":
            break
        if token in ";,":
            continue
        held, value = fields.setdefault(token, []), next(tokens, "")
        if value == ":":
            value = next(tokens, "")
        if value in ("{", "<"):
            held.append(_message(tokens, depth + 1, path))
        elif value == "[":
            held += [_scalar(item) for item in iter(lambda: next(tokens, "]"), "]") if item != ","]
        else:
            held.append(_scalar(value))
    return fields


def _scalar(text: str) -> Any:
    """A word of the text as an int, a float, a bool, or a string (an enum's word is one)."""
    if text[:1] in ("'", '"'):
        return text[1:-1].encode("latin-1", "replace").decode("unicode_escape")
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
