"""FlexBuffers: self-describing values, for attributes and metadata whose names no schema knows.

    data = encode({"stride": (2, 2), "activation": "ReLU"})
    decode(data)                                 # {"activation": "ReLU", "stride": [2, 2]}

None, bool, int (64 bits), float (64 bits), str, bytes, lists and dicts come back as they were; a tuple comes back
as a list, and a dict in the order of its keys. The decoder is meant for hostile bytes: it looks at nothing outside
the buffer, and the work is linear in the buffer's length, also where vectors hold each other. The layout is
described at flatbuffers.dev/internals ("FlexBuffers").
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..engine.errors import InputError
from .flatbuffer import Malformed

MAX_DEPTH = 64  # of vectors and maps inside each other

# A value's type is a byte: kind << 2 | log2(bytes of what it is made of). The kinds, by flexbuffers.h:
NULL, INT, UINT, FLOAT, KEY, STRING, INDIRECT_INT, INDIRECT_UINT, INDIRECT_FLOAT, MAP, VECTOR = range(11)
BLOB, BOOL = 25, 26
TYPED = {11: INT, 12: UINT, 13: FLOAT, 14: KEY, 36: BOOL}  # vectors without a type for each element
FIXED = {16 + 3 * (n - 2) + i: (kind, n) for n in (2, 3, 4) for i, kind in enumerate((INT, UINT, FLOAT))}
FORMATS = {
    NULL: {1: "B", 2: "H", 4: "I", 8: "Q"},
    INT: {1: "b", 2: "h", 4: "i", 8: "q"},
    UINT: {1: "B", 2: "H", 4: "I", 8: "Q"},
    FLOAT: {4: "f", 8: "d"},
    BOOL: {1: "B", 2: "H", 4: "I", 8: "Q"},
}
UNPACK = {(k, n): struct.Struct("<" + f).unpack_from for k, row in FORMATS.items() for n, f in row.items()}


def decode(data: bytes) -> Any:
    """The value in a FlexBuffer. Raises FileError, naming the place: `image.mean[1]: ...`."""
    if len(data) < 3:
        raise Malformed(f"a FlexBuffer has at least 3 bytes but this has {len(data)}")
    width, packed = data[-1], data[-2]
    if width not in (1, 2, 4, 8):
        raise Malformed(f"its root is {width} bytes wide; it can be 1, 2, 4 or 8")
    return _Decoder(data).value(len(data) - 2 - width, width, packed, 0)


class _Decoder:
    def __init__(self, data: bytes):
        self.data = data
        self.budget = 2 * len(data) + 16  # bytes that may be looked at, all in all
        self.texts: dict[
            tuple[int, int], str
        ] = {}  # strings and keys that were decoded, and paid for, already

    def take(self, at: int, count: int) -> None:
        """Check that data[at:at+count] is there and within the budget."""
        if at < 0 or at + count > len(self.data):
            raise Malformed(f"bytes {at} to {at + count} of a FlexBuffer of {len(self.data)}")
        self.budget -= count
        if self.budget < 0:
            raise Malformed(
                f"values overlap: together they take more than twice the {len(self.data)} bytes here"
            )

    def scalar(self, kind: int, at: int, width: int) -> Any:
        """The null, number or bool of `width` bytes at `at`."""
        self.take(at, width)
        unpack = UNPACK.get((kind, width))
        if unpack is None:
            raise Malformed(f"a float has 4 or 8 bytes, not {width}")
        value = unpack(self.data, at)[0]
        return None if kind == NULL else value != 0 if kind == BOOL else value

    def value(self, at: int, width: int, packed: int, depth: int) -> Any:
        """The value whose slot, `width` bytes wide, is at `at`, of packed type `packed`."""
        kind, size = packed >> 2, 1 << (packed & 3)
        if kind <= FLOAT or kind == BOOL:
            return self.scalar(kind, at, width)
        target = at - self.scalar(UINT, at, width)
        if kind == STRING:
            return self.texts.get((target, size)) or self.string(target, size)
        if INDIRECT_INT <= kind <= INDIRECT_FLOAT:
            return self.scalar(kind - INDIRECT_INT + INT, target, size)
        if kind == KEY:
            return self.key(target)
        if kind == BLOB:
            count = self.length(target, size)
            self.take(target, count)
            return self.data[target : target + count]
        if depth >= MAX_DEPTH:
            raise Malformed(f"values are nested deeper than {MAX_DEPTH}")
        if kind == VECTOR:
            return self.vector(target, size, depth)
        if kind == MAP:
            return self.map(target, size, depth)
        if kind in TYPED:
            return self.typed(TYPED[kind], target, size, self.length(target, size))
        if kind in FIXED:
            return self.typed(FIXED[kind][0], target, size, FIXED[kind][1])
        raise Malformed(f"there is no FlexBuffer type {kind}")

    def length(self, target: int, size: int) -> int:
        """The length that is stored, in `size` bytes, before a string, blob, vector or map at `target`."""
        return self.scalar(UINT, target - size, size)

    def string(self, at: int, size: int) -> str:
        """The string at `at`, whose length is stored before it in `size` bytes."""
        return self.text(at, self.length(at, size), size)

    def key(self, at: int) -> str:
        """The NUL-terminated string at `at`."""
        known = self.texts.get((at, 0))
        if known is not None:
            return known
        end = self.data.find(0, at) if at >= 0 else -1
        if end < 0:
            raise Malformed(f"the key at {at} does not end")
        return self.text(at, end - at, 0)

    def text(self, at: int, count: int, size: int) -> str:
        self.take(at, count)
        try:
            text = self.texts[at, size] = self.data[at : at + count].decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"the string at {at} is not UTF-8: {error.reason}") from None
        return text

    def typed(self, kind: int, at: int, size: int, count: int) -> list[Any]:
        """A vector of `count` numbers, bools or keys of `size` bytes each."""
        self.take(at, count * size)
        slots = range(at, at + count * size, size)
        if kind == KEY:
            return [self.key(slot - UNPACK[UINT, size](self.data, slot)[0]) for slot in slots]
        if (kind, size) not in UNPACK:
            raise Malformed(f"a float has 4 or 8 bytes, not {size}")
        values = struct.unpack_from(f"<{count}{FORMATS[kind][size]}", self.data, at)
        return [v != 0 for v in values] if kind == BOOL else list(values)

    def vector(self, at: int, size: int, depth: int) -> list[Any]:
        """A vector at `at`: slots of `size` bytes, then one type byte for each."""
        count = self.length(at, size)
        self.take(at + count * size, count)
        types = self.data[at + count * size : at + count * (size + 1)]
        items: list[Any] = []
        try:
            for index, packed in enumerate(types):
                items.append(self.value(at + index * size, size, packed, depth + 1))
        except Malformed as error:
            raise error.within(f"[{len(items)}]") from None
        return items

    def map(self, at: int, size: int, depth: int) -> dict[str, Any]:
        """A map at `at`: a vector; before its length stand the offset and width of a vector of keys."""
        slot = at - 3 * size
        keys_at = slot - self.scalar(UINT, slot, size)
        keys_size = self.scalar(UINT, at - 2 * size, size)
        if keys_size not in (1, 2, 4, 8):
            raise Malformed(f"the keys of a map are {keys_size} bytes wide; they can be 1, 2, 4 or 8")
        keys = self.typed(KEY, keys_at, keys_size, self.length(keys_at, keys_size))
        count = self.length(at, size)
        if len(keys) != count:
            raise Malformed(f"a map has {len(keys)} keys and {count} values")
        self.take(at + count * size, count)
        types = self.data[at + count * size : at + count * (size + 1)]
        entries: dict[str, Any] = {}
        for index, (key, packed) in enumerate(zip(keys, types, strict=True)):
            if key in entries:
                raise Malformed(f"a map has the key {key!r} twice")
            try:
                entries[key] = self.value(at + index * size, size, packed, depth + 1)
            except Malformed as error:
                raise error.within(key) from None
        return entries


def encode(value: Any) -> bytes:
    """The FlexBuffer that decodes to `value`: the same bytes for equal values.

    Raises InputError, naming the place, for what a FlexBuffer cannot hold.
    """
    from flatbuffers import flexbuffers  # type: ignore[import-untyped]

    value = _storable(value, "", 0)
    builder = flexbuffers.Builder()
    _add(builder, value)
    return bytes(builder.Finish())


def _storable(value: Any, path: str, depth: int) -> Any:
    """`value` made of plain Python objects, its keys UTF-8; or InputError."""
    if isinstance(value, np.generic):
        value = value.item()
    if depth > MAX_DEPTH:
        raise InputError(f"{path}: values are nested deeper than {MAX_DEPTH}, or hold themselves")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or "\0" in key or not _is_text(key):
                raise InputError(f"{path}: the key {key!r} cannot be stored: use a str without NUL")
        items = sorted(value.items())  # so that equal maps have equal bytes
        return {k.encode(): _storable(v, f"{path}.{k}" if path else k, depth + 1) for k, v in items}
    if isinstance(value, (list, tuple)):
        return [_storable(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, float, bytes)):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return int(value)
    if isinstance(value, str) and _is_text(value):
        return value
    raise InputError(
        f"{path or 'value'}: {value!r:.80} ({type(value).__name__}) cannot be stored: "
        "use None, bool, int of 64 bits, float, str, bytes, list or dict"
    )


def _is_text(value: str) -> bool:
    """Whether `value` has a UTF-8 form: it holds no lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in value)


def _add(builder: Any, value: Any) -> None:
    if isinstance(value, dict):
        with builder.Map():
            for key, item in value.items():
                builder.Key(key)
                _add(builder, item)
    elif isinstance(value, list):
        with builder.Vector():
            for item in value:
                _add(builder, item)
    elif isinstance(value, float):
        builder.Float(value, 8)  # the library's own choice of width fails beyond fp32's range
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 63:
        builder.UInt(value)
    else:
        builder.Add(value)
