"""Cache: whole files or none, one maker at a time, and no folder needed."""

import os
import threading
import time

import pytest
from fbnet.engine import cache as module
from fbnet.engine.cache import Cache, write_whole

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def things(empty_cache) -> Cache:
    return Cache("things", ".thing")


def never():
    raise AssertionError("this is in the cache already")


def test_made_once(things, empty_cache):
    assert things.find(KEY) is None
    assert things.get(KEY, lambda: b"data") == b"data"
    assert things.get(KEY, never) == b"data"
    assert things.find(KEY) == things.path(KEY) == empty_cache / "things" / f"{KEY}.thing"
    assert sorted(p.name for p in things.path(KEY).parent.iterdir()) == ["01.lock", f"{KEY}.thing"]
    assert things.get(KEY[::-1], lambda: b"") == b"" == things.get(KEY[::-1], never)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: data + b"x",
        lambda data: data[:-3] + b"abc",
        lambda data: bytes(len(data)),
    ],
    ids=["emptied", "truncated", "in the digest", "longer", "changed", "zeroed"],
)
def test_what_a_disk_has_damaged_is_made_again(things, damage):
    things.get(KEY, lambda: b"some data")
    path = things.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert things.get(KEY, lambda: b"new data") == b"new data"
    assert things.get(KEY, never) == b"new data"


def test_a_maker_that_fails_leaves_nothing(things):
    with pytest.raises(ZeroDivisionError):
        things.get(KEY, lambda: 1 // 0)
    assert things.get(KEY, lambda: b"data") == b"data"


def test_a_file_is_written_whole_or_not_at_all(things, tmp_path):
    def chunks():
        yield b"half"
        raise KeyboardInterrupt

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", chunks())
    assert (tmp_path / "a").read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]
    write_whole(tmp_path / "a", [b"ne", memoryview(b"w")])
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(OSError):
        write_whole(tmp_path / "nowhere" / "a", [b""])


def test_many_threads_make_it_once(things):
    made, found = [], []

    def make():
        made.append(1)
        time.sleep(0.05)
        return b"data"

    threads = [threading.Thread(target=lambda: found.append(things.get(KEY, make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"data"] * 8 and (made == [1] or module.fcntl is None)


def test_without_a_folder(tmp_path, monkeypatch):
    """A file where the folder should be: nothing can be kept, and everything works."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path / "file"))
    things = Cache("things", ".thing")
    assert things.get(KEY, lambda: b"1") == b"1" and things.get(KEY, lambda: b"2") == b"2"
    assert not things.put(KEY, [b""]) and things.find(KEY) is None


def test_in_a_folder_that_is_read_only(things, monkeypatch):
    """Such a cache is used, though it cannot be touched; what is not in it is made every time."""
    things.get(KEY, lambda: b"data")

    def refused(*arguments, **options):
        raise PermissionError("read-only")

    monkeypatch.setattr(module.tempfile, "mkstemp", refused)
    monkeypatch.setattr(module.os, "utime", refused)
    monkeypatch.setattr("builtins.open", refused)  # the lock file
    assert things.get(KEY, never) == b"data"
    other = KEY[::-1]
    assert things.get(other, lambda: b"1") == b"1" and things.get(other, lambda: b"2") == b"2"
    assert not things.path(other).exists()


def test_without_file_locks(things, monkeypatch):
    monkeypatch.setattr(module, "fcntl", None)
    assert things.get(KEY, lambda: b"data") == b"data" == things.get(KEY, never)


def test_the_least_recently_used_goes(things, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 3 * (100 + 32))
    keys = [f"{i:032x}" for i in range(4)]
    for age, key in enumerate(keys[:3]):
        things.get(key, lambda: bytes(100))
        os.utime(things.path(key), (1000 + age, 1000 + age))
    things.get(keys[0], never)  # used again: now the second is the oldest
    things.get(keys[3], lambda: bytes(100))
    assert [k for k in keys if things.find(k)] == [keys[0], keys[2], keys[3]]


def test_what_is_new_stays_though_it_is_too_large(things, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    things.get(KEY, lambda: bytes(1000))
    assert things.get(KEY, never) == bytes(1000)


def test_the_lock_files_are_few(things):
    for i in range(600):
        with things.locked(f"{i * 7919:032x}"[::-1]):
            pass
    assert 1 < len(list(things.path(KEY).parent.iterdir())) <= 256
