import hashlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from fbnet.engine.errors import FileError
from fbnet.tools import archive
from fbnet.tools.archive import extract, sha256_of
from fbnet.tools.packages import File

GOOD = b"good content"
WANTED = File("model.bin", "pkg/data/model.bin", len(GOOD), hashlib.sha256(GOOD).hexdigest())


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def plain(name: str, **changes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    return info


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_takes_the_named_file_and_nothing_else(tmp_path, out, kind):
    hostile = ["../escape", "/tmp/escape", "pkg/data/../../../escape", "pkg/data/other.bin"]
    if kind == "zip":
        path = zipped(tmp_path / "a.whl", **{name: b"evil" for name in hostile}, **{WANTED.member: GOOD})
    else:
        path = tarred(
            tmp_path / "a.tar.gz",
            *((plain(name), b"evil") for name in hostile),
            (plain("pkg/data", type=tarfile.DIRTYPE), b""),
            (plain("device", type=tarfile.CHRTYPE), b""),
            (plain(WANTED.member), GOOD),
        )
    extract(path, [WANTED], out)
    assert [p.name for p in out.iterdir()] == ["model.bin"]
    assert (out / "model.bin").read_bytes() == GOOD
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "out"])


def test_links_in_place_of_the_file_are_not_followed(tmp_path, out):
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        path = tarred(tmp_path / "a.tar.gz", (plain(WANTED.member, type=kind, linkname=str(secret)), b""))
        with pytest.raises(FileError, match=r"has no plain file pkg/data/model.bin"):
            extract(path, [WANTED], out)
    link = zipfile.ZipInfo(WANTED.member)
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        file.writestr(link, str(secret))
    with pytest.raises(FileError, match=r"has no plain file"):
        extract(tmp_path / "a.whl", [WANTED], out)


def test_a_wanted_file_that_is_missing(tmp_path, out):
    with pytest.raises(FileError, match=r"a\.whl has no plain file pkg/data/model\.bin"):
        extract(zipped(tmp_path / "a.whl", other=GOOD), [WANTED], out)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD[:-1], "has 11 bytes but must have 12"),
        (GOOD + b"!", "is longer than the 12 bytes it must be"),
        (bytes(1 << 24), "is longer than the 12 bytes"),  # no more than 13 bytes of a bomb are unpacked
        (b"evil content", "is not the file that was pinned"),
    ],
)
def test_size_and_checksum(tmp_path, out, content, says):
    for path in (
        zipped(tmp_path / "a.whl", **{WANTED.member: content}),
        tarred(tmp_path / "a.tar.gz", (plain(WANTED.member), content)),
    ):
        with pytest.raises(FileError, match=says):
            extract(path, [WANTED], out)
    assert (out / "model.bin").stat().st_size <= len(GOOD)


def test_a_tar_bomb_before_the_file(tmp_path, out, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    path = tarred(tmp_path / "a.tar.gz", (plain("zeros"), bytes(1 << 21)), (plain(WANTED.member), GOOD))
    with pytest.raises(FileError, match=r"unpacks to more than"):
        extract(path, [WANTED], out)


@pytest.mark.parametrize("suffix", [".whl", ".tar.gz"])
def test_damaged_archives(tmp_path, out, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".whl":
        zipped(path, **{WANTED.member: GOOD})
    else:
        tarred(path, (plain(WANTED.member), GOOD))
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        try:
            extract(path, [WANTED], out)  # a tail that does not matter may be missing
        except FileError as error:
            assert str(error).startswith(path.name)
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + struct.pack("B", whole[at] ^ 0x55) + whole[at + 1 :])
        try:
            extract(path, [WANTED], out)
        except FileError as error:
            assert str(error).startswith(path.name)
        else:
            assert (out / "model.bin").read_bytes() == GOOD


def test_sha256_of(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(GOOD)
    assert sha256_of(path) == hashlib.sha256(GOOD).hexdigest()
