"""Settings come from FBNET_* and are read when asked for."""

import os
import threading
from pathlib import Path

import fbnet
import pytest
from fbnet.engine.settings import cache_folder, debug, debug_level, default_threads, setting


def test_a_setting(monkeypatch):
    monkeypatch.setenv("FBNET_WORD", "one")
    assert setting("WORD", "two") == "one"
    monkeypatch.setenv("FBNET_WORD", "")
    assert setting("WORD", "two") == "two"
    monkeypatch.delenv("FBNET_WORD")
    assert setting("WORD", "two") == "two"


@pytest.mark.parametrize(("text", "level"), [("0", 0), ("3", 3), ("", 0), ("yes", 0), ("-1", 0)])
def test_debug_from_the_environment(monkeypatch, text, level):
    monkeypatch.setenv("FBNET_DEBUG", text)
    assert debug_level() == level


def test_debug_for_a_block(monkeypatch):
    monkeypatch.setenv("FBNET_DEBUG", "1")
    with fbnet.debug(3):
        assert debug_level() == 3
        with debug(0):
            assert debug_level() == 0
        seen = []
        thread = threading.Thread(target=lambda: seen.append(debug_level()))
        thread.start()
        thread.join()
        assert seen == [1]  # another thread's level is its own
    assert debug_level() == 1
    with pytest.raises(ZeroDivisionError), debug(5):
        raise ZeroDivisionError
    assert debug_level() == 1


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FBNET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        isinstance(cache_folder(), Path)
        and tmp_path in cache_folder().parents
        and not cache_folder().exists()
    )


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("", None), ("0", None), ("many", None)])
def test_default_threads(monkeypatch, text, threads):
    monkeypatch.setenv("FBNET_THREADS", text)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert default_threads() == (threads or cores)
