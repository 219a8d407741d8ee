"""A FlatBuffers schema, read from the text of its .fbs file: tables, enums and unions, and no more of the language.

    schema = parse(Path("fbnet.fbs").read_text())

`flatbuffer` decodes and encodes by it. The language is described at flatbuffers.dev/schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..engine.errors import FileError


class Scalar(NamedTuple):
    """A scalar type: its struct format, bytes, and what flatbuffers.Builder calls it."""

    format: str
    size: int
    builder: str


SCALARS = {
    "bool": Scalar("?", 1, "Bool"),
    "byte": Scalar("b", 1, "Int8"),
    "ubyte": Scalar("B", 1, "Uint8"),
    "short": Scalar("h", 2, "Int16"),
    "ushort": Scalar("H", 2, "Uint16"),
    "int": Scalar("i", 4, "Int32"),
    "uint": Scalar("I", 4, "Uint32"),
    "long": Scalar("q", 8, "Int64"),
    "ulong": Scalar("Q", 8, "Uint64"),
    "float": Scalar("f", 4, "Float32"),
    "double": Scalar("d", 8, "Float64"),
}


@dataclass(frozen=True)
class Field:
    """A field of a table: `type` is a scalar's, 'string', or a table's or union's name; or a vector of these."""

    name: str
    type: str
    vector: bool
    default: Any  # of a scalar; None if it is null or no scalar
    required: bool

    @property
    def inline(self) -> int:
        """Bytes of the field inside its table: a scalar's own, else an offset's."""
        return 4 if self.vector or self.type not in SCALARS else SCALARS[self.type].size


@dataclass(frozen=True)
class Schema:
    """Tables (name -> fields, in the order of their ids), the name of the root, the file identifier; and what enums
    and unions call their numbers (name -> number -> name, of a union's members that of a table)."""

    tables: Mapping[str, tuple[Field, ...]]
    root: str
    identifier: bytes
    enums: Mapping[str, Mapping[int, str]]
    unions: Mapping[str, Mapping[int, str]]


_FIELD = re.compile(r"(\w+)\s*:\s*(\[?)\s*(\w+)\s*\]?\s*(?:=\s*([\w.+-]+))?\s*(?:\(([^)]*)\))?\s*;\s*")


_ENUM = re.compile(r"\b(enum|union)\s+(\w+)\s*(?::\s*(\w+)\s*)?\{([^}]*)\}")


def parse(text: str) -> Schema:
    """The schema that a .fbs file declares. Raises FileError if it uses more of the language than is known."""
    text = re.sub(r"//[^\n]*", "", text)
    sorts: dict[str, dict[str, dict[int, str]]] = {"enum": {}, "union": {}}
    stored: dict[str, str] = {}  # enum -> the scalar type that it is stored as
    for sort, name, type, body in _ENUM.findall(text):
        sorts[sort][name], stored[name] = _numbered(name, body), type
    enums, unions = sorts["enum"], sorts["union"]
    text = _ENUM.sub("", text)
    tables = {
        name: tuple(_unfolded(_fields(name, body), enums, unions, stored))
        for name, body in re.findall(r"\btable\s+(\w+)\s*\{([^}]*)\}", text)
    }
    rest = re.sub(r"\btable\s+\w+\s*\{[^}]*\}", "", text)
    said = dict(re.findall(r"\b(namespace|root_type|file_identifier|file_extension)\s+\"?(\w+)\"?\s*;", rest))
    left = re.sub(
        r"\b(?:namespace|root_type|file_identifier|file_extension)\s+\"?\w+\"?\s*;", "", rest
    ).split()
    if left:
        raise FileError(
            f"schema: cannot read {left[0]!r}: only tables, enums, unions, root_type and file_identifier are known here"
        )
    for name, fields in tables.items():
        for each in fields:
            if each.type not in (*SCALARS, "string", *tables, *unions) or (
                each.type in unions and each.vector
            ):
                raise FileError(f"schema: {name}.{each.name} has the unknown type {each.type!r}")
    for name, members in unions.items():
        for member in members.values():
            if member not in tables:
                raise FileError(f"schema: union {name}: there is no table {member!r}")
    if said.get("root_type") not in tables or len(said.get("file_identifier", "")) != 4:
        raise FileError(
            "schema: it needs a root_type that is a table, and a file_identifier of four characters"
        )
    return Schema(tables, said["root_type"], said["file_identifier"].encode(), enums, unions)


def _numbered(name: str, body: str) -> dict[int, str]:
    """What an enum or a union calls its numbers. Every one is written out: `A = 0, B = 1`."""
    found: dict[int, str] = {}
    for entry in filter(None, (part.strip() for part in body.split(","))):
        match = re.fullmatch(r"(\w+)\s*=\s*(-?\d+)", entry)
        if match is None:
            raise FileError(f"schema: {name}: cannot read {entry!r}: write 'NAME = number'")
        found[int(match[2])] = match[1]
    return found


def _unfolded(
    fields: Iterator[Field], enums: Mapping[str, Any], unions: Mapping[str, Any], stored: Mapping[str, str]
) -> Iterator[Field]:
    """The fields with enums as the scalars that they are, and a union's type in front of it."""
    for each in fields:
        if each.type in enums and stored[each.type] in SCALARS:
            yield replace(each, type=stored[each.type], default=None if each.vector else each.default or 0)
            continue
        if each.type in unions and not each.vector:
            yield Field(f"{each.name}_type", "ubyte", False, 0, False)
        yield each


def _fields(table: str, body: str) -> Iterator[Field]:
    at = len(body) - len(body.lstrip())
    while at < len(body):
        match = _FIELD.match(body, at)
        if match is None:
            raise FileError(f"schema: table {table}: cannot read {body[at:].split(';')[0].strip()!r}")
        name, bracket, type, default, attributes = match.groups()
        scalar = not bracket and type in SCALARS
        value = None if default == "null" or not scalar else _default(type, default)
        yield Field(name, type, bool(bracket), value, "required" in re.findall(r"\w+", attributes or ""))
        at = match.end()


def _default(type: str, text: str | None) -> Any:
    if type == "bool":
        return text == "true"
    return float(text or 0) if type in ("float", "double") else int(text or 0)
