"""More parts of bench/RESULTS.md, from two small nets in the place of the standing ones."""

import numpy as np
import pytest
from fbnet import ConversionError, InputError, Net
from fbnet.engine.layer import layers
from fbnet.layers.cpu import peak
from fbnet.tools import bench
from fbnet.tools import race as racing
from fbnet.tools.algorithms import algorithm_rates, products
from fbnet.tools.results import put
from fbnet.tools.standing import Entry

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)


def small() -> Net:
    """Two 3×3 convolutions of one kind and one from three channels."""
    conv, pad = layers["Convolution"], (1, 1, 1, 1)
    w = [RNG.standard_normal((16, c, 3, 3), dtype=np.float32) / 12 for c in (3, 16, 16)]
    chain = [
        conv("x", w[0], pad=pad, name="a"),
        conv("a", w[1], pad=pad, name="b"),
        conv("b", w[2], pad=pad, name="c"),
    ]
    return Net(chain, {"x": (1, 3, 28, 28)})


class Given(Entry):
    def open(self, folder):
        if self.name == "gone":
            raise InputError("it is not here")
        return small().replace(name=self.name)


@pytest.fixture
def standing(monkeypatch, tmp_path):
    """The page that the standing nets' benchmarks write."""
    monkeypatch.setattr(peak, "ROUNDS", 1000)
    monkeypatch.setattr(peak, "TRIES", 2)
    monkeypatch.setattr(bench, "entries", lambda: [Given("vgg16", ()), Given("gone", ())])
    return tmp_path / "page.md"


def test_algorithms(program, standing):
    found = program.json("bench", "--algorithms", "--rounds", 2, "-o", standing)["found"]
    first, second = found[0]["layers"]
    assert (first["layer"], first["count"], second["layer"], second["count"]) == ("a", 1, "b", 2)
    assert set(first["seconds"]) == {"direct"} and set(second["seconds"]) == {
        "direct",
        "winograd4",
        "winograd6",
    }
    assert second["macs"] == 28 * 28 * 16 * 16 * 9 == second["products"]["direct"]
    assert (
        second["products"]["winograd4"] == 49 * 36 * 16 * 16
        and second["products"]["winograd6"] == 25 * 64 * 256
    )
    page = standing.read_text()
    assert "## vgg16" in page and "| b | 2 | 16×28×28 | 16 | 1 |" in page and "| – | – |" in page


def test_layers_that_are_counted():
    net = small()
    strided = layers["Convolution"]("c", net.layers[1].inputs[1], stride=(2, 2), name="d")
    grouped = layers["Convolution"]("d", np.ones((16, 1, 3, 3), np.float32), group=16, name="e")
    longer = net.replace(layers=[*net.layers, strided, grouped], outputs=("e",))
    rows = list(algorithm_rates(longer, 1, 1))
    assert [row.layer for row in rows] == ["a", "b", "d"] and set(rows[2].seconds) == {"direct"}
    y, w = net.specs()["c"], net.specs()[net.layers[1].inputs[1]]
    assert products(y.replace(shape=(2, 16, 29, 28)), w, 4) == 2 * 8 * 7 * 36 * 256


def test_batches(program, standing, monkeypatch):
    net = small()

    def load(name, model, threads, folder):
        if name == "gone":
            raise ConversionError("gone is not installed")
        (output,) = model.outputs
        return "9", lambda inputs: {output: net.forward(**inputs)["c"]}

    monkeypatch.setattr(Given, "open", lambda self, folder: net.replace(name=self.name))
    monkeypatch.setattr(racing, "load", load)
    monkeypatch.setattr(racing, "peers", {"good": None, "gone": None})
    run = program("bench", "--batches", "1,3", "--vs", "good,gone", "--rounds", 1, "-o", standing)
    assert run.exit_code == 0, run.output
    page = standing.read_text()
    assert page.startswith("# Batches\n") and "| vgg16 | 3 |" in page
    assert "- vgg16 × 3, gone: gone is not installed" in page and "Geometric means of the ratios: " in page


def test_accuracy(program, standing):
    found = program.json("bench", "--accuracy", "-o", standing)["found"]
    assert [row["net"] for row in found] == ["vgg16"] and 0 < found[0]["error"] < 1e-4
    assert found[0]["on_host"] == 0
    page = standing.read_text()
    assert "| vgg16 |" in page and "- gone: it is not here" in page


def test_parts_of_a_page(tmp_path):
    page = tmp_path / "deep" / "page.md"
    put(page, "# One\n\nfirst\n")
    put(page, "# Two\n\n## in two\n\nsecond\n")
    put(page, "# One\n\nanother\n")
    assert page.read_text() == "# One\n\nanother\n\n# Two\n\n## in two\n\nsecond\n"


def test_one_part_at_a_time(program, standing):
    assert "--algorithms has its own models" in program.fails("bench", "--algorithms", "--accuracy")
    assert "--batches has its own models" in program.fails("bench", "net.fbnet", "--batches", "1,4")
