"""The FlatBuffer and FlexBuffer codecs: what they write they read, hostile bytes are refused, flatc agrees."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import time

import flatbuffers
import pytest
from fbnet.engine.errors import FileError, InputError
from fbnet.formats.flatbuffer import decode, encode
from fbnet.formats.schema import parse

SCHEMA = """
// A comment; and a namespace, which changes nothing.
namespace some;
table Leaf { text:string (required); numbers:[int]; big:[ulong]; }   // trailing comment
table Tree {
  flag:bool; tiny:byte = -3; small:short; word:ushort; whole:int = 7; size:ulong; real:double = 1.5; half:float;
  maybe:int = null;
  bytes:[ubyte]; names:[string]; leaf:Leaf; leaves:[Leaf]; trees:[Tree];
}
root_type Tree;
file_identifier "TREE";
file_extension "tree";
"""
schema = parse(SCHEMA)
EMPTY = dict.fromkeys(["maybe", "bytes", "names", "leaf", "leaves", "trees"])
DEFAULTS = {
    "flag": False,
    "tiny": -3,
    "small": 0,
    "word": 0,
    "whole": 7,
    "size": 0,
    "real": 1.5,
    "half": 0.0,
} | EMPTY
LEAF = {"text": "x", "numbers": None, "big": None}
FULL = {
    "flag": True, "tiny": -128, "small": -1, "word": 65535, "whole": -(1 << 31), "size": (1 << 64) - 1,
    "real": -0.1, "half": 0.25, "maybe": 0, "bytes": b"\0\1\2", "names": ("", "é", "a" * 300, "é"),
    "leaf": LEAF | {"numbers": (), "big": (1, 1 << 63)}, "leaves": (LEAF, LEAF | {"numbers": (1, -2, 3)}),
    "trees": (DEFAULTS, DEFAULTS | {"trees": (DEFAULTS,)}),
}  # fmt: skip


def flatc() -> str:
    return shutil.which("flatc") or pytest.skip("flatc is not installed")


# -- the schema language -----------------------------------------------------------------------------------


def test_the_schema_is_read():
    assert (schema.root, schema.identifier, list(schema.tables)) == ("Tree", b"TREE", ["Leaf", "Tree"])
    text, numbers, _ = schema.tables["Leaf"]
    assert (text.type, text.required, text.vector) == ("string", True, False)
    assert (numbers.type, numbers.required, numbers.vector, numbers.default) == ("int", False, True, None)
    assert {f.name: f.default for f in schema.tables["Tree"]} == DEFAULTS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("table A { x:int; } root_type A;", "file_identifier"),
        ("table A { x:int; } file_identifier \"ABCD\"; root_type B;", "root_type"),
        ("table A { x:unknown; } file_identifier \"ABCD\"; root_type A;", "A.x has the unknown type 'unknown'"),
        ("table A { x int; } file_identifier \"ABCD\"; root_type A;", "cannot read 'x int'"),
        ("struct S { x:int; } table A { } file_identifier \"ABCD\"; root_type A;", "cannot read 'struct'"),
        ("union U { A } table A { } file_identifier \"ABCD\"; root_type A;", "U: cannot read 'A'"),
        ("union U { B = 1 } table A { } file_identifier \"ABCD\"; root_type A;", "no table 'B'"),
        ("union U { A = 1 } table A { u:[U]; } file_identifier \"ABCD\"; root_type A;", "unknown type 'U'"),
    ],
)  # fmt: skip
def test_a_schema_that_uses_more_is_refused(text, problem):
    with pytest.raises(FileError, match=problem):
        parse(text)


# -- round trip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{}, FULL])
def test_round_trip(value):
    data = encode(schema, value)
    assert data[4:8] == b"TREE"
    assert decode(schema, data) == DEFAULTS | value
    assert encode(schema, decode(schema, data)) == data  # deterministic


def test_strings_are_shared_and_only_wanted_fields_are_read():
    once, often = ({"names": ["a long string"] * n} for n in (1, 100))
    assert len(encode(schema, often)) < len(encode(schema, once)) + 100 * 4
    assert decode(schema, encode(schema, FULL), only=("word",)) == {"word": 65535}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"word": 65536}, "word: ushort cannot hold 65536"),
        ({"word": -1}, "word: ushort cannot hold -1"),
        ({"whole": 1.5}, "whole: int cannot hold 1.5"),
        ({"names": ["a", 3]}, "names: string cannot hold"),
        ({"names": ["\ud800"]}, "names: string cannot hold"),
        ({"bytes": "text"}, "bytes: ubyte cannot hold"),
        ({"leaves": [LEAF, {}]}, r"leaves\[1\].text: it is missing"),
        ({"leaf": {"text": "x", "big": [-1]}}, "leaf.big: ulong cannot hold"),
        ({"leaf": {"texts": "x"}}, "leaf.texts: Leaf has no such field"),
    ],
)
def test_values_that_do_not_fit_are_named(value, problem):
    with pytest.raises(InputError, match=problem):
        encode(schema, value)


def test_flatc_reads_and_writes_the_same(tmp_path):
    (tmp_path / "tree.fbs").write_text(SCHEMA)
    (tmp_path / "ours.tree").write_bytes(encode(schema, FULL))
    call = [flatc(), "--json", "--strict-json", "--defaults-json", "tree.fbs", "--", "ours.tree"]
    subprocess.run(call, cwd=tmp_path, check=True)
    theirs = json.loads((tmp_path / "ours.json").read_text())
    assert theirs["names"] == list(FULL["names"]) and theirs["size"] == FULL["size"]
    assert theirs["leaves"][1]["numbers"] == [1, -2, 3] and theirs["maybe"] == 0
    subprocess.run([flatc(), "--binary", "-o", "back", "tree.fbs", "ours.json"], cwd=tmp_path, check=True)
    assert decode(schema, (tmp_path / "back" / "ours.tree").read_bytes()) == DEFAULTS | FULL


# -- hostile bytes -----------------------------------------------------------------------------------------


def poked(at: int, *words: int, format: str = "I", value: dict = FULL) -> bytes:
    data = bytearray(encode(schema, value))
    struct.pack_into(f"<{len(words)}{format}", data, at, *words)
    return bytes(data)


def slot(value: dict, field: str) -> int:
    """Where in encode(value) the inline bytes of a root field are."""
    data = encode(schema, value)
    root = struct.unpack_from("<I", data)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    index = [f.name for f in schema.tables["Tree"]].index(field)
    return root + struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]


def test_errors_name_the_field():
    names, leaf = {"names": ["a", "b"]}, {"leaf": LEAF}
    at = slot(names, "names")
    with pytest.raises(FileError, match=r"^names: offset 9\d\d\d lies past the end \(\d+\)$"):
        decode(schema, poked(at, 9000, value=names))
    vector = at + struct.unpack_from("<I", encode(schema, names), at)[0]
    with pytest.raises(FileError, match=r"^names\[1\]: offset \d+ lies past the end"):
        decode(schema, poked(vector + 8, 9000, value=names))
    with pytest.raises(
        FileError, match=r"^names: what begins at \d+ is \d+ bytes long and lies past the end"
    ):
        decode(schema, poked(vector, 0xFFFFFFFF, value=names))
    with pytest.raises(FileError, match=r"^names\[0\]: offset \d+ is not a multiple of 4$"):
        decode(schema, poked(vector + 4, 5, value=names))
    string = encode(schema, names).index(b"\x01\0\0\0a")
    with pytest.raises(FileError, match=r"^names\[0\]: the string at \d+ is not UTF-8"):
        decode(schema, poked(string + 4, 0xFF, format="B", value=names))
    with pytest.raises(FileError, match=r"^names\[0\]: the string at \d+ does not end with a NUL$"):
        decode(schema, poked(string, 0, value=names))
    at = slot(leaf, "leaf")
    table = at + struct.unpack_from("<I", encode(schema, leaf), at)[0]
    with pytest.raises(FileError, match=r"^leaf: vtable of Leaf: offset -\d+ lies before the start$"):
        decode(schema, poked(table, 0x7FFFFFFF, format="i", value=leaf))
    with pytest.raises(FileError, match=r"^leaf.text: it is missing$"):
        decode(
            schema,
            poked(
                table - struct.unpack_from("<i", encode(schema, leaf), table)[0], 4, 8, format="H", value=leaf
            ),
        )


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 8, b"\0" * 64, b"\xff" * 64, b"\4\0\0\0" * 16])
def test_what_is_no_flatbuffer_is_refused(data):
    with pytest.raises(FileError):
        decode(schema, data)


def test_every_prefix_and_many_mutations_give_a_value_or_a_file_error():
    data, rng = encode(schema, FULL), random.Random(7)
    for cut in range(len(data)):
        with_error(data[:cut])
    for _ in range(5000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 4, 127, 128, 255, rng.randrange(256)))
        with_error(bytes(damaged))


def with_error(data: bytes) -> None:
    try:
        decode(schema, data)
    except FileError as error:
        assert str(error)


def nested(levels: int, width: int) -> bytes:
    """Trees whose children are `width` times the same next tree, `levels` deep: width ** levels when decoded."""
    import flatbuffers

    builder, child = flatbuffers.Builder(), None
    for _ in range(levels):
        vector = None
        if child is not None:
            builder.StartVector(4, width, 4)
            for _ in range(width):
                builder.PrependUOffsetTRelative(child)
            vector = builder.EndVector()
        builder.StartObject(14)
        if vector is not None:
            builder.PrependUOffsetTRelativeSlot(13, vector, 0)
        child = builder.EndObject()
    builder.Finish(child, b"TREE")
    return bytes(builder.Output())


def test_bombs_are_refused_quickly():
    assert decode(schema, nested(60, 1))
    for data, problem in [
        (nested(60, 2), "objects overlap"),
        (nested(30, 1000), "overlap"),
        (nested(70, 1), "deeper"),
    ]:
        start = time.process_time()
        with pytest.raises(FileError, match=problem):
            decode(schema, data)
        assert time.process_time() - start < 1


def test_many_overlapping_strings_are_refused():
    # 8000 strings, each beginning four bytes after the last; a length is 0x7f7f, and so is good text for the others
    count, length, field = 8000, 0x7F7F, {"names": ["x"]}
    head = encode(schema, field)
    vector = slot(field, "names") + struct.unpack_from("<I", head, slot(field, "names"))[0]
    offsets = struct.pack("<I", 4 * count) * count  # from the slot of a string to the string
    data = (
        head[:vector]
        + struct.pack("<I", count)
        + offsets
        + struct.pack("<I", length) * count
        + bytes(1 << 16)
    )
    assert data[vector + 4 :].startswith(offsets)
    start = time.process_time()
    with pytest.raises(FileError, match="objects overlap"):
        decode(schema, data)
    assert time.process_time() - start < 1


# -- enums and unions --------------------------------------------------------------------------------------

UNION = """
enum Colour : byte { Red = 0, Blue = 2 }
union Shape { Circle = 1, Square = 3 }
table Circle { r:float; }
table Square { side:int; }
table Drawing { colour:Colour; shape:Shape; colours:[Colour]; }
root_type Drawing;
file_identifier "DRAW";
"""


def drawing(kind: int | None, member: str = "Circle") -> bytes:
    """A Drawing whose union says that it holds a member of this kind, and holds a circle or a square."""
    builder = flatbuffers.Builder(64)
    builder.StartObject(1)
    if member == "Circle":
        builder.PrependFloat32Slot(0, 2.5, 0)
    else:
        builder.PrependInt32Slot(0, 7, 0)
    shape = builder.EndObject()
    builder.StartObject(4)
    builder.PrependInt8Slot(0, 2, 0)
    if kind is not None:
        builder.PrependUint8Slot(1, kind, 0)
    builder.PrependUOffsetTRelativeSlot(2, shape, 0)
    builder.Finish(builder.EndObject(), b"DRAW")
    return bytes(builder.Output())


def test_a_union_is_its_members_number_and_table():
    read = parse(UNION)
    assert read.enums == {"Colour": {0: "Red", 2: "Blue"}}
    assert decode(read, drawing(1)) == {"colour": 2, "shape_type": 1, "shape": {"r": 2.5}, "colours": None}
    assert decode(read, drawing(3, "Square"))["shape"] == {"side": 7}
    for kind in (2, 200, None):  # members that the schema does not have, and none
        assert decode(read, drawing(kind))["shape"] is None


def test_a_union_is_not_written():
    with pytest.raises(InputError, match="a table with a union can be read but not written"):
        encode(parse(UNION), {"colour": 2})


def test_mutated_unions():
    read, random_, kinds = parse(UNION), random.Random(5), set()
    for _ in range(2000):
        data = bytearray(drawing(random_.choice([1, 3, 7]), random_.choice(["Circle", "Square"])))
        for _ in range(random_.randint(1, 3)):
            data[random_.randrange(len(data))] = random_.randrange(256)
        try:
            kinds.add(type(decode(read, bytes(data))["shape"]))
        except FileError as error:
            kinds.add(type(error))
    assert kinds >= {dict, type(None)} and len(kinds) == 3
