"""What is wrong with a .fbnet file is found, named, and does no harm; and what is right opens at once."""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fbnet.engine.errors import (
    AttributeValueError,
    FbnetError,
    FileError,
    InputError,
    NetError,
    RegistryError,
)
from fbnet.formats import flatbuffer, flexbuffer
from fbnet.formats.container import SEAL_BYTES, schema
from fbnet.formats.fbnet import from_buffer, read, read_plans
from fbnet.formats.schema import Schema, parse

Change = Callable[[dict], None]


def forged(data: bytes, change: Change, layout: Schema | None = None) -> bytes:
    """The file `data` with its root table changed; offsets moved along, sizes and seal set right."""
    old = root_length(data)
    tail = data[aligned(old + SEAL_BYTES) :]

    def encoded(root_bytes: int) -> bytes:
        start = aligned(root_bytes + SEAL_BYTES)
        root = thawed(flatbuffer.decode(schema(), data, old))
        for row in [*root["constants"], *(tensor for test in root["tests"] for tensor in test["tensors"])]:
            row["offset"] += start - aligned(old + SEAL_BYTES)
        root |= {"root_bytes": root_bytes, "file_bytes": start + len(tail)}
        change(root)
        return flatbuffer.encode(layout or schema(), root)

    head = encoded(len(encoded(old)))
    return (head + seal(head)).ljust(aligned(len(head) + SEAL_BYTES), b"\0") + tail


def root_length(data: bytes) -> int:
    return flatbuffer.decode(schema(), data, only=("root_bytes",))["root_bytes"]


def seal(root: bytes | bytearray) -> bytes:
    return hashlib.sha256(root).digest()[:SEAL_BYTES]


def aligned(at: int) -> int:
    return at + -at % 64


def thawed(value: Any) -> Any:
    """Decoded tables and vectors as dicts and lists that can be changed."""
    if isinstance(value, dict):
        return {k: thawed(v) for k, v in value.items()}
    return [thawed(v) for v in value] if isinstance(value, tuple) else value


def put(path: str, value: Any) -> Change:
    """A change of one field, like 'layers[2].name'."""
    *steps, last = (int(step) if step.isdigit() else step for step in re.findall(r"\w+", path))

    def change(root: Any) -> None:
        for step in steps:
            root = root[step]
        root[last] = value

    return change


# -- every check of the specification ----------------------------------------------------------------------

QUANTIZED = {"scale": [1.0], "zero": [0], "axis": 0}

# field, a value that it must not have, and what is said after 'bad.fbnet: <field>: '
BAD_FIELDS = [
    ("version", 2, r"it is 2 and this fbnet reads 1: update fbnet"),
    ("version", 0, r"it is 0 and this fbnet reads 1: it is damaged"),
    ("file_bytes", 1 << 60, r"the file has \d+ bytes of 1152921504606846976"),
    ("root_bytes", 1 << 30, r"it cannot be 1073741824 in a file of \d+ bytes"),
    ("constants[1].offset", 1 << 40, r"16 bytes at 1099511627776 lie past the end \(\d+\)"),
    ("constants[1].offset", (1 << 64) - 64, r"16 bytes at \d{20} lie past the end"),
    ("constants[1].offset", 4097, r"4097 is not a multiple of 64"),
    ("constants[1].offset", 0, r"0 lies inside the first \d+ bytes"),
    ("constants[1].nbytes", 12, r"it is 12, but fp32\[4\] takes 16"),
    ("constants[1].nbytes", (1 << 64) - 1, r"it is 18446744073709551615, but"),
    ("constants[1].shape", [1 << 33, 1 << 33, 4], r".* too large"),
    ("constants[1].shape", [(1 << 62) + 1, 4], r".* too large"),  # 16 bytes, if the product wraps
    ("constants[1].shape", [0, 1 << 63, 1 << 63], r".* too large"),
    ("constants[1].shape", [1] * 33, r".* more than 32 sizes"),
    ("inputs[0].shape", [1 << 60] * 4, r".* too large"),
    ("inputs[0].symbols", ["N"], r"there are 1 for 4 sizes"),
    ("inputs[0].name", "", r"it is empty"),
    ("constants[1].quantization", QUANTIZED, r"fp32\[4\] needs 4 finite scales and zeros, but has 1 and 1"),
    ("constants[1].quantization", {"scale": [float("nan")], "zero": [0]}, r".* finite"),
    ("constants[1].digest", None, r"it is missing"),
    ("constants[1].name", "conv1.w", r"'conv1.w' is used twice"),
    ("constants[1].name", "", r"it is empty"),
    ("tests[0].tensors[1].name", "data", r"'data' is used twice"),
    ("tests[0].tensors[1].offset", 1 << 62, r".* past the end"),
    ("layers[1].name", "", r"it is empty"),
    ("layers[0].attributes", flexbuffer.encode([1, 2]), r"it must be a map but is \[1, 2\]"),
    ("layers[0].attributes", flexbuffer.encode({"name": "x"}), r"conv1 .Convolution. does not take"),
    (
        "layers[3].attributes",
        flexbuffer.encode({"counts": []}),
        r"odd .FbnetFileTest. does not take .*IndexError",
    ),
    ("layers[0].attributes", b"\1\2\3", r"its root is 3 bytes wide"),
    ("metadata", b"", r"a FlexBuffer has at least 3 bytes but this has 0"),
]


