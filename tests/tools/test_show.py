import json
import os
import pty
import subprocess
import sys

import pytest
from fbnet.tools import show


@pytest.mark.parametrize(("share", "wanted"), [(0, 0), (0.5, 2), (1, 4), (7, 4), (-1, 0), (float("nan"), 0)])
def test_bar(monkeypatch, share, wanted):
    monkeypatch.setattr(show, "unicode_works", lambda: False)
    assert show.bar(share, 4) == "#" * wanted + " " * (4 - wanted)
    monkeypatch.setattr(show, "unicode_works", lambda: True)
    assert show.bar(share, 4) == "█" * wanted + " " * (4 - wanted)


def test_bar_has_eighths(monkeypatch):
    monkeypatch.setattr(show, "unicode_works", lambda: True)
    assert show.bar(1 / 8, 1) == "▏" and show.bar(7 / 8, 1) == "▉"
    assert all(len(show.bar(i / 1000)) == 12 for i in range(1001))


def test_json_is_json(capsys):
    show.print_json({"a": [1.5, float("nan"), (float("inf"), "nan")], "b": True, "c": show})
    found = json.loads(capsys.readouterr().out)
    assert found["a"] == [1.5, None, [None, "nan"]] and found["b"] is True


def test_printable():
    assert show.printable("a\x1b[31m\nb é") == "a [31m b é"


def test_progress_is_silent_where_nobody_watches(capsys):
    with show.progress_bar("x", 2) as advance, show.working("y"):
        advance(1, "note")
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("piped", [False, True])
def test_a_bar_on_the_terminal_and_results_where_they_belong(piped):
    """In one terminal results stand above the bar; when stdout is a pipe, they are in the pipe and whole."""
    code = """if True:
        from fbnet.tools.show import print_json, progress_bar, say
        with progress_bar("running", 2) as advance:
            advance(1, "first")
            say("result one")
            print_json({"two": "x" * 200})
    """
    parent, child = pty.openpty()
    out = subprocess.PIPE if piped else child
    ran = subprocess.Popen([sys.executable, "-c", code], stdin=child, stdout=out, stderr=child)
    stdout = ran.communicate()[0]
    assert ran.returncode == 0
    os.close(child)
    terminal = b""
    try:
        while block := os.read(parent, 65536):
            terminal += block
    except OSError:
        pass  # the end of a pseudo-terminal
    os.close(parent)
    assert b"running" in terminal and b"1/2" in terminal
    shown = (stdout if piped else terminal).decode().replace("\r\n", "\n")
    assert "result one\n" in shown and "x" * 200 in shown
    assert (b"result one" in terminal) != piped
