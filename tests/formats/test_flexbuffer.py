"""FlexBuffers: values come back exactly, the library's files are read, hostile bytes are refused."""

from __future__ import annotations

import array
import math
import random
import struct
import time

import numpy as np
import pytest
from fbnet.engine.errors import FileError, InputError
from fbnet.formats.flexbuffer import decode, encode
from flatbuffers import flexbuffers
from hypothesis import given, settings
from hypothesis import strategies as st

EVERYTHING = {
    "none": None, "yes": True, "no": False, "zero": 0, "ints": [1, -1, 127, -129, 1 << 31, -(1 << 63), (1 << 64) - 1],
    "floats": [0.1, 1e300, 5e-324, math.inf, -math.inf, 0.5, -0.0], "text": "é\0\U0001f600", "empty": "", "": "no name",
    "bytes": b"\0\xff", "mixed": [1, 1.0, True, None, "1", [], {}], "deep": {"a": {"b": [{"c": [[]]}]}}, "é": "key",
    "long": "x" * 70000, "many": list(range(-9, 400)),
}  # fmt: skip


def exactly(a, b) -> bool:
    """Equal, and of the same types all the way down; -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(exactly(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(exactly, a, b))
    return struct.pack("<d", a) == struct.pack("<d", b) if isinstance(a, float) else a == b


def test_everything_comes_back():
    assert exactly(decode(encode(EVERYTHING)), EVERYTHING)
    assert math.isnan(decode(encode([math.nan]))[0])
    for value in EVERYTHING.values():
        assert exactly(decode(encode(value)), value)


numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False)
keys = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
)


@settings(max_examples=60, deadline=None, database=None)
@given(values)
def test_any_value_comes_back(value):
    data = encode(value)
    assert exactly(decode(data), value)
    assert encode(decode(data)) == data


def test_equal_maps_have_equal_bytes_and_tuples_come_back_as_lists():
    assert encode({"b": 1, "a": {"d": (2,), "c": 3}}) == encode({"a": {"c": 3, "d": [2]}, "b": 1})
    assert decode(encode({"stride": (2, 2)})) == {"stride": [2, 2]}
    assert exactly(decode(encode([np.float32(0.5), np.int64(3), np.bool_(True)])), [0.5, 3, True])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": [1, {2, 3}]}, r"a\[1\]: .*set.* cannot be stored"),
        ({"a": {"b": 1 << 64}}, "a.b: .*int.* cannot be stored"),
        ({"a": "\ud800"}, "a: .*cannot be stored"),
        ({"a": np.zeros(3)}, "a: .*ndarray.*cannot be stored"),
        ({"a": {3: 1}}, "a: the key 3 cannot be stored"),
        ({"a\0b": 1}, "the key 'a.*b' cannot be stored"),
        ({"a\ud800": 1}, "the key 'a.*' cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_named(value, problem):
    with pytest.raises(InputError, match=problem):
        encode(value)


def test_a_value_that_holds_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(InputError, match="nested deeper than 64"):
        encode({"a": loop})


def test_what_the_library_writes_is_read():
    builder = flexbuffers.Builder(share_strings=True)
    with builder.Map():
        builder.TypedVectorFromElements("ints", array.array("h", [1, -2, 300]))
        builder.TypedVectorFromElements("floats", [0.5, 1.5, 2.5])
        builder.TypedVectorFromElements("bools", [True, False])
        builder.TypedVectorFromElements("keys", ["a", "b"], flexbuffers.Type.KEY)
        builder.FixedTypedVectorFromElements("two", [1, 2])
        builder.FixedTypedVectorFromElements("three", [0.5, 0.25, 3.0])
        builder.FixedTypedVectorFromElements("four", [1, 2, 3, 400])
        builder.IndirectInt("int", -70000)
        builder.IndirectFloat("float", 0.1)
        builder.IndirectUInt("uint", 7)
        builder.Key("name")
        builder.VectorFromElements(["shared " * 20] * 50)
    assert decode(bytes(builder.Finish())) == {
        "ints": [1, -2, 300], "floats": [0.5, 1.5, 2.5], "bools": [True, False], "keys": ["a", "b"], "two": [1, 2],
        "three": [0.5, 0.25, 3.0], "four": [1, 2, 3, 400], "int": -70000, "float": 0.1, "uint": 7,
        "name": ["shared " * 20] * 50,
    }  # fmt: skip


def test_what_we_write_the_library_reads():
    plain = {k: v for k, v in EVERYTHING.items() if k not in ("é", "text", "")}  # its keys are ASCII
    assert flexbuffers.Loads(encode(plain)) == plain


# -- hostile bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "at least 3 bytes"),
        (b"\0\0\3", "3 bytes wide"),
        (bytes([9, 5 << 2, 1]), "bytes -"),  # a string before the start
        (bytes([0, 0, 3 << 2, 2]), "a float has 4 or 8 bytes"),
        (bytes([1, 63 << 2, 1]), "no FlexBuffer type 63"),
        (bytes([9, 65, 1, 5 << 2, 1]), "of a FlexBuffer of"),  # a string of 9 bytes
        (bytes([1, 0xFF, 0, 2, 5 << 2, 1]), "not UTF-8"),
        (bytes([65, 65, 1, 4 << 2, 1]), "does not end"),
    ],
)
def test_bad_bytes_are_refused(data, problem):
    with pytest.raises(FileError, match=problem):
        decode(data)


def test_errors_name_the_place():
    data = encode({"image": {"mean": [1.0, "text", 2.0]}})
    broken = data.replace(b"\4text", b"\4te\xfft")
    with pytest.raises(FileError, match=r"^image.mean\[1\]: the string at \d+ is not UTF-8"):
        decode(broken)
    twice = encode({"aa": 1, "bb": 2}).replace(b"bb", b"aa")
    with pytest.raises(FileError, match="a map has the key 'aa' twice"):
        decode(twice)


def bomb(levels: int, width: int) -> bytes:
    """A vector of `width` references to a vector of `width` references ..., `levels` deep."""
    data, inner = bytearray(b"\1\5\4"), 1  # [5]
    for _ in range(levels):
        data += struct.pack("<I", width)
        vector = len(data)
        data += b"".join(struct.pack("<I", vector + 4 * i - inner) for i in range(width))
        data += bytes([10 << 2 | (0 if inner == 1 else 2)]) * width
        inner = vector
    data += struct.pack("<I", len(data) - inner) + bytes([10 << 2 | 2, 4])
    return bytes(data)


def test_bombs_are_refused_quickly():
    assert decode(bomb(3, 1)) == [[[[5]]]]
    itself = bytes([1, 0, 10 << 2, 2, 10 << 2, 1])  # a vector whose element is the vector
    cases = [
        (bomb(60, 2), "overlap"),
        (bomb(20, 1000), "overlap"),
        (bomb(100, 1), "deeper"),
        (itself, "deeper|overlap"),
    ]
    for data, problem in cases:
        start = time.process_time()
        with pytest.raises(FileError, match=problem):
            decode(data)
        assert time.process_time() - start < 1


def test_every_prefix_and_many_mutations_give_a_value_or_a_file_error():
    rng = random.Random(3)
    small = {k: v for k, v in EVERYTHING.items() if k not in ("long", "many")}
    data = encode(small)
    for cut in range(len(data)):
        with_error(data[cut:])
        with_error(data[:cut])
    for _ in range(20000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with_error(bytes(damaged))


def with_error(data: bytes) -> None:
    try:
        decode(data)
    except FileError as error:
        assert str(error)
