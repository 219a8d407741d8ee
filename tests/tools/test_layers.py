"""`fbnet layers` and `fbnet explain`: what the registries know, told to people and programs."""

import json

import fbnet
from fbnet.engine.layer import layers


def test_the_catalogue_holds_every_type(program):
    rows = {row["type"]: row for row in json.loads(program("layers", "--json").stdout)}
    assert set(rows) == set(layers)
    assert rows["ReLU"]["formula"].startswith("y = ") and rows["ReLU"]["attributes"]
    assert "direct" in rows["Convolution"]["kernels"]["cpu"]


def test_the_page_names_them_too(program):
    page = program("layers", "--markdown").stdout
    assert all(f"\n## {name}\n" in page for name in layers)


def test_explain_names_kernels_and_reasons(program, tmp_path):
    net = fbnet.Net([layers["ReLU"]("x", name="r"), layers["Softmax"]("r", name="p")], {"x": (1, 4)})
    net.save(tmp_path / "net.fbnet")
    rows = json.loads(program("explain", str(tmp_path / "net.fbnet"), "--json").stdout)
    assert [row["layer"] for row in rows] == ["r", "p"]
    assert rows[0]["kernel"].startswith("ReLU/") and rows[0]["why"].startswith("score")
