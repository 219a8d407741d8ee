import sys
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.kernel import kernels
from fbnet.engine.layer import layers
from fbnet.engine.part import pieces
from fbnet.tools import lenet
from fbnet.tools.convert import save_checked
from fbnet.tools.model import convert_with

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
    words += ["--mean", "1,2,3", "--scale", ".5", "--input-color", "bgr", "--crop", "8", "--resize", 9]
    found = program.json(*words)
    assert found["layers"] == 5 and found["layers_fused"] == 4 and found["parameters"] == 4 * 27 + 4
    assert found["bytes"] == out.stat().st_size and found["source_bytes"] == prototxt.stat().st_size
    assert found["inputs"] == {"image": "uint8[N,H,W,3]"} and found["labels"] == 4
    assert found["test"]["judge"] == "fbnet's reference" and found["test"]["ok"]
    net = fbnet.load(out)
    assert net.metadata["labels"] == ["a", "b", "c", "d"] and net.metadata["image"] == {"pixels": "RGB"}
    resize, tensor = net.layers[:2]
    assert (resize.size, resize.fit, resize.shorter) == ((8, 8), "crop", 9)
    assert (tensor.order, tensor.mean, tensor.scale) == ((2, 1, 0), (1.0, 2.0, 3.0), (0.5,))
    assert net(np.ones((2, 20, 30, 3), np.uint8)).shape == (2, 4, 6, 6)
    assert program.json("check", out)["ok"]


def test_without_image_options_nothing_is_put_before_or_behind(program, prototxt, tmp_path):
    out = tmp_path / "small.fbnet"
    found = program.json("convert", prototxt, "-o", out, "--random-weights", 1, "--no-test")
    assert found["inputs"] == {"data": "fp32[N,3,H,W]"} and found["outputs"] == ["prob"]
    assert found["test"] == {"judge": "", "error": 0.0, "ok": True, "note": "left out"}
    assert not fbnet.load(out).tests


def test_answers(program, prototxt, tmp_path):
    prototxt.write_text(PROTOTXT.replace('type: "Softmax"', 'type: "TanH"'))
    out = tmp_path / "small.fbnet"
    words = ["convert", prototxt, "-o", out, "--random-weights", 1]
    found = program.json(*words, "--softmax", "--top", 2)
    assert found["outputs"] == ["scores", "classes"] and found["test"]["ok"]
    assert [layer.type for layer in fbnet.load(out)][-2:] == ["Softmax", "TopK"]
    (tmp_path / "labels.txt").write_text("a\nb\n")
    warned = program(*words, "--top", 2, "--labels", tmp_path / "labels.txt")
    assert warned.exit_code == 0 and "has 2 labels, but prob has 4 classes" in warned.stderr
    assert program.json(*words, "--argmax")["outputs"] == ["classes"]
    assert "give one of top, argmax, ctc and boxes" in program.fails(*words, "--argmax", "--top", 2)
    assert "no axis" not in program.fails(*words, "--ctc", 0)


def test_plans_go_along(program, prototxt, tmp_path):
    out = tmp_path / "small.fbnet"
    words = ["convert", prototxt, "-o", out, "--random-weights", 1, "--mean", 3]
    assert program.json(*words, "--plan", "cpu:1", "--plan", "cpu:2")["plans"] == 4  # of two pieces each
    assert not fbnet.load(out).plans
    net = fbnet.load(out, trust_plans=True)
    body = pieces(net)[1]
    assert body.compile(threads=2).key in net.plans and body.compile(threads=1).key in net.plans
    assert program.json("check", out, "--trust-plans")["ok"]
    assert program("convert", out, "-o", tmp_path / "again.fbnet").exit_code == 0


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
    assert "mean is [1.0, 2.0]; give one number" in program.fails(*words, "--mean", "1,2")
    assert "does not cover 8x8" in program.fails(*words, "--crop", 8, "--resize", 7)
    assert "labels.txt" in program.fails(*words, "--labels", tmp_path / "labels.txt")


def test_options_that_an_importer_does_not_take(program, tmp_path):
    lenet = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"
    line = program.fails("convert", lenet, "-o", tmp_path / "x.fbnet", "--random-weights", 1)
    assert line == "lenet.fbnet: its importer does not take --random-weights"


def test_a_file_that_cannot_be_written(program, prototxt, tmp_path):
    program.fails("convert", prototxt, "-o", tmp_path / "no folder" / "x.fbnet", "--random-weights", 1)


def test_a_file_that_holds_another_net(prototxt, tmp_path, monkeypatch):
    one, other = (convert_with([prototxt], random_weights=seed) for seed in (1, 2))
    monkeypatch.setattr("fbnet.tools.convert.save", lambda net, path, plans=(): fbnet.save(other, path))
    with pytest.raises(fbnet.CheckError, match=r"holds another net"):
        save_checked(one, tmp_path / "x.fbnet")


MODULE = '''
import numpy as np
import fbnet


@fbnet.layer("Frobnicate")
class Frobnicate(fbnet.Elementwise):
    """y = alpha * x        x: (...) -> y: (...)"""

    alpha: float = 1.0
    mode: str = "SLOW"
    axis: tuple[int, ...] = ()
    name2: str = ""

    def reference(self, x):
        return np.float32(self.alpha) * x


@fbnet.kernel(Frobnicate, device="cpu")
def frobnicate(x, y, alpha):
    for i in range(x.size):
        y[i] = np.float32(alpha) * x[i]
'''


@pytest.fixture
def module(tmp_path):
    """A researcher's file; what it registers is forgotten afterwards."""
    path = tmp_path / "frobnication.py"
    path.write_text(MODULE)
    yield path
    layers.discard("Frobnicate")
    for name in [n for n in list(kernels) if "/Frobnicate/" in n]:
        kernels.discard(name)
    sys.modules.pop("frobnication", None)


def test_a_layer_that_nobody_knows_until_its_file_is_imported(program, prototxt, module, photo, tmp_path):
    frobnicate = 'type: "Frobnicate" frobnicate_param { alpha: .5 mode: FAST axis: 1 axis: 2 }'
    prototxt.write_text(PROTOTXT.replace('type: "ReLU"', frobnicate))
    out = tmp_path / "odd.fbnet"
    words = ["convert", prototxt, "-o", out, "--random-weights", 1]
    assert "fbnet has no such layer" in program.fails(*words)
    made = program.json(*words, "--allow-custom", "--size", "8")
    assert "layer type 'Frobnicate' is not registered" in made["test"]["note"]
    assert program("info", out).exit_code == 0
    assert "relu (Frobnicate): layer type 'Frobnicate' is not registered" in program.fails("run", out, photo)
    found = program.json("--import", module, "run", out, photo)
    assert "outputs" in found
    checked = program.json("--import", module, "convert", out, "-o", tmp_path / "known.fbnet")
    assert checked["test"]["ok"]
    assert type(fbnet.load(out)["relu"]).__name__ == "Frobnicate"


def test_weights_stored_in_halves(program, tmp_path):
    half = tmp_path / "half.fbnet"
    source = Path(lenet.__file__).parent / "lenet.fbnet"
    assert program("convert", source, "-o", half, "--store", "fp16").exit_code == 0
    assert half.stat().st_size < 0.51 * source.stat().st_size
    assert program("check", half).exit_code == 0
