import json
import os
import subprocess
import sys
from pathlib import Path

import fbnet
import numpy as np
import pytest
from PIL import Image

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"
DIGIT = LENET.parent / "digit_7.png"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_layer_of_a_photo(program):
    found = program.json("trace", LENET, "--image", DIGIT, "--compare", "--rounds", 1)
    rows = {row["layer"]: row for row in found["layers"]}
    assert list(rows)[:3] == ["image.resize", "image.tensor", "conv1"] and "relu1" not in rows
    assert rows["conv1"]["specs"] == ["fp32[1,20,24,24]"] and rows["conv1"]["macs"] == 288_000
    assert all(row["error"] < 1e-5 and row["us"] > 0 for row in rows.values() if row["kernel"])
    wanted = fbnet.load(LENET).forward(np.asarray(Image.open(DIGIT))[None, ..., None], upto="conv1")["conv1"]
    assert rows["conv1"]["mean"] == pytest.approx(np.abs(wanted).mean(), rel=1e-4)
    assert (rows["conv1"]["min"], rows["conv1"]["max"]) == pytest.approx(
        (wanted.min(), wanted.max()), rel=1e-4
    )
    assert rows["prob"]["max"] > 0.99 and found["plan"].startswith("plan for cpu")


def test_one_line_a_layer_and_no_more_than_asked_for(program):
    lines = program("trace", LENET, "--image", DIGIT, "--upto", "pool1").stdout.splitlines()
    assert [line.split()[0] for line in lines[3:-1]] == ["image.resize", "image.tensor", "conv1", "pool1"]
    assert len({line.index("fp32[") for line in lines[3:-1]}) == 1, "aligned"
    assert lines[-1].endswith("ms in 4 layers, each run alone")


def test_what_the_threads_did(program):
    found = program.json("trace", LENET, "--chrome", "t.json", "--threads", 1)
    assert found["chrome"] == "t.json"
    events = json.loads(Path("t.json").read_text())["traceEvents"]
    names = [e["args"]["name"] for e in events if e["ph"] == "M"]
    assert names == ["fbnet: LeNet-5", "leader"]
    spans = [e for e in events if e["ph"] == "X"]
    # what Perfetto asks of a complete event
    assert all({"name", "cat", "ts", "dur", "pid", "tid"} <= e.keys() and e["dur"] >= 0 for e in spans)
    ran = [row["layer"] for row in found["layers"] if row["kernel"]]
    assert list(dict.fromkeys(e["name"] for e in spans)) == ran
    assert (
        "1 threads; ui.perfetto.dev" in program("trace", LENET, "--chrome", "t.json", "--threads", 1).stdout
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--image", "nothing.png"], "nothing.png: there is no such file"),
        (["--image", LENET], "lenet.fbnet: no image of a known kind"),
        (["--image", "."], "damaged: [Errno 21] Is a directory"),
        (["--upto", "pol1"], "LeNet-5 runs no layer 'pol1'. Did you mean 'pool1'?"),
        (["--shape", "imag=1,28,28,1"], "LeNet-5 has no input 'imag'. Did you mean 'image'?"),
        (["--size", "28"], "size: no photo to prepare: give --image"),
        (["--image", DIGIT, "--shape", "image=1,28,28,1"], "--shape is for an example"),
        (["--chrome", "no/t.json"], "no/t.json: it cannot be written: No such file or directory"),
        (["--chrome", "t.json", "--device", "reference"], "'reference' does not write down what its threads do"),
        (["--device", "cqu"], "device 'cqu' is not registered. Did you mean 'cpu'?"),
    ],
)  # fmt: skip
def test_bad_input(program, words, says):
    assert says in program.fails("trace", LENET, *words)


def test_a_terminal_without_unicode_or_colour():
    net = fbnet.load(LENET)
    fbnet.save(net.replace(layers=[layer.replace(name=f"ß→{layer.name}") for layer in net.layers]), "u.fbnet")
    run = [sys.executable, "-m", "fbnet.tools.main", "trace", "u.fbnet", "--device", "reference"]
    plain = {"PYTHONIOENCODING": "ascii", "TERM": "dumb"}
    done = subprocess.run(run, capture_output=True, env=os.environ | plain, check=False)
    assert done.returncode == 0 and b"??conv1" in done.stdout and b"\x1b" not in done.stdout + done.stderr


def test_weights_of_half_the_size(program):
    one, half = (
        program.json(
            "trace", LENET, "--image", DIGIT, "--threads", 1, "--rounds", 0, "--compare", "--dtype", dtype
        )
        for dtype in ("fp32", "fp16")
    )
    rows = list(zip(one["layers"], half["layers"], strict=False))
    assert any(a["mean"] != b["mean"] for a, b in rows) and all(b["error"] < 1e-4 for _, b in rows)
