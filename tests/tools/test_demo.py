import json

import numpy as np
import pytest
from fbnet.engine.errors import FetchError
from fbnet.tools import demo
from fbnet.tools.demo import picture


@pytest.fixture
def offline(monkeypatch):
    def no_network(*_):
        raise FetchError("squeezenet did not come: is there a network?")

    monkeypatch.setattr(demo, "network", no_network)


def test_ten_digits_without_a_network(program, offline):
    result = program("demo")
    assert result.exit_code == 0 and result.stderr == ""
    assert "10/10 are right." in result.stdout
    assert "could not be fetched" in result.stdout and "is there a network?" in result.stdout
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 120


def test_json_without_a_network(program, offline):
    found = program.json("demo")
    assert [row["top"][0]["label"] for row in found["digits"]] == list("0123456789")
    assert found["photos"] == [] and "is there a network?" in found["offline"]


def test_a_wrong_answer_is_exit_1(program, offline, monkeypatch):
    real = demo.read_digits

    def one_wrong():
        digits = real()
        digits[4]["top"] = [{"index": 9, "score": 0.5, "label": "9"}]
        return digits

    monkeypatch.setattr(demo, "read_digits", one_wrong)
    result = program("demo")
    assert result.exit_code == 1 and "9/10 are right." in result.stdout


def test_names_two_photos(program, zoo):
    zoo("squeezenet_v1.1"), zoo("photos")
    pytest.importorskip("google.protobuf")
    found = json.loads(program("demo", "--json").stdout)
    cat, cup = (row["top"][0] for row in found["photos"])
    assert cat["label"] == "Egyptian cat" and cat["score"] == pytest.approx(0.447, abs=0.01)
    assert cup["label"] == "espresso" and cup["score"] == pytest.approx(0.980, abs=0.01)
    shown = program("demo").stdout
    assert "Egyptian cat" in shown and "espresso" in shown


def test_picture(monkeypatch):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[:2, :2] = pixels[2:4, 2:4] = pixels[:4, 4:6] = 255
    monkeypatch.setattr(demo, "unicode_works", lambda: True)
    lines = picture(pixels)
    assert len(lines) == 7 and all(len(line) == 14 for line in lines)
    assert lines[0] == "▀▄█" + " " * 11 and not "".join(lines[1:]).strip()
    monkeypatch.setattr(demo, "unicode_works", lambda: False)
    assert picture(pixels)[0] == "'.#" + " " * 11