@pytest.mark.parametrize(("field", "value", "problem"), BAD_FIELDS)
def test_a_bad_field_is_named(field, value, problem, tiny, packed):
    data = forged(packed(tiny), put(field, value))
    with pytest.raises(FileError, match=rf"^bad\.fbnet: {re.escape(field)}: {problem}"):
        from_buffer(data, "bad.fbnet")


def swap(root: dict) -> None:
    root["layers"][0], root["layers"][2] = root["layers"][2], root["layers"][0]


def overlap(root: dict) -> None:
    root["constants"][0]["offset"] = root["constants"][2]["offset"] + 64


# a change that makes it no net, the error's kind, and words of it
BAD_NETS = [
    (put("constants[1].dtype", "fp33"), RegistryError, r"constants\[1\]: dtype 'fp33' is not registered. Did you mean"),
    (put("constants[1].quantization", QUANTIZED | {"axis": 2}), FbnetError, r"constants\[1\]: axis 2 is not one of"),
    (put("constants[1].digest", "0" * 32), FileError, r"conv1.b: 16 bytes at \d+ have the digest \w{32}, not 0{32}"),
    (overlap, FileError, r"the data of fc.w and of conv1.w overlap at \d+"),
    (put("plans", [{"key": "k", "offset": 4096, "digest": ""}] * 2), FileError, r"plans\[1\].key: 'k' is used twice"),
    (put("root_bytes", 300), FileError, r"lies past the end \(300\)"),
    (put("inputs[0].name", "conv1.w"), NetError, r"'conv1.w' is an input and a constant"),
    (put("layers[2].name", "relu1"), NetError, r"two layers are called 'relu1'"),
    (put("layers[1].outputs", ["conv1"]), NetError, r"relu1 \(ReLU\) writes 'conv1', which is already written"),
    (put("layers[1].inputs", ["relu1"]), NetError, r"relu1 \(ReLU\) reads 'relu1', .*cycle"),
    (put("layers[0].inputs", ["prob", "conv1.w", "conv1.b"]), NetError, r"conv1 .*reads 'prob', .*cycle"),
    (swap, NetError, r"pool1 .*reads 'relu1', .*out of order"),
    (put("layers[1].inputs", ["conv2"]), NetError, r"reads 'conv2', which is missing. Did you mean 'conv1'"),
    (put("outputs", ["probe"]), NetError, r"no layer writes the output 'probe'"),
    (put("outputs", ["prob", "prob"]), NetError, r"named twice"),
    (
        put("layers[0].attributes", flexbuffer.encode({"strides": [1, 1]})),
        AttributeValueError, r"layers\[0\]: conv1 .*no attribute 'strides'. Did you mean 'stride'",
    ),
    (
        put("layers[0].attributes", flexbuffer.encode({"group": "two"})),
        AttributeValueError, r"layers\[0\]: conv1 .*group: int = 1 cannot be 'two'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "problem"), BAD_NETS)
def test_what_is_no_net_is_refused(change, kind, problem, tiny, packed):
    data = forged(packed(tiny), change)
    start = time.process_time()
    with pytest.raises(kind, match=rf"^bad\.fbnet: .*{problem}") as caught:
        from_buffer(data, "bad.fbnet", verify="full")
    assert time.process_time() - start < 1
    assert "\n" not in str(caught.value)


def test_all_unknown_layers_are_reported_at_once(tiny, packed):
    def change(root: dict) -> None:
        for index, type in ((0, "Convolutoin"), (1, "Nonsense"), (4, "InerProduct")):
            root["layers"][index]["type"] = type

    with pytest.raises(FileError) as caught:
        from_buffer(forged(packed(tiny), change), "bad.fbnet")
    assert str(caught.value) == (
        "bad.fbnet: layers: not registered: 'Convolutoin' of layer 'conv1' (Did you mean 'Convolution'?), "
        "'Nonsense' of layer 'relu1', 'InerProduct' of layer 'fc' (Did you mean 'InnerProduct'?). "
        "Import the package that has them"
    )


def test_forging_itself_makes_good_files_and_a_wrong_seal_is_found(tiny, packed, same):
    data = bytearray(forged(packed(tiny), lambda root: None))
    same(tiny, from_buffer(bytes(data), verify="full"))
    data[data.index(b"dog")] ^= 1
    with pytest.raises(FileError, match="do not match their digest: the file is damaged"):
        from_buffer(bytes(data))


def test_fields_that_a_later_writer_adds_are_ignored(tiny, packed, same):
    text = Path(flatbuffer.__file__).with_name("fbnet.fbs").read_text("utf-8")
    text = text.replace("  plans:[Plan];\n", "  plans:[Plan]; later:[string]; number:long;\n")
    later = parse(text.replace("  digest:string;", "  digest:string; colour:string;"))

    def change(root: dict) -> None:
        root |= {"later": ["new"], "number": 5}
        root["constants"][0]["colour"] = "blue"

    data = forged(packed(tiny), change, later)
    assert b"blue" in data
    same(tiny, from_buffer(data, verify="full"))


# -- other files -------------------------------------------------------------------------------------------


def test_foreign_files_are_told_apart(tiny, packed):
    data = packed(tiny)
    for wrong, problem in [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a .fbnet file: bytes 4 to 7 are "),
        (
            data[:4] + b"TFL3" + data[8:],
            "a FlatBuffer of another kind: its identifier is b'TFL3', not b'FBNT'",
        ),
        (data[:4] + b"FBNX" + data[8:], "a FlatBuffer of another kind"),
        (bytes(4) + b"FBNT" + bytes(100), "vtable of Net"),
        (b"PK\3\4FBNT" + b"\xff" * 100, "lies past the end"),
    ]:
        with pytest.raises(FileError, match=rf"^bad\.fbnet: .*{problem}"):
            from_buffer(wrong, "bad.fbnet")


def test_paths_that_cannot_be_read(tiny, tmp_path):
    (tmp_path / "empty.fbnet").touch()
    (tmp_path / "folder.fbnet").mkdir()
    os.mkfifo(tmp_path / "pipe.fbnet")
    for name, problem in [
        ("empty.fbnet", "the file is empty"),
        ("folder.fbnet", "it is not a file"),
        ("missing.fbnet", "there is no such file"),
        ("pipe.fbnet", "it is not a file"),
        ("\0.fbnet", "it cannot be read|no such file"),
    ]:
        for use in (read, read_plans):
            with pytest.raises(FileError, match=problem):
                use(tmp_path / name)
    with pytest.raises(InputError, match="give one path"):
        read("a.fbnet", "b.fbnet")
    tiny.save(tmp_path / "a.fbnet")
    with pytest.raises(InputError, match="verify is 'ful'"):
        read(tmp_path / "a.fbnet", verify="ful")


def test_a_damaged_constant_is_found_at_first_use(tiny, tmp_path):
    path = tmp_path / "a.fbnet"
    tiny.save(path)
    data = bytearray(path.read_bytes())
    data[flatbuffer.decode(schema(), bytes(data))["constants"][0]["offset"] + 5] ^= 16
    path.write_bytes(data)
    net = read(path)
    assert net.constants["fc.w"].data is not None
    with pytest.raises(
        FileError, match=r"a.fbnet: conv1.w: \d+ bytes at \d+ have the digest .*: the file is damaged"
    ):
        _ = net.constants["conv1.w"].data
    with pytest.raises(FileError, match="damaged"):
        net.save(tmp_path / "b.fbnet")
    assert os.listdir(tmp_path) == ["a.fbnet"]


def test_every_prefix_is_a_typed_error(tiny, packed):
    data = packed(tiny)
    for cut in range(len(data)):
        with pytest.raises(FileError, match=r"^cut\.fbnet: "):
            from_buffer(data[:cut], "cut.fbnet")
    with pytest.raises(FileError, match=r"^cut\.fbnet: file_bytes: "):
        from_buffer(data + b"\0", "cut.fbnet")


def test_messages_with_close_matches_do_not_cost_more_than_the_mistake(tiny, packed):
    many = [f"layer with a longish name {i:06} of the same kind " for i in range(3000)]

    def typos(root: dict) -> None:
        row = root["layers"][1]
        root["layers"] += [
            dict(row, name=n, inputs=[n + "!"], outputs=[n], type="ReLUU" * 100 + n) for n in many
        ]

    def missing(root: dict) -> None:
        row = root["layers"][1]
        root["layers"] = [dict(row, name=n, inputs=["data"], outputs=[n]) for n in many]
        root["layers"][-1]["inputs"] = [many[0] + "x"]

    for change in (typos, missing):
        data = forged(packed(tiny), change)
        start = time.process_time()
        with pytest.raises(FbnetError):
            from_buffer(data)
        assert time.process_time() - start < 1


MUTATIONS, PARTS = 100_000, 8


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_thousand_mutations(part, make_tiny, packed):
    """Bytes flipped, overwritten, inserted, removed, copied about: a good net or an FbnetError, and soon.

    The seal finds most of that, after the structure was checked; so half of the files are sealed anew.
    """
    rng = random.Random(part)
    data = packed(make_tiny(part))
    root_bytes, slowest, good = root_length(data), 0.0, 0
    for turn in range(MUTATIONS // PARTS):
        damaged = mutated(data, rng, root_bytes if turn % 2 else len(data))
        if turn % 2:
            damaged = damaged[: len(data)].ljust(len(data), b"\0")
            damaged[root_bytes : root_bytes + SEAL_BYTES] = seal(damaged[:root_bytes])
        start = time.process_time()
        try:
            net = from_buffer(bytes(damaged))
            for array in [
                *(t.data for t in net.constants.values()),
                *(a for t in net.tests for a in t.values()),
            ]:
                assert isinstance(array, np.ndarray)
            good += 1
        except FbnetError as error:
            assert str(error).startswith(".fbnet data: ")
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 1
    assert good > 200  # names, numbers and padding changed: such nets were looked at all through


def mutated(data: bytes, rng: random.Random, end: int) -> bytearray:
    """`data` with a few random changes before `end`."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not changed:
            break
        at, kind = rng.randrange(min(end, len(changed))), rng.random()
        if kind < 0.25:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind < 0.45:
            changed[at] = rng.choice((0, 1, 2, 4, 127, 128, 255))
        elif kind < 0.65:  # a word, where words are
            word = rng.choice((0, 1, 4, 64, 0x7FFFFFFF, 0xFFFFFFFF, rng.randrange(end)))
            changed[at & ~3 : (at & ~3) + 4] = word.to_bytes(4, "little")
        elif kind < 0.85:  # one part over another
            count, source = rng.randrange(1, 64), rng.randrange(end)
            changed[at : at + count] = changed[source : source + count]
        elif kind < 0.95:
            changed[at:at] = rng.randbytes(rng.choice((1, 4, 8, 64)))
        else:
            del changed[at + 1 : at + 1 + rng.choice((1, 4, 64, len(data)))]
    return changed
