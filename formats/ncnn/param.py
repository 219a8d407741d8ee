"""A .param file, text or binary, as a list of nodes. Whatever is wrong with it is a FileError.

Text:    7767517 / layer count, blob count / a line a layer: type name inputs outputs [names of those] key=value ...
Binary:  the same as little-endian int32, blobs by number; keys and values until -233.
A key is a number whose meaning is its layer's; -23300 - key, or commas in the value, make it an array.
Source: ncnn, docs/developer-guide/param-and-model-file-structure.md.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ...engine.errors import ConversionError, FileError

MAGIC = 7767517
MOST_LAYERS = 100_000
MOST_KEYS, LONGEST_NAME = 32, 255  # ncnn's own limits
END_OF_LAYER, ARRAY, STRING = -233, -23300, -23400
# ncnn's numbering of its layer types, by which a binary file names them
TYPES = (  # noqa: SIM905  (a list of words is easier on the eye)
    "AbsVal ArgMax BatchNorm Bias BNLL Concat Convolution Crop Deconvolution Dropout Eltwise ELU Embed Exp Flatten "
    "InnerProduct Input Log LRN MemoryData MVN Pooling Power PReLU Proposal Reduction ReLU Reshape ROIPooling Scale "
    "Sigmoid Slice Softmax Split SPP TanH Threshold Tile RNN LSTM BinaryOp UnaryOp ConvolutionDepthWise Padding "
    "Squeeze ExpandDims Normalize Permute PriorBox DetectionOutput Interp DeconvolutionDepthWise ShuffleChannel "
    "InstanceNorm Clip Reorg YoloDetectionOutput Quantize Dequantize Yolov3DetectionOutput PSROIPooling ROIAlign "
    "Packing Requantize Cast HardSigmoid SELU HardSwish Noop PixelShuffle DeepCopy Mish StatisticsPooling Swish Gemm "
    "GroupNorm LayerNorm Softplus GRU MultiHeadAttention GELU Convolution1D Pooling1D ConvolutionDepthWise1D "
    "Convolution3D ConvolutionDepthWise3D Pooling3D MatMul Deconvolution1D DeconvolutionDepthWise1D Deconvolution3D "
    "DeconvolutionDepthWise3D Einsum DeformableConv2D GLU Fold Unfold GridSample CumulativeSum CopyTo Erf Diag CELU "
    "Shrink RMSNorm Spectrogram InverseSpectrogram Flip SDPA RotaryEmbed"
).split()


@dataclass(frozen=True)
class Raw:
    """32 bits of a binary file: an int or a float, as the layer that reads them knows."""

    bits: bytes


@dataclass
class Node:
    """One layer of the file: its type, name, the blobs it reads and writes, and its parameters by key."""

    type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    params: dict[int, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"

    def integer(self, key: int, default: int = 0) -> int:
        """An integer parameter."""
        return self._one(key, default, _as_int)

    def number(self, key: int, default: float = 0.0) -> float:
        """A number. An integer in a text file counts as what it says."""
        return self._one(key, default, _as_float)

    def integers(self, key: int) -> list[int]:
        """An array of integers; [] if it is not given."""
        return self._many(key, _as_int)

    def numbers(self, key: int) -> list[float]:
        """An array of numbers; [] if it is not given."""
        return self._many(key, _as_float)

    def _one(self, key: int, default: Any, convert: Any) -> Any:
        value = self.params.get(key, default)
        if isinstance(value, (tuple, str)):
            raise ConversionError(f"its parameter {key} is {value!r}, but one number is known")
        return convert(value, key)

    def _many(self, key: int, convert: Any) -> list[Any]:
        value = self.params.get(key, ())
        if not isinstance(value, tuple):
            raise ConversionError(f"its parameter {key} is {value!r}, but an array is known")
        return [convert(v, key) for v in value]


def _as_int(value: Any, key: int) -> int:
    if isinstance(value, Raw):
        return struct.unpack("<i", value.bits)[0]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**31:
        return int(value)
    if isinstance(value, float):
        raise ConversionError(f"its parameter {key} is {value}, but it has to be an integer")
    return value


def _as_float(value: Any, key: int) -> float:
    number = struct.unpack("<f", value.bits)[0] if isinstance(value, Raw) else float(value)
    if not isfinite(number):
        raise ConversionError(f"its parameter {key} is {number}")
    return float(f"{number:.7g}") if isinstance(value, Raw) else number


def read_param(path: Path) -> list[Node]:
    """The layers of a .param file in their order. Raises FileError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if is_binary_param(data):
        return _Binary(data, path).nodes()
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text, at byte {error.start}, and no binary .param either") from None
    return _text(lines, path)


def is_binary_param(data: bytes) -> bool:
    """Whether these are the first bytes of a binary .param."""
    return data[:4] == struct.pack("<i", MAGIC)


# -- text ----------------------------------------------------------------------------------------------------

PARAM = re.compile(r'(-?\d{1,6})=("[^"]*"|\S*)')


def _text(lines: list[str], path: Path) -> list[Node]:
    rows = [(i, line.split(None, 4)) for i, line in enumerate(lines, 1) if line.strip()]
    if not rows or rows[0][1] != [str(MAGIC)]:
        got = repr(lines[0][:40]) if lines else "nothing"
        raise FileError(f"{path}: begins with {got}, but a .param begins with {MAGIC}")
    counts = rows[1][1] if len(rows) > 1 else []
    if len(counts) != 2 or not all(c.isascii() and c.isdigit() and len(c) < 10 for c in counts):
        raise FileError(f"{path}: its second line must be the numbers of layers and blobs")
    count = int(counts[0])
    if count > len(rows) - 2:
        raise FileError(f"{path}: says it has {count} layers, but has {len(rows) - 2}: truncated?")
    if count > MOST_LAYERS:
        raise FileError(f"{path}: {count} layers are more than any net has")
    return [
        _line(words, f"{path}:{number}") for number, words in rows[2 : 2 + count]
    ]  # ncnn reads no more either


