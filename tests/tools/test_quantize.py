"""fbnet quantize and fbnet compare --data, on the LeNet-5 that comes along and its ten digits."""

from __future__ import annotations

import json
import shutil
from itertools import groupby
from pathlib import Path

import fbnet
import numpy as np
import pytest
from click.testing import CliRunner
from fbnet.engine.layer import layers
from fbnet.engine.net import Net
from fbnet.tools.demo import LENET
from fbnet.tools.main import main

LENET_FILE = str(LENET / "lenet.fbnet")


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    for digit in range(10):
        shutil.copy(LENET / f"digit_{digit}.png", folder)
    (folder / "right.txt").write_text("".join(f"digit_{d}.png {d}\n" for d in range(10)))
    return folder


def fbnet_says(*words: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(w) for w in words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def made(digits) -> dict:
    words = ["quantize", LENET_FILE, "--data", digits, "--labels", digits / "right.txt", "--max-drop", 0.5]
    pages = ["--report", digits / "q.md", "--report", digits / "q.html"]
    code, out, err = fbnet_says(*words, "-o", digits / "q.fbnet", *pages, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_model_becomes_a_quarter_and_says_how_good_it_is(made, digits):
    q = fbnet.load(digits / "q.fbnet")
    assert q["conv1"].type == "QuantizedConvolution" and q["ip2"].to == "fp32"
    assert made["quality"]["top1_int8"] == made["quality"]["top1_fp32"] == 100
    assert made["quality"]["error"] < 0.02 and made["float_share"] == 0
    assert made["bytes"] < 0.27 * Path(LENET_FILE).stat().st_size
    rows = {row["tensor"]: row for row in made["tensors"]}
    assert (
        rows["data"]["low"] == 0
        and rows["data"]["high"] == 1
        and rows["data"]["scale"] == pytest.approx(1 / 255)
    )
    assert {row["layer"] for row in made["floats"]} == {"image.tensor", "prob"}


def test_its_report_can_be_read(made, digits):
    for name in ("q.md", "q.html"):
        text = (digits / name).read_text("utf-8")
        assert all(word in text for word in ("LeNet-5 in int8", "conv2", "Softmax has no integer layer", "█"))
    assert "http" not in (digits / "q.html").read_text("utf-8")


def test_compare_shows_every_layer_and_the_first_bad_one(made, digits):
    words = [
        "compare",
        LENET_FILE,
        digits / "q.fbnet",
        "--data",
        digits,
        "--labels",
        digits / "right.txt",
        "--json",
    ]
    code, out, err = fbnet_says(*words)
    found = json.loads(out)
    assert code == 0 and found["ok"] and found["first_bad"] is None, err
    assert [row["name"] for row in found["tensors"]][:3] == ["data", "conv1", "pool1"]
    assert found["agreement"] == found["top5_int8"] == 100
    code, out, _ = fbnet_says(*words, "--least-sqnr", 43)
    assert code == 1 and json.loads(out)["first_bad"] == "conv1"


def test_a_model_that_reads_is_judged_by_its_text(tmp_path):
    """Lines that are noise: many a step is a draw, so that integers read some otherwise: more than a budget of none."""
    rng = np.random.default_rng(0)
    w = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    steps = [
        layers["Convolution"]("x", w(6, 3, 1, 3), name="b"),
        layers["Permute"]("b", name="turned", order=(0, 3, 1, 2)),
        layers["Flatten"]("turned", name="steps", axis=2),
        layers["Softmax"]("steps", name="shares", axis=2),
    ]
    reader = Net(steps, inputs={"x": ("N", 3, 1, 24)})
    lines = [w(1, 3, 1, 24) for _ in range(40)]
    for number, line in enumerate(lines):
        np.save(tmp_path / f"{number:02}.npy", line)
    reader.save(tmp_path / "reader.fbnet")

    def same(file: str) -> float:
        """Percent of the lines whose best classes, less repetitions and blanks, are fp32's."""
        nets = reader, fbnet.load(tmp_path / file)
        assert nets[1].outputs == ("shares",)
        best = [[net(line).argmax(-1)[0].tolist() for net in nets] for line in lines]
        text = [[[k for k, _ in groupby(b) if k != 5] for b in pair] for pair in best]
        return 100 * float(np.mean([a == b for a, b in text]))

    words = [
        "quantize",
        tmp_path / "reader.fbnet",
        "--data",
        tmp_path,
        "--ctc",
        -1,
        "--no-adaptive",
        "--json",
    ]
    code, out, err = fbnet_says(*words, "-o", tmp_path / "free.fbnet")
    assert code == 0, err
    assert json.loads(out)["quality"]["agreement"] == pytest.approx(same("free.fbnet"))
    assert same("free.fbnet") < 100
    code, out, err = fbnet_says(*words, "--max-drop", 0, "--most-float", 0, "-o", tmp_path / "held.fbnet")
    assert code == 2 and "budget of 0 points is not met" in err, err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--data", "no-such-folder"], "no-such-folder: there is no such file or folder"),
        (["--data", "{empty}"], "there is no image in this folder"),
        (
            ["--data", "{digits}", "--labels", "{short}"],
            "does not name 9 of 10 files, digit_1.png among them",
        ),
        (
            ["--data", "{digits}", "--labels", "{wrong}"],
            "line 1: 'digit_0.png zero' is not like `cat.jpg 285`",
        ),
        (
            ["--data", "{digits}", "--keep", "conv3"],
            "no layer 'conv3' to keep in float. Did you mean 'conv",
        ),
        (["--data", "{digits}", "--ctc", "0"], "in which no axis 2 holds classes"),
    ],
)
def test_bad_input_is_one_line(digits, tmp_path, words, why):
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.txt").write_text("digit_0.png 0\n")
    (tmp_path / "wrong.txt").write_text("digit_0.png zero\n")
    places = {"empty": tmp_path / "empty", "digits": digits, "short": tmp_path / "short.txt"}
    places["wrong"] = tmp_path / "wrong.txt"
    code, out, err = fbnet_says(
        "quantize", LENET_FILE, *[w.format(**places) for w in words], "-o", tmp_path / "q.fbnet"
    )
    assert code == 2 and why in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "q.fbnet").exists()
