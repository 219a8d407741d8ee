from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.tools.convert import convert_with, save_checked

PROTOTXT = """
name: "small"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    pytest.importorskip("google.protobuf")
    path = tmp_path / "small.prototxt"
    path.write_text(PROTOTXT)
    return path


def test_convert_and_use(program, prototxt, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    out = tmp_path / "small.fbnet"
    words = ["convert", prototxt, "-o", out, "--random-weights", 1, "--labels", tmp_path / "labels.txt"]
    words += ["--mean", "1,2,3", "--scale", ".5", "--input-color", "bgr", "--size", "8", "--crop", "center"]
    found = program.json(*words)
    assert found["layers"] == 3 and found["layers_fused"] == 2 and found["parameters"] == 4 * 27 + 4
    assert found["bytes"] == out.stat().st_size and found["source_bytes"] == prototxt.stat().st_size
    assert found["inputs"] == {"data": "fp32[N,3,H,W]"} and found["labels"] == 4
    net = fbnet.load(out)
    assert net.metadata["labels"] == ["a", "b", "c", "d"]
    wanted = {"size": [8, 8], "crop": "center", "mean": [1.0, 2.0, 3.0], "scale": [0.5], "order": "BGR"}
    assert net.metadata["image"] == wanted
    assert net(np.ones((2, 3, 8, 8), np.float32)).shape == (2, 4, 6, 6)


def test_summary_for_people(program, prototxt, tmp_path):
    result = program("convert", prototxt, "-o", tmp_path / "small.fbnet", "--random-weights", 1)
    assert result.exit_code == 0
    assert "3 as written" in result.stdout and "2 when folded and fused" in result.stdout


def test_the_same_seed_makes_the_same_net(prototxt):
    one, same, other = (convert_with([prototxt], random_weights=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest


def test_weights_that_are_missing(program, prototxt, tmp_path):
    assert ".caffemodel is missing" in program.fails("convert", prototxt, "-o", tmp_path / "x.fbnet")


def test_all_unknown_layers_are_named(program, prototxt, tmp_path):
    prototxt.write_text(PROTOTXT.replace('"ReLU"', '"Frobnicate"').replace('"Softmax"', '"Zork"'))
    line = program.fails("convert", prototxt, "-o", tmp_path / "x.fbnet")
    assert "Frobnicate" in line and "Zork" in line
    assert not (tmp_path / "x.fbnet").exists()


def test_image_options_that_make_no_sense(program, prototxt, tmp_path):
    words = ["convert", prototxt, "-o", tmp_path / "x.fbnet", "--random-weights", 1]
    assert "mean is [1.0, 2.0], but must be 1 or 3 numbers" in program.fails(*words, "--mean", "1,2")
    assert "labels.txt" in program.fails(*words, "--labels", tmp_path / "labels.txt")


def test_options_that_an_importer_does_not_take(program, tmp_path):
    lenet = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"
    line = program.fails("convert", lenet, "-o", tmp_path / "x.fbnet", "--random-weights", 1)
    assert line == "lenet.fbnet: its importer does not take --random-weights"


def test_a_file_that_cannot_be_written(program, prototxt, tmp_path):
    program.fails("convert", prototxt, "-o", tmp_path / "no folder" / "x.fbnet", "--random-weights", 1)


def test_a_file_that_holds_another_net(prototxt, tmp_path, monkeypatch):
    one, other = (convert_with([prototxt], random_weights=seed) for seed in (1, 2))
    monkeypatch.setattr("fbnet.tools.convert.save", lambda net, path: fbnet.save(other, path))
    with pytest.raises(fbnet.CheckError, match=r"holds another net"):
        save_checked(one, tmp_path / "x.fbnet")
