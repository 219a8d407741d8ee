"""FlatBuffers without generated code: a schema is read at run time, every byte is checked before it is used.

    schema = parse(Path("fbnet.fbs").read_text())
    data = encode(schema, {"name": "lenet", "layers": [{"type": "ReLU", ...}], ...})
    root = decode(schema, data)

A table is a dict of its fields, a vector a tuple (of ubyte: bytes), a string a str, an enum its number. A union `u`
is two fields: `u_type`, the number of its member, and `u`, that member's table, or None if the schema has no such
member. An absent field is its default, or None. The decoder is meant for hostile bytes: each offset, alignment, length
and string is checked, and the work is linear in the buffer's length, however its offsets are tangled. It raises
FileError, naming the field:
`layers[3].inputs[0]: offset 9120 lies past the end (4096)`. The layout is described at flatbuffers.dev/internals.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..engine.errors import FileError, InputError
from .schema import SCALARS, Field, Schema

MAX_DEPTH = 64  # of nested tables


class Malformed(FileError):
    """A FileError that learns on its way up in which field it happened: 'layers[3].name: ...'."""

    def __init__(self, problem: str):
        super().__init__(problem)
        self.problem, self.path = problem, ""

    def within(self, step: str) -> Malformed:
        """The same error, seen from one level further out; step is a field's name or '[index]'."""
        self.path = step + ("." if self.path and self.path[0] != "[" else "") + self.path
        return self

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


# -- decoding ----------------------------------------------------------------------------------------------


