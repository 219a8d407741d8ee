"""The command: what it measures is tested beside the files that measure; here is what it says."""

import json
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim
from fbnet.layers.cpu import peak
from fbnet.tools import bench as module
from fbnet.tools import race as racing
from fbnet.tools.cold import Cold
from fbnet.tools.race import Lane, Race
from fbnet.tools.standing import Entry

pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def small_peak(monkeypatch):
    monkeypatch.setattr(peak, "ROUNDS", 1000)
    monkeypatch.setattr(peak, "TRIES", 2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    w = np.ones((2, 3, 3, 3), np.float32)
    net = fbnet.Net(
        [layers["Convolution"]("data", w, name="conv"), layers["Softmax"]("conv", name="prob")],
        inputs={"data": (Dim("N", 1), 3, Dim("H", 8), Dim("W", 8))},
    )
    net.save(tmp_path / "small.fbnet")
    return tmp_path / "small.fbnet"


@pytest.fixture
def peer(monkeypatch):
    """peer(factor) puts engines into the place of the real ones: 'good' agrees if factor is 1, 'gone' is missing."""

    def use(factor=1.0):
        def load(name, model, threads, folder):
            if name == "gone":
                raise fbnet.ConversionError("gone is not installed: pip install gone")
            net = fbnet.convert(model.path)
            return "9.9", lambda inputs: {name: factor * y for name, y in net.forward(**inputs).items()}

        monkeypatch.setattr(racing, "load", load)
        monkeypatch.setattr(racing, "peers", {"good": None, "gone": None})

    return use


def test_layers(program, model):
    found = program.json("bench", model, "--rounds", 2, "--batch", 3, "--threads", 2)
    assert found["net"] == "small" and found["threads"] == 2 and found["shapes"] == {"data": [3, 3, 8, 8]}
    rows = {row["layer"]: row for row in found["layers"]}
    assert (
        rows["conv"]["macs"] == 3 * 36 * 2 * 27
        and rows["conv"]["share"] > 0
        and rows["prob"]["share"] is None
    )
    assert rows["conv"]["bytes"] == 4 * 3 * 2 * 36 and found["peak_gflops"] > 0


def test_layers_for_people(program, model):
    result = program("bench", model, "--rounds", 1, "--shape", "data=1,3,16,16")
    assert result.exit_code == 0, result.output
    assert "small: data 1x3x16x16, 1 thread, peak" in result.stdout
    assert "GFLOP/s" in result.stdout and "conv" in result.stdout and "all layers" in result.stdout


def test_a_race(program, model, peer):
    peer()
    found = program.json("bench", model, "--vs", "good,gone", "--rounds", 3)
    (one,) = found["races"]
    assert [e["name"] for e in one["engines"]] == ["fbnet", "good"] and one["engines"][1]["agrees"]
    assert one["missing"] == {"gone": "gone is not installed: pip install gone"}
    assert found["geometric_mean"] == pytest.approx(one["ratio"]) and found["machine"]["target"]


def test_a_race_for_people(program, model, peer):
    peer()
    result = program("bench", model, model, "--vs", "good,gone", "--rounds", 1)
    assert result.exit_code == 0, result.output
    assert "without gone: gone is not installed" in result.stdout and "best peer / fbnet" in result.stdout
    assert "geometric mean of 2 ratios" in result.stdout


def test_an_engine_that_computes_something_else(program, model, peer):
    peer(factor=2.0)
    result = program("bench", model, "--vs", "good", "--rounds", 1)
    assert result.exit_code == 1 and "DISAGREES" in result.stdout and "best peer" not in result.stdout


def test_from_a_cold_start(program, model, monkeypatch):
    asked = []
    rows = [Cold("fbnet", 2.0, [0.25, 0.5], [10.0, 20.0])]
    monkeypatch.setattr(
        module, "cold", lambda net, shapes, threads, rounds: asked.append((threads, rounds)) or rows
    )
    found = program.json("bench", model, "--cold", "--threads", 2, "--rounds", 4)
    assert asked == [(2, 4)]
    assert found == {
        "net": "small",
        "engines": [{"name": "fbnet", "first_s": 2.0, "median_s": 0.375, "mib": 15.0}],
    }
    result = program("bench", model, "--cold")
    assert "2 processes each" in result.stdout and "0.375" in result.stdout


def test_a_model_in_two_files(program, tmp_path):
    pytest.importorskip("google.protobuf")
    text = (
        'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }'
        ' layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
        " convolution_param { num_output: 2 kernel_size: 3 } }"
    )
    (tmp_path / "net.prototxt").write_text(text)
    assert program.json("bench", tmp_path / "net.prototxt", "--random-weights", 1, "--rounds", 1)["layers"]
    weights = tmp_path / "net.caffemodel"
    weights.write_bytes(b"not one")
    assert "net.caffemodel" in program.fails("bench", tmp_path / "net.prototxt", weights)


def test_what_makes_no_sense(program, model):
    assert "needs a model" in program.fails("bench")
    assert "ask for one" in program.fails("bench", model, "--cold", "--vs", "all")
    assert "has its own models" in program.fails("bench", model, "--standing")
    assert "no model has such an input" in program.fails("bench", model, "--shape", "dat=1,3,8,8")
    assert "'nobody'" in program.fails("bench", model, "--vs", "nobody")


def test_the_standing_table(program, model, tmp_path, monkeypatch):
    lane = Lane("fbnet", "1", 0.0, [0.002], [0.002])
    found = Race("small", {"data": (1, 3, 8, 8)}, 1, lane, [Lane("good", "9", 0.0, [0.004], [0.004])], {})
    asked = []
    monkeypatch.setattr(module, "race", lambda net, *rest: asked.append((net.name, *rest[:4])) or found)
    listed = [Entry("small", ("small.fbnet",), None, {"data": (1, 3, 9, 9)}), Entry("lost", ("lost.fbnet",))]
    monkeypatch.setattr(module, "entries", lambda: listed)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    result = program("bench", "--standing", "--rounds", 3, "--vs", "good")
    assert result.exit_code == 0, result.output
    assert asked == [("small", ["good"], {"data": (1, 3, 9, 9)}, threads, 3) for threads in (1, 2)]
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| small | 1×3×8×8 | 2.00 (2.00) | 4.00 (4.00) | 2.00 |" in text
    assert "- lost: " in text and "lost.fbnet" in result.stderr and result.stdout.startswith("# Benchmark\n")
    again = program("bench", "--standing", "--threads", 1, "-o", tmp_path / "other.md", "--json")
    assert (
        json.loads(again.stdout)["output"] == str(tmp_path / "other.md") and (tmp_path / "other.md").is_file()
    )
    (tmp_path / "file").write_text("")
    line = program(
        "bench", "--standing", "--threads", 1, "-o", tmp_path / "file" / "x.md"
    ).stderr.splitlines()[-1]
    assert "cannot be written" in line


def test_a_standing_table_of_nothing(program, monkeypatch):
    monkeypatch.setattr(module, "entries", lambda: [Entry("lost", ("lost.fbnet",))])
    result = program("bench", "--standing")
    assert result.exit_code == 1 and "no net of the standing table could be run" in result.stderr