def _line(words: list[str], where: str) -> Node:
    if len(words) < 4 or not all(w.isascii() and w.isdigit() and len(w) < 6 for w in words[2:4]):
        raise FileError(
            f"{where}: a layer is: type name inputs outputs ..., but got {' '.join(words)[:60]!r}"
        )
    (kind, name), reads, writes = words[:2], int(words[2]), int(words[3])
    rest = words[4] if len(words) > 4 else ""
    names = rest.split(None, reads + writes)
    if len(names) < reads + writes or any("=" in n for n in names[: reads + writes] if PARAM.fullmatch(n)):
        raise FileError(f"{where}: {name} ({kind}) has {reads} inputs and {writes} outputs, but fewer names")
    if max(map(len, (kind, name, *names[: reads + writes]))) > LONGEST_NAME:
        raise FileError(f"{where}: a name has at most {LONGEST_NAME} letters, but here is a longer one")
    node = Node(kind, name, names[:reads], names[reads : reads + writes])
    text = names[reads + writes].strip() if len(names) > reads + writes else ""
    at = 0
    while at < len(text):
        match = PARAM.match(text, at)
        if match is None:
            raise FileError(f"{where}: {node}: {text[at : at + 40]!r} is no key=value")
        key, value = int(match[1]), match[2]
        is_array = key <= ARRAY
        key = ARRAY - key if is_array else key
        at = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip())
        if key == 30 and is_array:  # a hint about shapes, which are inferred
            continue
        if not 0 <= key < MOST_KEYS or key in node.params:
            raise FileError(f"{where}: {node}: the key {match[1]} is out of range or given twice")
        node.params[key] = _value(value, is_array, f"{where}: {node}: {match[0][:40]}")
    return node


def _value(text: str, is_array: bool, where: str) -> Any:
    if text.startswith('"') or (text[:1].isalpha() and not is_array):
        if len(text) > LONGEST_NAME + 2:
            raise FileError(f"{where}: a text has at most {LONGEST_NAME} letters, but this has {len(text)}")
        return text.strip('"')
    items = text.split(",")
    if items[-1] == "" and len(items) > 1:  # 3=2.0, is an array of one
        items.pop()
    if is_array:
        count, *items = items
        if not count.isdigit() or int(count) != len(items):
            raise FileError(f"{where}: says it has {count[:20]} values, but has {len(items)}")
    elif "," not in text:
        return _number(text, where)
    return tuple(_number(item, where) for item in items)


def _number(text: str, where: str) -> int | float:
    try:
        if len(text) > 40 or not text.isascii() or "_" in text:
            raise ValueError
        number = float(text) if any(c in text for c in ".eE") else int(text)
    except ValueError:
        raise FileError(f"{where}: {text[:20]!r} is no number") from None
    if not isfinite(number) or (isinstance(number, int) and not -(2**31) <= number < 2**32):
        raise FileError(f"{where}: {text[:20]} is out of range")
    return number


# -- binary --------------------------------------------------------------------------------------------------


class _Binary:
    """A walk over a binary .param."""

    def __init__(self, data: bytes, path: Path):
        self.data, self.path, self.at = data, path, 4

    def nodes(self) -> list[Node]:
        count, blobs = self.number(), self.number()
        if not 0 <= count <= MOST_LAYERS or not 0 <= blobs <= 100 * MOST_LAYERS:
            raise FileError(f"{self.path}: says it has {count} layers and {blobs} blobs")
        found = [self.node(i, blobs) for i in range(count)]
        if self.at != len(self.data):
            raise FileError(f"{self.path}: {len(self.data) - self.at} bytes follow its {count} layers")
        return found

    def node(self, index: int, blobs: int) -> Node:
        kind, reads, writes = self.number(), self.number(), self.number()
        name = f"layer {index} (type {kind})"
        known = TYPES[kind] if 0 <= kind < len(TYPES) else f"type {kind}"
        if not 0 <= reads <= blobs or not 0 <= writes <= blobs:
            raise FileError(f"{self.path}: {name} has {reads} inputs and {writes} outputs, of {blobs} blobs")
        numbers = [self.number() for _ in range(reads + writes)]
        if not all(0 <= n < blobs for n in numbers):
            raise FileError(f"{self.path}: {name} names the blobs {numbers[:8]}, but there are {blobs}")
        names = [f"blob{n}" for n in numbers]
        node = Node(known, f"{known.lower()}{index}", names[:reads], names[reads:])
        while (key := self.number()) != END_OF_LAYER:
            place = STRING - key if key <= STRING else ARRAY - key if key <= ARRAY else key
            if not 0 <= place < MOST_KEYS or place in node.params:
                raise FileError(f"{self.path}: {node}: the key {key} is out of range or given twice")
            node.params[place] = self.value(key, f"{self.path}: {node}: key {place}")
        node.params.pop(30, None)
        return node

    def value(self, key: int, where: str) -> Any:
        if key > ARRAY:
            return Raw(self.take(4))
        count = self.number()
        if not 0 <= count <= len(self.data) - self.at:
            raise FileError(f"{where} says it has {count} values, more than the file")
        if key <= STRING:
            return self.take((count + 3) // 4 * 4)[:count].decode("utf-8", "replace")
        return tuple(Raw(self.take(4)) for _ in range(count))

    def number(self) -> int:
        return struct.unpack("<i", self.take(4))[0]

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise FileError(
                f"{self.path}: ends at byte {len(self.data)}, in the middle of a layer: truncated"
            )
        self.at += count
        return self.data[self.at - count : self.at]
