"""caffe.proto, in this folder, turned into protobuf message classes at run time.

    NetParameter = schema()["NetParameter"]

This is the only file that imports protobuf, and it does so inside its functions: `import fbnet` needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ...engine.errors import ConversionError, FileError

PROTO = Path(__file__).with_name("caffe.proto")
PACKAGE = ".fbnet.caffe"
SCALARS = {"double": 1, "float": 2, "int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}
MESSAGE, ENUM = 11, 14  # as SCALARS: FieldDescriptorProto.Type
LABELS = {"optional": 1, "repeated": 3}
FOREIGN = 1000  # enum values from here on are words that the schema does not know

# Any of protobuf's parsers may fail in these ways on bytes or text that somebody else made.
PARSE_ERRORS = (ValueError, TypeError, KeyError, RecursionError, MemoryError)


def schema(words: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Message name -> class. `words` are (field, value) pairs from a text, like ("pool", "MAX").

    Where an enum of that field lacks the value, it is added, so that a fork's word does not stop the parser and can
    be reported with its layer. Raises ConversionError if protobuf is not installed.
    """
    try:
        import google.protobuf  # noqa: F401
    except ImportError:
        raise ConversionError(
            "reading Caffe's files needs the protobuf library: pip install fbnet[caffe]"
        ) from None
    known = _enum_words()
    return _classes(frozenset((f, value) for f, value in words if f in known and value not in known[f]))


def parse_text(text: str, path: Path) -> Any:
    """A .prototxt's text -> NetParameter; fields that caffe.proto does not name are skipped. Raises FileError."""
    message = schema(re.findall(r"\b(\w+)\s*:\s*([A-Za-z_]\w*)", text))["NetParameter"]()
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, message, allow_unknown_field=True)
    except (text_format.ParseError, *PARSE_ERRORS) as error:
        raise FileError(f"{path}: is no prototxt: {_one_line(error)}") from None


def parse_binary(data: bytes, message: str, what: str) -> Any:
    """Bytes -> the message of this name; unknown fields are kept apart. Raises FileError, naming `what`."""
    cls = schema()[message]
    from google.protobuf.message import DecodeError

    try:
        return cls.FromString(data)
    except (DecodeError, *PARSE_ERRORS) as error:
        raise FileError(f"{what}: is damaged, or not Caffe's: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


# -- the .proto language, as far as caffe.proto uses it ------------------------------------------------------


@cache
def _tokens() -> tuple[str, ...]:
    text = re.sub(r"//[^\n]*", "", PROTO.read_text("utf-8"))
    return tuple(re.findall(r'"[^"]*"|-?\d[\w.]*(?:-\d+)?|[\w.]+|[{}\[\]=;,]', text))


@cache
def _enum_words() -> dict[str, set[str]]:
    """Name of a field that is an enum in some message -> the values that all such enums have."""
    file = _file()
    enums = {
        f"{PACKAGE}.{m.name}.{e.name}": {v.name for v in e.value}
        for m in file.message_type
        for e in m.enum_type
    }
    words: dict[str, set[str]] = {}
    for message in file.message_type:
        for field in message.field:
            if field.type == ENUM:
                words[field.name] = enums[field.type_name] & words.get(field.name, enums[field.type_name])
    return words


@lru_cache(maxsize=8)
def _classes(foreign: frozenset[tuple[str, str]]) -> dict[str, Any]:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    file = _file()
    for message in file.message_type:
        for enum in message.enum_type:
            _admit(message, enum, foreign)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    package = pool.FindFileByName(file.name).message_types_by_name
    return {name: GetMessageClass(descriptor) for name, descriptor in package.items()}


def _admit(message: Any, enum: Any, foreign: frozenset[tuple[str, str]]) -> None:
    """Add to an enum the foreign words that its fields are given, unless they are taken in its message."""
    fields = {f.name for f in message.field if f.type_name.endswith(f".{message.name}.{enum.name}")}
    taken = {e.name for e in message.enum_type} | {v.name for e in message.enum_type for v in e.value}
    taken |= {f.name for f in message.field}
    for word in sorted({value for field, value in foreign if field in fields} - taken):
        enum.value.add(name=word, number=FOREIGN + len(enum.value))


def _file() -> Any:
    """caffe.proto as a FileDescriptorProto."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto(name="fbnet/caffe.proto", package=PACKAGE[1:], syntax="proto2")
    tokens = iter(_tokens())
    for token in tokens:
        if token == "message":
            _message(file.message_type.add(), tokens)
    enums = {f"{PACKAGE}.{m.name}.{e.name}" for m in file.message_type for e in m.enum_type}
    for message in file.message_type:
        for field in message.field:
            if not field.HasField("type"):
                inner = f"{PACKAGE}.{message.name}.{field.type_name}"
                field.type_name = inner if inner in enums else f"{PACKAGE}.{field.type_name}"
                field.type = ENUM if field.type_name in enums else MESSAGE
    return file


def _message(message: Any, tokens: Any) -> None:
    message.name, _brace = next(tokens), next(tokens)
    while (token := next(tokens)) != "}":
        if token == "enum":
            _enum(message.enum_type.add(), tokens)
        else:
            _field(message.field.add(label=LABELS[token]), tokens)


def _enum(enum: Any, tokens: Any) -> None:
    enum.name, _brace = next(tokens), next(tokens)
    while (name := next(tokens)) != "}":
        _equals, number, _semicolon = next(tokens), next(tokens), next(tokens)
        enum.value.add(name=name, number=int(number))


def _field(field: Any, tokens: Any) -> None:
    kind, field.name, _equals, number = (next(tokens) for _ in range(4))
    field.number = int(number)
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type_name = kind
    while (token := next(tokens)) != ";":
        if token == "default":
            _equals, field.default_value = next(tokens), next(tokens).strip('"')
        elif token == "packed":
            _equals, field.options.packed = next(tokens), next(tokens) == "true"