def decode(
    schema: Schema, data: bytes | mmap.mmap, limit: int | None = None, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """The root table of the FlatBuffer in data[:limit], as a dict; with `only`, just those of its fields.

    The identifier at bytes 4..7 is the caller's to look at. Raises FileError, naming the field.
    """
    decoder = _Decoder(schema, data, min(len(data), limit if limit is not None else len(data)))
    decoder.check(0, 8)
    return decoder.table(schema.root, decoder.target(0), 0, only)


def is_plausible(data: bytes | mmap.mmap) -> bool:
    """Whether the bytes could be a FlatBuffer of some schema: they lead to a table, and that to its vtable."""
    try:
        decode(Schema({"": ()}, "", b"", {}, {}), data)
    except FileError:
        return False
    return True


_U32, _I32 = struct.Struct("<I"), struct.Struct("<i")
_UNPACK = {name: struct.Struct("<" + scalar.format).unpack_from for name, scalar in SCALARS.items()}
_Read = Callable[[int, int], Any]  # (where a field's inline bytes are, depth) -> its value


class _Layout(NamedTuple):
    """What a vtable says: the bytes of its table, the values of absent fields, and where the others are."""

    size: int
    missing: list[str]  # required fields that are absent
    absent: dict[str, Any]
    present: list[tuple[str, int, int, _Read]]  # name, offset in the table, alignment, reader


class _Decoder:
    def __init__(self, schema: Schema, data: bytes | mmap.mmap, limit: int):
        self.schema, self.data, self.limit = schema, data, limit
        self.budget = 2 * limit + 64  # bytes that may be looked at, all in all
        self.layouts: dict[tuple[str, int], _Layout] = {}
        self.strings: dict[int, str] = {}

    def check(self, at: int, count: int, align: int = 4) -> None:
        """Check that data[at:at+count] is there, and aligned."""
        if at < 0:
            raise Malformed(f"offset {at} lies before the start")
        if at + count > self.limit:
            what = f"offset {at}" if at >= self.limit else f"what begins at {at} is {count} bytes long and"
            raise Malformed(f"{what} lies past the end ({self.limit})")
        if at % align:
            raise Malformed(f"offset {at} is not a multiple of {align}")

    def take(self, at: int, count: int, align: int = 4) -> None:
        """Check that data[at:at+count] is there, aligned, and within the budget."""
        self.check(at, count, align)
        self.budget -= count
        if self.budget < 0:
            raise Malformed(
                f"objects overlap: together they would take more than twice the {self.limit} bytes there are"
            )

    def target(self, at: int) -> int:
        """Where the offset stored at `at`, which is known to be there, points to."""
        return at + _U32.unpack_from(self.data, at)[0]

    def table(self, name: str, at: int, depth: int, only: Sequence[str] | None = None) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise Malformed(f"tables are nested deeper than {MAX_DEPTH}")
        size, missing, absent, present = self.layout(name, at)
        self.take(at, size)
        if missing and only is None:
            raise Malformed("it is missing").within(missing[0])
        values = absent.copy()
        field = ""
        try:
            for field, offset, align, read in present:
                if (at + offset) % align:
                    raise Malformed(f"offset {at + offset} is not a multiple of {align}")
                if only is None or field in only:
                    values[field] = read(at + offset, depth)
        except Malformed as error:
            raise error.within(field) from None
        return values if only is None else {name: values[name] for name in only}

    def layout(self, name: str, at: int) -> _Layout:
        """The layout of the table at `at`, checked once for each vtable."""
        self.check(at, 4)
        vtable = at - _I32.unpack_from(self.data, at)[0]
        found = self.layouts.get((name, vtable))
        if found is None:
            try:
                found = self.layouts[name, vtable] = self.read_vtable(name, vtable)
            except Malformed as error:
                error.problem = f"vtable of {name}: {error.problem}"
                raise
        return found

    def read_vtable(self, name: str, vtable: int) -> _Layout:
        self.check(vtable, 4, 2)
        length, size = struct.unpack_from("<HH", self.data, vtable)
        if length < 4 or length % 2 or size < 4:
            raise Malformed(f"it is {length} bytes long, for a table of {size}")
        self.take(vtable, length, 2)
        offsets = struct.unpack_from(f"<{length // 2}H", self.data, vtable)[2:]
        layout = _Layout(size, [], {}, [])
        for index, field in enumerate(self.schema.tables[name]):
            offset = offsets[index] if index < len(offsets) else 0
            if not offset:
                if field.required:
                    layout.missing.append(field.name)
                layout.absent[field.name] = field.default
            elif offset < 4 or offset + field.inline > size:
                raise Malformed(f"{field.name} is at {offset} of a table of {size} bytes")
            else:
                before = offsets[index - 1] - offset if index and offsets[index - 1] else None
                layout.present.append((field.name, offset, field.inline, self.reader(field, before)))
        return layout

    def reader(self, field: Field, before: int | None) -> _Read:
        """The function that reads a field's value; the field before it lies `before` bytes from it, if it is there."""
        if field.type in self.schema.unions:
            members = self.schema.unions[field.type]
            return lambda at, depth: self.member(members, at, before, depth)
        if field.vector:
            return lambda at, depth: self.vector(field.type, at, depth)
        if field.type == "string":
            return self.string
        if field.type in SCALARS:
            unpack = _UNPACK[field.type]
            return lambda at, depth: unpack(self.data, at)[0]
        return lambda at, depth: self.table(field.type, self.target(at), depth + 1)

    def member(self, members: Mapping[int, str], at: int, before: int | None, depth: int) -> Any:
        """A union's table, if its type, `before` bytes from here, is one that the schema has."""
        name = members.get(self.data[at + before]) if before is not None else None
        return None if name is None else self.table(name, self.target(at), depth + 1)

    def string(self, at: int, depth: int = 0) -> str:
        """The string that the offset at `at` points to; one that is shared is decoded, and paid for, once."""
        start = self.target(at)
        known = self.strings.get(start)
        if known is not None:
            return known
        self.check(start, 4)
        end = start + 4 + _U32.unpack_from(self.data, start)[0]
        self.take(start, end + 1 - start)
        if self.data[end]:
            raise Malformed(f"the string at {start} does not end with a NUL")
        try:
            text = self.strings[start] = str(self.data[start + 4 : end], "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed(
                f"the string at {start} is not UTF-8: {error.reason} at {start + 4 + error.start}"
            ) from None
        return text

    def vector(self, type: str, at: int, depth: int) -> Any:
        start = self.target(at)
        self.check(start, 4)
        count, scalar = _U32.unpack_from(self.data, start)[0], SCALARS.get(type)
        size = scalar.size if scalar else 4
        self.take(start, 4 + count * size)
        start += 4
        if start % size:
            raise Malformed(f"the vector's elements at {start} are not at a multiple of {size}")
        if type == "ubyte":
            return bytes(self.data[start : start + count])
        if scalar:
            return struct.unpack_from(f"<{count}{scalar.format}", self.data, start)
        items: list[Any] = []
        try:
            for slot in range(start, start + 4 * count, 4):
                if type == "string":
                    items.append(self.string(slot))
                else:
                    items.append(self.table(type, self.target(slot), depth + 1))
        except Malformed as error:
            raise error.within(f"[{len(items)}]") from None
        return tuple(items)


# -- encoding ----------------------------------------------------------------------------------------------


def encode(schema: Schema, root: Mapping[str, Any]) -> bytes:
    """The FlatBuffer that decodes to `root`: the same bytes for the same values. None and defaults are left out.

    Raises InputError, naming the field, for a value that does not fit its type.
    """
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(4096)
    builder.Finish(_table(schema, builder, schema.root, root, ""), schema.identifier)
    return bytes(builder.Output())


def _table(schema: Schema, builder: Any, name: str, values: Mapping[str, Any], path: str) -> int:
    """Write a table, its children first; return where it is, as the builder counts."""
    fields = schema.tables[name]
    if any(f.type in schema.unions for f in fields):
        raise InputError(f"{path}{name}: a table with a union can be read but not written")
    for unknown in values.keys() - {f.name for f in fields}:
        raise InputError(f"{path}{unknown}: {name} has no such field")
    slots: list[tuple[int, int, Field, Any]] = []
    for index, field in enumerate(fields):
        value = values.get(field.name, field.default)
        if value is None and field.required:
            raise InputError(f"{path}{field.name}: it is missing")
        if value is not None:
            try:
                slots.append(
                    (field.inline, index, field, _child(schema, builder, field, value, path + field.name))
                )
            except InputError:
                raise
            except (TypeError, ValueError, OverflowError, struct.error, AttributeError) as error:
                raise InputError(
                    f"{path}{field.name}: {field.type} cannot hold {value!r:.80}: {error}"
                ) from None
    builder.StartObject(len(fields))
    for _, index, field, value in sorted(
        slots, key=lambda slot: slot[:2], reverse=True
    ):  # large first: less padding
        if field.inline == 4 and (field.vector or field.type not in SCALARS):
            builder.PrependUOffsetTRelativeSlot(index, value, 0)
        else:
            getattr(builder, f"Prepend{SCALARS[field.type].builder}Slot")(index, value, field.default)
    return builder.EndObject()


def _child(schema: Schema, builder: Any, field: Field, value: Any, path: str) -> Any:
    """Write what a field refers to and return where it is; for a scalar, check it and return it."""
    if field.vector:
        return _vector(schema, builder, field.type, value, path)
    if field.type in SCALARS:
        struct.pack("<" + SCALARS[field.type].format, value)
        return value
    return _object(schema, builder, field.type, value, path)


def _object(schema: Schema, builder: Any, type: str, value: Any, path: str) -> int:
    if type == "string":
        if not isinstance(value, str):
            raise TypeError("not a string")
        return builder.CreateSharedString(value)
    return _table(schema, builder, type, value, path + ".")


def _vector(schema: Schema, builder: Any, type: str, values: Sequence[Any], path: str) -> int:
    if type == "ubyte":
        return builder.CreateByteVector(values)
    if type in SCALARS:
        builder.StartVector(SCALARS[type].size, len(values), SCALARS[type].size)
        prepend = getattr(builder, f"Prepend{SCALARS[type].builder}")
        for value in reversed(values):
            prepend(value)
        return builder.EndVector()
    offsets = [_object(schema, builder, type, value, f"{path}[{i}]") for i, value in enumerate(values)]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
